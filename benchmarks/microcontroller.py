"""The microcontroller builds of a bundle, as `acula-edge firmware verify` measured them.

Instructions are counted in an emulator, so they are neither cycles nor time; flash, RAM and stack
are the build's own. A vector is equal when every byte of the core's answer is the reference's.
"""

from __future__ import annotations

from collections.abc import Mapping
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
