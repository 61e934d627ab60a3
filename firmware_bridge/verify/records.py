"""The records the harness writes, as numpy dtypes, and where two streams of them first differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from acula_edge.errors import BundleError

RESULT, EXAM, REFUSAL, END = 1, 2, 3, 4
_HEAD: Final = [("tag", "<u4")]
_REFUSAL: Final = np.dtype([*_HEAD, ("operation", "<u4"), ("status", "<u4")])
_END: Final = np.dtype(
    [
        *_HEAD,
        ("calibration", "<u4"),
        ("ticks", "<u8"),
        ("worst", "<u4"),
        ("stack", "<u4"),
    ]
)


@dataclass(frozen=True)
class Shape:
    """How many findings, steps per hop, phases and embedding values a model has."""

    findings: int
    steps: int
    phases: int
    embedding: int

    @property
    def result(self) -> np.dtype[Any]:
        """A hop's result, in the order of put_result in harness_main.c."""
        return np.dtype(
            [
                *_HEAD,
                ("start", "<u8"),
                ("hop", "<u4"),
                ("quality", "u1"),
                ("reasons", "u1"),
                ("active", "u1", (self.findings,)),
                ("scores", "<f4", (self.findings,)),
                ("step_scores", "<f4", (self.findings, self.steps)),
                ("phases", "<f4", (self.phases, self.steps)),
                ("embedding", "<f4", (self.embedding,)),
                ("probability", "<f8", (self.findings,)),
            ]
        )

    @property
    def exam(self) -> np.dtype[Any]:
        """An exam, in the order of put_exam in harness_main.c."""
        return np.dtype(
            [
                *_HEAD,
                ("probability", "<f8", (self.findings,)),
                ("decision", "u1", (self.findings,)),
                ("abstained", "u1"),
                ("evidence_hops", "<u4"),
                ("refused_hops", "<u4"),
            ]
        )

    def dtype(self, tag: int) -> np.dtype[Any] | None:
        """The format of records with that tag; None for a tag that no record has."""
        return {RESULT: self.result, EXAM: self.exam, REFUSAL: _REFUSAL, END: _END}.get(tag)


@dataclass(frozen=True)
class End:
    """What the harness measured: ticks of its clock, bytes of stack."""

    calibration: int
    ticks: int
    worst: int
    stack: int


def split(data: bytes, shape: Shape) -> tuple[list[np.void], End]:
    """The records of a run, and its last one.

    Raises:
        BundleError: the bytes are not records of this shape, or the end is missing.
    """
    records: list[np.void] = []
    at = 0
    while at < len(data):
        tag = int.from_bytes(data[at : at + 4], "little")
        dtype = shape.dtype(tag)
        if dtype is None or at + dtype.itemsize > len(data):
            raise BundleError(
                f"the firmware's answer cannot be read at byte {at}: its structs are not those "
                "that acula.json describes"
            )
        records.append(np.frombuffer(data, dtype, 1, at)[0])
        at += dtype.itemsize
    if not records or int(records[-1]["tag"]) != END:
        raise BundleError("the firmware's answer breaks off before its end")
    last = records.pop()
    return records, End(*(int(last[name]) for name in ("calibration", "ticks", "worst", "stack")))


def packed(shape: Shape, tag: int, source: object) -> np.void:
    """A record with the fields of the reference's result or exam, which have the same names."""
    dtype = shape.dtype(tag)
    if dtype is None or dtype.names is None:
        raise ValueError(f"no record has tag {tag}")
    record = np.zeros(1, dtype)
    record["tag"] = tag
    for name in dtype.names[1:]:
        record[name] = getattr(source, name)
    first: np.void = record[0]
    return first


@dataclass(frozen=True)
class Comparison:
    """How many records were expected and how many came byte for byte; the first that did not."""

    vectors: int
    equal: int
    difference: str | None


def compare(
    expected: Sequence[np.void], got: Sequence[np.void], names: Sequence[str]
) -> Comparison:
    """Compare record by record; `names` say where each expected one comes from."""
    equal = sum(
        mine.tobytes() == theirs.tobytes() for mine, theirs in zip(expected, got, strict=False)
    )
    return Comparison(len(expected), equal, _first_difference(expected, got, names))


def _first_difference(
    expected: Sequence[np.void], got: Sequence[np.void], names: Sequence[str]
) -> str | None:
    for mine, theirs, name in zip(expected, got, names, strict=False):
        if mine.tobytes() != theirs.tobytes():
            return f"{name}: {_field_difference(mine, theirs)}"
    if len(got) < len(expected):
        return f"{names[len(got)]}: expected a record, got none"
    if len(got) > len(expected):
        return f"after {names[-1] if names else 'the start'}: {_kind(got[len(expected)])} too many"
    return None


def _field_difference(mine: np.void, theirs: np.void) -> str:
    if mine.dtype != theirs.dtype or mine.dtype.names is None:
        return f"expected {_kind(mine)}, got {_kind(theirs)}"
    for field in mine.dtype.names:
        if mine[field].tobytes() != theirs[field].tobytes():
            return _value_difference(field, np.asarray(mine[field]), np.asarray(theirs[field]))
    raise AssertionError("records differ but no field does")  # padding: packed dtypes have none


def _value_difference(field: str, mine: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> str:
    """The first element whose bytes differ: 0.0 and -0.0 do, equal NaNs do not."""
    size = mine.dtype.itemsize
    first, second = (np.ascontiguousarray(a).tobytes() for a in (mine, theirs))
    index = next(
        i for i in range(mine.size) if first[i * size :][:size] != second[i * size :][:size]
    )
    place = "".join(f"[{i}]" for i in np.unravel_index(index, mine.shape)) if mine.shape else ""
    return f"{field}{place}: expected {mine.flat[index]!r}, got {theirs.flat[index]!r}"


def _kind(record: np.void) -> str:
    tag = int(record["tag"])
    if tag == REFUSAL:
        return f"a refusal with status {int(record['status'])}"
    return {RESULT: "a hop's result", EXAM: "an exam"}.get(tag, f"a record with tag {tag}")
