"""The microcontroller builds of a bundle, as `acula-edge firmware verify` measured them.

Instructions are counted in an emulator, so they are neither cycles nor time; flash, RAM and stack
are the build's own. A vector is equal when every byte of the core's answer is the reference's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from acula_edge.bundle.strict import decode, parse_object
from acula_edge.errors import BundleError, UsageError
from benchmarks.record import Microcontroller

SCHEMA = 1
KIND = "acula-edge-firmware-verify"
KNOWN = tuple(field.name for field in fields(Microcontroller))
COUNTS = ("flash_bytes", "ram_bytes", "stack_bytes", "vectors", "equal")
UNKNOWN = "-"
COLUMNS = (
    "core", "M instructions / s of audio", "flash kB", "RAM kB", "stack kB", "equal vectors",
)  # fmt: skip


def read_microcontrollers(path: Path) -> tuple[Microcontroller, ...]:
    """The cores of a firmware record, in its order; keys that are not known are passed over.

    Raises:
        UsageError: no such file, damaged, or of another kind or schema.
    """
    try:
        record = parse_object(path.read_bytes())
        if record.get("kind") != KIND:
            raise UsageError(f"{path} is no record of `acula-edge firmware verify`")
        if record.get("schema") != SCHEMA:
            raise UsageError(
                f"{path} has schema {record.get('schema')!r}; this toolkit reads {SCHEMA}"
            )
        return _cores(record.get("cores"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except BundleError as error:
        raise UsageError(f"{path} is damaged: {error}") from None


def mlperf_tiny_lines(entries: Sequence[Microcontroller]) -> list[str]:
    """A text table in the manner of MLPerf Tiny: one core a line; what is not known is a dash."""
    if not entries:
        return ["no microcontroller was measured"]
    cells = [COLUMNS, *(_cells(entry) for entry in entries)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]
    return [_aligned(line, widths) for line in cells]


def _cores(cores: object) -> tuple[Microcontroller, ...]:
    if not isinstance(cores, list) or not cores:
        raise BundleError("'cores' must be a list of at least one core")
    found = tuple(_core(core, f"cores[{index}]") for index, core in enumerate(cores))
    names = [entry.core for entry in found]
    if len(set(names)) < len(names):
        raise BundleError("'cores' names a core twice")
    return found


def _core(core: object, at: str) -> Microcontroller:
    if not isinstance(core, Mapping):
        raise BundleError(f"'{at}' must be an object, not {type(core).__name__}")
    entry: Microcontroller = decode(Microcontroller, {k: core[k] for k in KNOWN if k in core}, at)
    instructions: Any = entry.instructions_per_second
    if instructions is not None and instructions <= 0:
        raise BundleError(f"'{at}.instructions_per_second' must be positive")
    for name in COUNTS:
        value = getattr(entry, name)
        if value is not None and value < 0:
            raise BundleError(f"'{at}.{name}' must not be negative")
    if entry.equal > entry.vectors:
        raise BundleError(f"'{at}' has more equal vectors than vectors")
    return entry


def _cells(entry: Microcontroller) -> tuple[str, ...]:
    per_second = entry.instructions_per_second
    return (
        entry.core,
        UNKNOWN if per_second is None else f"{per_second / 1e6:.2f}",
        _kilobytes(entry.flash_bytes),
        _kilobytes(entry.ram_bytes),
        _kilobytes(entry.stack_bytes),
        f"{entry.equal} of {entry.vectors}",
    )


def _kilobytes(size: int | None) -> str:
    return UNKNOWN if size is None else f"{size / 1000:.1f}"


def _aligned(cells: Iterable[str], widths: Iterable[int]) -> str:
    padded = [
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()
