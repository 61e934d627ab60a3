from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from bundle_factory import GOLDEN_HOPS, graphs, make_bundle, manifest
from hypothesis import given, settings
from hypothesis import strategies as st

import acula_edge
from acula_edge.bundle import Manifest, dump_manifest, parse_manifest
from acula_edge.bundle.sums import sha256
from acula_edge.errors import BundleError

SCHEMA = json.loads(
    (Path(acula_edge.__file__).parent / "schemas" / "manifest.schema.json").read_text()
)
DELETE = object()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
    loaded: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return loaded


def edited(value: dict[str, Any], path: str, new: object) -> dict[str, Any]:
    value = copy.deepcopy(value)
    at: Any = value
    *parents, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    for key in parents:
        at = at[key]
    if new is DELETE:
        del at[last]
    else:
        at[last] = new
    return value


def parse(value: object) -> Manifest:
    return parse_manifest(json.dumps(value).encode())


def test_what_is_written_is_read_back(written: dict[str, Any]) -> None:
    read = parse(written)
    assert parse_manifest(dump_manifest(read)) == read
    assert read.variants["fp32"].stream.sha256 == sha256(graphs(manifest())["stream.onnx"])
    assert read.findings == manifest().findings
    assert read.labels == ("murmur", "wheeze")
    assert read.hops_per_window == 4


def test_written_manifest_fits_the_json_schema(written: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(written, SCHEMA)
    assert SCHEMA["properties"].keys() == {f.name for f in dataclasses.fields(Manifest)}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written, "hopp": 1}, SCHEMA)


def test_bias_window_and_golden_may_be_left_out(written: dict[str, Any]) -> None:
    value = written
    for path in ("findings/0/bias", "variants/fp32/window", "golden"):
        value = edited(value, path, DELETE)
    read = parse(value)
    assert (read.findings[0].bias, read.variants["fp32"].window, read.golden) == (0.0, None, None)
    jsonschema.validate(value, SCHEMA)


@pytest.mark.parametrize(
    ("path", "new", "reason"),
    [
        ("schema", 3, "schema 3 needs a newer acula-edge"),
        ("schema", "1", "'schema' must be a whole number"),
        ("schema", 0, "'schema' must be a whole number of at least 1"),
        ("rate", DELETE, "key 'rate' is missing"),
        ("hopp", 1, "unknown key 'hopp'"),
        ("findings/1/colour", 1, "unknown key 'findings[1].colour'"),
        ("variants/fp32/stream/size", 1, "unknown key 'variants.fp32.stream.size'"),
        ("rate", "4000", "'rate' must be a whole number, not str"),
        ("rate", True, "'rate' must be a whole number, not bool"),
        ("rate", 4000.0, "'rate' must be a whole number, not float"),
        ("rate", 0, "'rate' must be greater than 0"),
        ("window", 33, "'window' must be a multiple of 'hop'"),
        ("name", "../x", "'name' must be a plain name"),
        ("version", 1, "'version' must be a string, not int"),
        ("front_end", [], "'front_end' must be an object, not list"),
        ("findings", {}, "'findings' must be a list, not dict"),
        ("findings", [], "'findings' must not be empty"),
        ("findings/1/name", "murmur", "'findings' must have different names"),
        ("findings/0/site", "knee", "'findings[0].site' must be heart or lung"),
        ("findings/0/pooling/kind", "max", "'findings[0].pooling.kind' must be mean or"),
        ("findings/0/pooling/sharpness", 0, "'findings[0].pooling.sharpness' must be greater"),
        ("findings/0/temperature", 0, "'findings[0].temperature' must be greater than 0"),
        ("findings/0/temperature", None, "'findings[0].temperature' must be a number"),
        ("findings/0/temperature", 10**400, "'findings[0].temperature' must be a finite"),
        ("findings/0/present", 1.5, "'findings[0].present' must be between 0 and 1"),
        ("findings/0/absent", 0.8, "'findings[0].absent' must not exceed 'present'"),
        ("findings/0/leave", 0.9, "'findings[0].leave' must not exceed 'enter'"),
        ("smoothing/minimum_on", -1, "'smoothing.minimum_on' must not be negative"),
        ("minimum_evidence", -1, "'minimum_evidence' must not be negative"),
        ("variants", {}, "'variants' must not be empty"),
        ("variants/fp32/providers", [], "'variants.fp32.providers' must not be empty"),
        ("variants/fp32/providers", [1], "'variants.fp32.providers[0]' must be a string"),
        ("variants/fp32/state_size", 0, "'variants.fp32.state_size' must be greater than 0"),
        ("variants/fp32/stream/file", "../a.onnx", "stream.file' must be a plain file name"),
        ("variants/fp32/stream/file", "/a.onnx", "stream.file' must be a plain file name"),
        ("variants/fp32/stream/file", "a/b.onnx", "stream.file' must be a plain file name"),
        ("variants/fp32/window/file", "a\\b", "window.file' must be a plain file name"),
        ("variants/fp32/window/file", "SHA256SUMS", "window.file' must be a plain file name"),
        ("variants/fp32/stream/sha256", "AB", "stream.sha256' must be 64 lower-case hex digits"),
        ("training_data/0/patients", -1, "'training_data[0]' must not have negative counts"),
        ("training_data/0/patients", "7", "'training_data[0].patients' must be a whole number"),
        ("parity/gain_tolerance", -1, "'parity.gain_tolerance' must not be negative"),
        ("golden/input", "..", "'golden.input' must be a plain file name"),
        ("golden/scores/int8", [[1.0, 2.0]], "'golden.scores.int8' is for no variant"),
        ("golden/scores/fp32", [[1.0]], "'golden.scores.fp32' must have 2 per row"),
        ("golden/scores/fp32", [], "'golden.scores.fp32' must not be empty"),
        ("golden/scores/fp32", [[1.0, 2.0]] * 5, "'golden.scores.fp32' is longer than the window"),
        ("golden/scores/fp32/0/0", "x", "'golden.scores.fp32[0][0]' must be a number"),
    ],
)
def test_refusals_name_the_key(
    written: dict[str, Any], path: str, new: object, reason: str
) -> None:
    with pytest.raises(BundleError) as caught:
        parse(edited(written, path, new))
    assert str(caught.value).startswith("manifest.json: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is not valid JSON"),
        (b"[1]", "is not a JSON object"),
        (b"\xff\xfe", "is not valid JSON"),
        (b'{"schema": 1, "schema": 1}', "duplicate key 'schema'"),
        (b'{"schema": NaN}', "NaN is not a JSON number"),
        (b'{"schema": "\\ud800"}', "is not valid JSON"),
        (b'{"a":' * 100_000, "is not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not valid JSON"),
    ],
)
def test_hostile_json_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(BundleError, match=r"^manifest\.json: ") as caught:
        parse_manifest(data)
    assert reason in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(key=st.sampled_from(sorted(SCHEMA["properties"])), value=json_values)
def test_any_value_anywhere_is_read_or_refused(key: str, value: object) -> None:
    whole = json.loads(dump_manifest(manifest()))
    whole["variants"]["fp32"]["stream"]["sha256"] = "0" * 64
    whole["variants"]["fp32"]["window"]["sha256"] = "0" * 64
    try:
        parse({**whole, key: value})
    except BundleError:
        return
    jsonschema.validate({**whole, key: value}, SCHEMA)


def test_golden_rows_match_the_factory() -> None:
    golden = manifest().golden
    assert golden is not None
    assert len(golden.scores["fp32"]) == GOLDEN_HOPS
