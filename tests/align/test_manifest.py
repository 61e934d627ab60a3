"""Manifests come back as they were written, and a damaged one says where."""

import dataclasses
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from align.corpora.manifest import Entry, ManifestError, read_manifest, write_manifest
from align.corpora.recording import Interval, Recording

FIRST = Entry(
    corpus="circor",
    name="100_AV",
    path="circor-digiscope/training_data/100_AV.wav",
    patient="100",
    device="littmann-3200",
    site="AV",
    split="train",
    labels={"murmur": True, "severity": 3, "fvc": 2.5, "diagnosis": "insuffisance aortique é"},
    intervals=(Interval(0.125, 0.25, "S1"), Interval(0.25, 1.0, "systole")),
    metadata={"age": "Child", "note": 'a "quoted"\nline\u2028end'},
    licence="ODC-By 1.0",
    seconds=12.25,
    rate=4000,
    audio_sha256="ab" * 32,
)
SECOND = dataclasses.replace(
    FIRST, name="200_MV", labels={}, intervals=(), metadata={}, audio_sha256=None, split="test"
)
SUFFIXES = pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])


@SUFFIXES
def test_a_manifest_comes_back_as_it_was(tmp_path, suffix):
    path = tmp_path / "new" / f"m{suffix}"
    write_manifest([FIRST, SECOND], path)
    back = read_manifest(path)
    assert back == [FIRST, SECOND]
    assert {key: type(value) for key, value in back[0].labels.items()} == {
        "murmur": bool,
        "severity": int,
        "fvc": float,
        "diagnosis": str,
    }
    assert not list(path.parent.glob("*.tmp"))


@SUFFIXES
def test_an_empty_manifest_is_one(tmp_path, suffix):
    write_manifest([], tmp_path / f"m{suffix}")
    assert read_manifest(tmp_path / f"m{suffix}") == []


def test_an_entry_gives_its_recording_back(tmp_path):
    row = FIRST.recording(tmp_path)
    assert isinstance(row, Recording)
    assert row.path == tmp_path / FIRST.path
    assert (row.patient, row.labels, row.intervals) == ("100", FIRST.labels, FIRST.intervals)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rate", 0),
        ("rate", True),
        ("rate", 4000.0),
        ("seconds", -1.0),
        ("seconds", "12"),
        ("split", "training"),
        ("labels", {"murmur": None}),
        ("labels", ["murmur"]),
        ("metadata", {"age": 3}),
        ("intervals", [{"start": 0, "end": 1}]),
        ("intervals", [{"start": "0", "end": 1, "label": "S1"}]),
        ("path", "/etc/passwd"),
        ("path", "a/../../b"),
        ("path", ""),
        ("patient", 100),
        ("patient", None),
        ("audio_sha256", 5),
    ],
)
def test_a_field_of_another_kind_is_named_with_its_line(tmp_path, field, value):
    path = tmp_path / "m.jsonl"
    write_manifest([SECOND, FIRST], path)
    lines = path.read_text().split("\n")
    lines[2] = json.dumps(json.loads(lines[2]) | {field: value})
    path.write_text("\n".join(lines))
    with pytest.raises(ManifestError, match=rf"m\.jsonl, line 3: field '{field}' cannot be"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda row: row.pop("licence"), "line 2: field 'licence' is missing"),
        (lambda row: row.update(extra=1), "line 2: field 'extra' is unknown"),
    ],
)
def test_a_missing_or_unknown_field_is_named(tmp_path, change, problem):
    path = tmp_path / "m.jsonl"
    write_manifest([FIRST], path)
    header, line, _ = path.read_text().split("\n")
    row = json.loads(line)
    change(row)
    path.write_text(f"{header}\n{json.dumps(row)}\n")
    with pytest.raises(ManifestError, match=problem):
        read_manifest(path)


def damaged(tmp_path, change):
    path = tmp_path / "m.jsonl"
    write_manifest([FIRST, SECOND], path)
    path.write_text(change(path.read_text()))
    return path


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text[:-40], "cut short in line 3"),
        (lambda text: text.replace('"name"', '"name', 1), "line 2 is not JSON"),
        (lambda text: text.splitlines()[0] + "\n", "has 0 rows but states 2"),
        (lambda text: text.split("\n", 1)[1], "its header is missing"),
        (lambda text: text.replace('"version": 1', '"version": 9', 1), "has version 9"),
        (lambda text: "", "its header is missing"),
    ],
)
def test_a_damaged_file_says_where(tmp_path, change, problem):
    with pytest.raises(ManifestError, match=rf"m\.jsonl.*{problem}"):
        read_manifest(damaged(tmp_path, change))


def test_bytes_that_are_no_text_are_named(tmp_path):
    path = damaged(tmp_path, lambda text: text)
    path.write_bytes(path.read_bytes().replace(b"circor", b"circ\xff\xfe", 1))
    with pytest.raises(ManifestError, match="is not readable"):
        read_manifest(path)


def test_a_parquet_file_that_was_cut_is_named(tmp_path):
    path = tmp_path / "m.parquet"
    write_manifest([FIRST, SECOND], path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ManifestError, match=r"m\.parquet is not readable"):
        read_manifest(path)


def test_a_parquet_file_of_something_else_is_named(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match="is not a manifest"):
        read_manifest(tmp_path / "m.parquet")


def test_a_row_of_a_parquet_file_is_checked_too(tmp_path):
    path = tmp_path / "m.parquet"
    write_manifest([FIRST], path)
    table = pq.read_table(path)
    column = table.schema.get_field_index("split")
    other = table.set_column(column, "split", pa.array(["training"]))
    pq.write_table(other, path)
    with pytest.raises(ManifestError, match="row 1: field 'split' cannot be 'training'"):
        read_manifest(path)


def test_a_missing_manifest_says_how_to_write_one(tmp_path):
    with pytest.raises(ManifestError, match="acula-edge data prepare"):
        read_manifest(tmp_path / "m.jsonl")


@pytest.mark.parametrize("work", [read_manifest, lambda path: write_manifest([FIRST], path)])
def test_another_suffix_is_refused(tmp_path, work):
    with pytest.raises(ManifestError, match=r"ends in \.jsonl or \.parquet"):
        work(tmp_path / "m.csv")


@SUFFIXES
def test_a_failed_write_leaves_the_old_manifest(tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    write_manifest([FIRST], path)
    with pytest.raises(ManifestError, match="cannot be written"):
        write_manifest([dataclasses.replace(FIRST, labels={"fvc": float("nan")})], path)
    assert read_manifest(path) == [FIRST]
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
