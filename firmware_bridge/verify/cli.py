"""`acula-edge firmware verify`: a thin shell over `verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from acula_edge.errors import UsageError
from firmware_bridge.verify.cores import DEFAULT_CORES

MISMATCH = 7  # exit code of a check that failed, as `bench latency` has it


def verify(
    folder: Annotated[
        Path, typer.Argument(help="What `firmware export` wrote; its C is run here.")
    ],
    on: Annotated[
        list[str] | None,
        typer.Option(help="host, m4, m7, m55 or m55-mve; again for more; default: the first four."),
    ] = None,
    recording: Annotated[
        list[Path] | None, typer.Option(help="A recording to compare on too; again for more.")
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(help="Bundle it was made from; default: the shipped one.")
    ] = None,
    rounding: Annotated[str, typer.Option(help="float, single or double.")] = "float",
    flag: Annotated[
        list[str] | None, typer.Option(help="Compiler flag for Arm builds, such as -O3.")
    ] = None,
    decisions: Annotated[
        bool, typer.Option(help="Compare each recording's exam with `classify`'s too.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
) -> None:
    """Prove a firmware folder byte for byte against the reference; exits with 7 if it differs."""
    from firmware_bridge.verify.case import make_case  # noqa: PLC0415 - numpy and onnx
    from firmware_bridge.verify.decisions import decide_alike  # noqa: PLC0415
    from firmware_bridge.verify.folder import read_folder  # noqa: PLC0415
    from firmware_bridge.verify.report import report_json, report_table  # noqa: PLC0415
    from firmware_bridge.verify.verify import check  # noqa: PLC0415

    firmware = read_folder(folder)
    case = make_case(firmware, recordings=recording or (), rounding=rounding, bundle=bundle)
    reports = [
        check(firmware, case, core, rounding=rounding, extra=flag or ())
        for core in on or DEFAULT_CORES
    ]
    agreed = decide_alike(firmware, bundle, recording or ()) if decisions else None
    if out is not None:
        figures = report_json(firmware, reports, rounding=rounding, decisions=agreed)
        _write(out, json.dumps(figures, indent=1) + "\n")
    typer.echo(report_table(reports, agreed))
    if not (all(report.passed for report in reports) and (agreed is None or agreed.passed)):
        raise typer.Exit(MISMATCH)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
