"""The manifest of prepared corpora: one row per recording, as JSONL or parquet, read strictly."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from align.corpora.recording import Interval, Label, Recording
from align.errors import AlignError
from align.splits import Split

VERSION = 1
FORMAT = "acula-edge corpora"
NESTED = ("labels", "intervals", "metadata")
_META_KEY = b"manifest"


class ManifestError(AlignError):
    """A manifest cannot be read or written; the text names the file, the line and the reason."""


@dataclass(frozen=True)
class Entry:
    """One recording of a manifest; see `Recording` for what labels and metadata mean.

    `path` is relative to the data root, with forward slashes. `seconds` and `rate` (Hz) are the
    audio's own. `audio_sha256` is the hash of the decoded samples (`audio.pcm_sha256`), equal
    for re-encoded copies; None: not known.
    """

    corpus: str
    name: str
    path: str
    patient: str
    device: str
    site: str
    split: Split
    labels: Mapping[str, Label]
    intervals: tuple[Interval, ...]
    metadata: Mapping[str, str]
    licence: str
    seconds: float
    rate: int
    audio_sha256: str | None

    def recording(self, data_root: Path) -> Recording:
        """The row that the corpus's adapter gave."""
        return Recording(
            corpus=self.corpus,
            name=self.name,
            path=data_root / self.path,
            patient=self.patient,
            device=self.device,
            site=self.site,
            split=self.split,
            labels=self.labels,
            intervals=self.intervals,
            metadata=self.metadata,
        )


