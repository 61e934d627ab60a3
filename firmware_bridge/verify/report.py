"""A verification as a table and as JSON for `benchmarks`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from firmware_bridge.verify.decisions import Agreement
from firmware_bridge.verify.folder import Firmware
from firmware_bridge.verify.verify import CoreReport

SCHEMA, KIND = 1, "acula-edge-firmware-verify"
_HEADS: Final = ("core", "equal", "instructions/s", "flash", "RAM", "stack", "machine")


def report_json(
    firmware: Firmware,
    reports: Sequence[CoreReport],
    *,
    rounding: str,
    decisions: Agreement | None = None,
) -> dict[str, Any]:
    """The JSON form: the folder's model, one object per core, and the decisions if compared."""
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "model": dataclasses.asdict(firmware.about.model),
        "rounding": rounding,
        "arena_bytes": firmware.about.arena_bytes,
        "cores": [dataclasses.asdict(report) | {"passed": report.passed} for report in reports],
        "decisions": None if decisions is None else dataclasses.asdict(decisions),
    }


def report_table(reports: Sequence[CoreReport], decisions: Agreement | None = None) -> str:
    """The cores as Markdown, then the first difference of each that differs, then decisions."""
    rows = [_HEADS, tuple("---" for _ in _HEADS), *(_row(report) for report in reports)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines += [f"{each.core}: {each.difference}" for each in reports if each.difference]
    if decisions is not None:
        lines += [str(decisions), *([decisions.difference] if decisions.difference else [])]
    return "\n".join(lines)


def _row(report: CoreReport) -> tuple[str, ...]:
    per_second = report.instructions_per_second
    return (
        report.core,
        f"{report.equal} of {report.vectors}",
        "-" if per_second is None else f"{per_second / 1e6:.2f} M",
        *(_bytes(count) for count in (report.flash_bytes, report.ram_bytes, report.stack_bytes)),
        f"{report.machine}, {report.compiler}",
    )


def _bytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 1000:.1f} kB"
