"""The text space of a manifest and its files: what is read back, and what is refused by name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from bundle_factory import EMBEDDING, forge, forge_manifest, make_bundle
from text_bundle import direction, projection, prompt, report_lines, teacher_size, text_bundle
from text_bundle import reports as tiny_reports

import acula_edge
from acula_edge.bundle import Bundle, Passage, load_bundle
from acula_edge.bundle.text_files import read_projection, read_reports
from acula_edge.errors import BundleError

SCHEMA = json.loads(
    (Path(acula_edge.__file__).parent / "schemas" / "manifest.schema.json").read_text()
)
CONTRAST = Passage("normal heart sounds", direction(EMBEDDING, 9))
PROMPTS = (
    prompt("click", EMBEDDING, 1, site="heart", against=CONTRAST),
    prompt("squawk", EMBEDDING, 2),
)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    base = load_bundle(make_bundle(tmp_path / "plain"))
    return text_bundle(tmp_path / "aligned", base, prompts=PROMPTS, reference=CONTRAST)


def edited(bundle: Bundle, **changes: Any) -> None:
    """Change the manifest's text space behind the writer's back."""
    assert bundle.manifest.text is not None
    space = dataclasses.replace(bundle.manifest.text, **changes)
    forge_manifest(bundle.origin, dataclasses.replace(bundle.manifest, text=space))


def test_a_text_space_is_read_back_whole(bundle: Bundle) -> None:
    space = bundle.manifest.text
    assert space is not None
    assert (space.prompts, space.reference) == (PROMPTS, CONTRAST)
    values = read_projection(bundle.files["text.f32"], space)
    np.testing.assert_array_equal(values, projection(EMBEDDING))
    assert len(values) == teacher_size(EMBEDDING) * (1 + EMBEDDING)
    assert read_reports(bundle.files["reports.jsonl"], space) == tiny_reports(EMBEDDING)
    bundle.verify()


def test_its_manifest_fits_the_json_schema(bundle: Bundle) -> None:
    written = json.loads(bundle.files["manifest.json"])
    text = {"$defs": SCHEMA["$defs"], **SCHEMA["$defs"]["textSpace"]}
    jsonschema.validate(written["text"], text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written["text"], "colour": 1}, text)


def test_reports_may_be_left_out(tmp_path: Path) -> None:
    base = load_bundle(make_bundle(tmp_path / "plain"))
    found = text_bundle(tmp_path / "aligned", base, reports=None)
    assert found.manifest.text is not None
    assert found.manifest.text.reports is None
    assert "reports.jsonl" not in found.files


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"size": 4}, "'text.size' must equal 'embedding'"),
        ({"size": 0}, "0 < size <= teacher_size"),
        ({"teacher_size": 2}, "0 < size <= teacher_size"),
        ({"teacher_size": 10**9}, "0 < size <= teacher_size"),
        ({"teacher": " "}, "'text.teacher' must name a language model"),
        ({"pooling": "max"}, "'text.pooling' must be mean or last"),
        ({"projection": "../x.f32"}, "'text.projection' must be a plain file name"),
        ({"reports": "SHA256SUMS"}, "'text.reports' must be a plain file name"),
        ({"projection": "absent.f32"}, "absent.f32 (projection of the text space) is missing"),
        ({"reports": "absent.jsonl"}, "absent.jsonl (reports of the text space) is missing"),
        ({"reference": Passage("x", (1.0,))}, "'text.reference.vector' must be a direction of 3"),
        ({"prompts": (prompt("a b", 3, 1),)}, "'text.prompts[0].name' must be a plain name"),
        ({"prompts": (prompt("murmur", 3, 1),)}, "'text.prompts[0].name' is the name of a finding"),
        ({"prompts": (PROMPTS[0],) * 2}, "'text.prompts' must have different names"),
        ({"prompts": (prompt("a", 3, 1, site="knee"),)}, "must be heart, lung or null"),
        ({"prompts": (prompt("a", 3, 1, text=" "),)}, "'text.prompts[0].text' must be 1 to 2000"),
        ({"prompts": (prompt("a", 3, 1, text="\x1b[31m"),)}, "printable characters"),
        ({"prompts": (prompt("a", 4, 1),)}, "'text.prompts[0].vector' must be a direction of 3"),
        ({"prompts": (prompt("a", 3, 1, vector=(0.0,) * 3),)}, "must be a direction of 3 numbers"),
        ({"prompts": (prompt("a", 3, 1, vector=(1e300,) * 3),)}, "must be a direction of 3"),
        (
            {"prompts": (prompt("a", 3, 1, against=Passage("", (1.0,) * 3)),)},
            "'text.prompts[0].against.text'",
        ),
    ],
)
def test_refusals_name_the_key(bundle: Bundle, changes: dict[str, Any], reason: str) -> None:
    edited(bundle, **changes)
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle.origin)
    assert reason in str(caught.value)


def with_value(value: float) -> bytes:
    changed = projection(EMBEDDING)
    changed[-1] = value
    return changed.tobytes()


def line(**changes: Any) -> bytes:
    return json.dumps({"text": "a", "vector": [1.0] * EMBEDDING, **changes}).encode()


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("text.f32", b"", "text.f32 has 0 bytes, not 192"),
        ("text.f32", projection(EMBEDDING).tobytes()[:-1], "text.f32 has 191 bytes, not 192"),
        ("text.f32", projection(EMBEDDING).tobytes() * 2, "text.f32 has 384 bytes, not 192"),
        ("text.f32", with_value(np.nan), "text.f32 holds a value that is not finite"),
        ("text.f32", with_value(-np.inf), "text.f32 holds a value that is not finite"),
        ("reports.jsonl", b"", "reports.jsonl has 0 reports, not 1 to 10000"),
        ("reports.jsonl", b"\n" * 10_001, "reports.jsonl has 10001 reports"),
        ("reports.jsonl", line() + b"\n\n" + line(), "reports.jsonl: line 2: is not valid JSON"),
        ("reports.jsonl", line() + b"\n" + b"\x80\x04", "reports.jsonl: line 2: is not valid JSON"),
        ("reports.jsonl", line(vector=[float("nan")] * 3), "line 1: is not valid JSON (NaN"),
        ("reports.jsonl", line(text=3), "line 1: 'text' must be a string, not int"),
        ("reports.jsonl", line(more=1), "line 1: unknown key 'more'"),
        ("reports.jsonl", b'{"text": "a"}', "line 1: key 'vector' is missing"),
        ("reports.jsonl", line(vector=["1"] * 3), "line 1: 'vector[0]' must be a number, not str"),
        ("reports.jsonl", line(vector=[1.0, 2.0]), "line 1: 'vector' must be a direction of 3"),
        ("reports.jsonl", line(vector=[0, 0, 0]), "line 1: 'vector' must be a direction of 3"),
        ("reports.jsonl", line(text="x" * 2001), "line 1: 'text' must be 1 to 2000 printable"),
        ("reports.jsonl", line(text="a\u202eb"), "line 1: 'text' must be 1 to 2000 printable"),
    ],
)
def test_damaged_files_are_refused_by_name(
    bundle: Bundle, name: str, data: bytes, reason: str
) -> None:
    forge(bundle.origin, {name: data})
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle.origin)
    assert str(caught.value).startswith(f"{bundle.origin}: {name}")
    assert reason in str(caught.value)


def test_values_near_the_largest_float_are_finite(bundle: Bundle) -> None:
    assert bundle.manifest.text is not None
    huge = np.full(teacher_size(EMBEDDING) * (1 + EMBEDDING), np.finfo("<f4").max, "<f4").tobytes()
    assert len(read_projection(huge, bundle.manifest.text)) == 48


def test_report_lines_of_the_factory_are_what_a_bundle_holds(bundle: Bundle) -> None:
    assert bundle.files["reports.jsonl"] == report_lines(tiny_reports(EMBEDDING))
