"""A firmware record is read whole or refused in one sentence."""

import json

import pytest

from acula_edge.errors import UsageError
from benchmarks.microcontroller import read_microcontrollers
from benchmarks.record import Microcontroller

CORE = {
    "core": "m4",
    "machine": "mps2-an386",
    "instructions_per_second": 61.5e6,
    "flash_bytes": 212_345,
    "ram_bytes": 60_000,
    "stack_bytes": None,
    "vectors": 600,
    "equal": 600,
    "difference": "",
}
RECORD = {
    "schema": 1,
    "kind": "acula-edge-firmware-verify",
    "model": {"name": "heart-lung"},
    "arena_bytes": 5,
    "cores": [CORE, CORE | {"core": "m7", "equal": 599, "instructions_per_second": None}],
}


def _written(tmp_path, content):
    path = tmp_path / "firmware.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_cores_are_read_in_order_and_further_keys_passed_over(tmp_path):
    found = read_microcontrollers(_written(tmp_path, RECORD))
    assert found == (
        Microcontroller("m4", 61.5e6, 212_345, 60_000, None, 600, 600),
        Microcontroller("m7", None, 212_345, 60_000, None, 600, 599),
    )


def test_a_whole_number_of_instructions_is_a_number(tmp_path):
    core = CORE | {"instructions_per_second": 61_500_000}
    found = read_microcontrollers(_written(tmp_path, RECORD | {"cores": [core]}))
    assert found[0].instructions_per_second == 61.5e6


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"schema": 1, "kind": "acula-ed', "is damaged"),
        ("[]", "is damaged"),
        (RECORD | {"kind": "acula-edge-benchmark"}, "no record of"),
        (RECORD | {"schema": 2}, "has schema 2"),
        (RECORD | {"cores": []}, "at least one core"),
        (RECORD | {"cores": {"m4": CORE}}, "must be a list"),
        (RECORD | {"cores": ["m4"]}, r"cores\[0\].* must be an object"),
        (RECORD | {"cores": [CORE, CORE]}, "twice"),
        (RECORD | {"cores": [CORE | {"flash_bytes": "212 kB"}]}, r"flash_bytes.*whole number"),
        (RECORD | {"cores": [CORE | {"ram_bytes": -1}]}, "must not be negative"),
        (RECORD | {"cores": [CORE | {"equal": 601}]}, "more equal vectors"),
        (RECORD | {"cores": [CORE | {"instructions_per_second": 0.0}]}, "must be positive"),
        (
            RECORD | {"cores": [{k: v for k, v in CORE.items() if k != "vectors"}]},
            r"cores\[0\]\.vectors' is missing",
        ),
    ],
)
def test_anything_else_is_one_sentence(tmp_path, content, words):
    path = _written(tmp_path, content)
    with pytest.raises(UsageError, match=words) as caught:
        read_microcontrollers(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_such_file(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_microcontrollers(tmp_path / "none.json")