def write_manifest(entries: Iterable[Entry], path: Path) -> None:
    """Write `entries` to `path`, whose suffix (.jsonl or .parquet) names the format.

    Raises:
        ManifestError: another suffix, a value JSON has no number for, or the disk refuses.
    """
    write = {".jsonl": _write_jsonl, ".parquet": _write_parquet}.get(path.suffix)
    if write is None:
        raise ManifestError(f"{path}: a manifest ends in .jsonl or .parquet")
    draft = path.with_name(f"{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write([_row(entry) for entry in entries], draft)
        draft.replace(path)
    except (OSError, ValueError) as error:
        with suppress(OSError):
            draft.unlink()
        raise ManifestError(f"{path} cannot be written: {error}") from None


def read_manifest(path: Path) -> list[Entry]:
    """The rows of a manifest.

    Raises:
        ManifestError: missing, of another format or version, cut short, or a field that is absent,
            unknown or of another type.
    """
    read = {".jsonl": _read_jsonl, ".parquet": _read_parquet}.get(path.suffix)
    if read is None:
        raise ManifestError(f"{path}: a manifest ends in .jsonl or .parquet")
    try:
        return read(path)
    except FileNotFoundError:
        raise ManifestError(f"{path} is missing: write it with 'acula-edge data prepare'") from None
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise ManifestError(f"{path} is not readable: {error}") from None


def _row(entry: Entry) -> dict[str, Any]:
    return vars(entry) | {
        "labels": dict(entry.labels),
        "intervals": [vars(part) for part in entry.intervals],
        "metadata": dict(entry.metadata),
    }


def _write_jsonl(rows: list[dict[str, Any]], path: Path) -> None:
    header = {"manifest": FORMAT, "version": VERSION, "rows": len(rows)}
    with path.open("w", encoding="utf-8", newline="\n") as sink:
        for line in (header, *rows):
            sink.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")


def _write_parquet(rows: list[dict[str, Any]], path: Path) -> None:
    # labels mix types within one key across corpora, which no parquet column can: they go as JSON
    columns = {
        field.name: [
            json.dumps(row[field.name], ensure_ascii=False, allow_nan=False)
            if field.name in NESTED
            else row[field.name]
            for row in rows
        ]
        for field in fields(Entry)
    }
    meta = json.dumps({"manifest": FORMAT, "version": VERSION, "rows": len(rows)})
    schema = _SCHEMA.with_metadata({_META_KEY: meta.encode()})
    pq.write_table(pa.table(columns, schema=schema), path)


_SCHEMA = pa.schema(
    [
        (field.name, {"seconds": pa.float64(), "rate": pa.int64()}.get(field.name, pa.string()))
        for field in fields(Entry)
    ]
)


def _read_jsonl(path: Path) -> list[Entry]:
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines[-1] != "":
        raise ManifestError(f"{path} is cut short in line {len(lines)}: write it again")
    rows = [_json(path, number, line) for number, line in enumerate(lines[:-1], start=1)]
    _check_header(path, rows[0] if rows else None, len(rows) - 1)
    return [_entry(f"{path}, line {number}", row) for number, row in enumerate(rows[1:], start=2)]


def _json(path: Path, number: int, line: str) -> object:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ManifestError(f"{path}, line {number} is not JSON: {error}") from None


def _read_parquet(path: Path) -> list[Entry]:
    table = pq.read_table(path)
    meta = (table.schema.metadata or {}).get(_META_KEY)
    _check_header(path, None if meta is None else _json(path, 0, meta.decode()), table.num_rows)
    entries = []
    for number, row in enumerate(table.to_pylist(), start=1):
        where = f"{path}, row {number}"
        for name in NESTED:
            if not isinstance(row.get(name), str):
                raise ManifestError(f"{where}: field {name!r} is missing or of another type")
            row[name] = _json(path, number, row[name])
        entries.append(_entry(where, row))
    return entries


def _check_header(path: Path, header: object, rows: int) -> None:
    if not isinstance(header, dict) or header.get("manifest") != FORMAT:
        raise ManifestError(f"{path} is not a manifest of corpora: its header is missing")
    if header.get("version") != VERSION:
        raise ManifestError(
            f"{path} has version {header.get('version')}, this program reads {VERSION}:"
            " write it again with 'acula-edge data prepare'"
        )
    if header.get("rows") != rows:
        raise ManifestError(
            f"{path} has {rows} rows but states {header.get('rows')}: write it again"
        )


def _entry(where: str, row: object) -> Entry:
    if not isinstance(row, dict):
        raise ManifestError(f"{where} is no row")
    names = [field.name for field in fields(Entry)]
    for name in [*names, *row]:
        if name not in row or name not in names:
            problem = "is missing" if name in names else "is unknown"
            raise ManifestError(f"{where}: field {name!r} {problem}")
    for name, value in row.items():
        if not _fits(name, value):
            raise ManifestError(f"{where}: field {name!r} cannot be {value!r}")
    return Entry(**row | {"intervals": tuple(Interval(**part) for part in row["intervals"])})


def _fits(name: str, value: object) -> bool:
    check = _CHECKS.get(name)
    return isinstance(value, str) if check is None else check(value)


def _is_map(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(item, kinds) for key, item in value.items()
    )


def _is_interval(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"start", "end", "label"}
        and _is_number(value["start"])
        and _is_number(value["end"])
        and isinstance(value["label"], str)
    )


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _is_inside(path: object) -> bool:
    if not isinstance(path, str):
        return False
    pure = PurePosixPath(path)
    return bool(path) and not pure.is_absolute() and ".." not in pure.parts


_CHECKS: dict[str, Callable[[object], bool]] = {
    "split": lambda value: value in get_args(Split),
    "labels": lambda value: _is_map(value, (bool, int, float, str)),
    "metadata": lambda value: _is_map(value, (str,)),
    "intervals": lambda value: isinstance(value, list) and all(map(_is_interval, value)),
    "rate": lambda value: type(value) is int and value > 0,
    "seconds": lambda value: _is_number(value) and value >= 0,  # type: ignore[operator]
    "path": _is_inside,
    "audio_sha256": lambda value: value is None or isinstance(value, str),
}
"""What a field's value must be; a field that is not named here is text."""
