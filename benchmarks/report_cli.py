"""`acula-edge bench report`: a thin shell over `measure_report`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from acula_edge.errors import MissingDependencyError, UsageError

INTERRUPTED = 130


def report(
    out: Annotated[Path, typer.Option(help="Folder of the report, made if need be.")] = Path(
        "report"
    ),
    model: Annotated[str, typer.Option(help="Shipped bundle, or a path to one.")] = "heart-lung",
    variant: Annotated[
        list[str] | None,
        typer.Option(help="Artefact; repeat for more. [cpu-int8 and fp32]"),
    ] = None,
    provider: Annotated[str, typer.Option(help="cpu, or a TensorRT provider.")] = "cpu",
    data: Annotated[
        Path | None, typer.Option(help="Folder that holds the corpora; without: speed alone.")
    ] = None,
    split: Annotated[str, typer.Option(help="test: a look at the test patients; val.")] = "test",
    looks: Annotated[
        int | None, typer.Option(min=0, help="Earlier looks; default: the recipe's.")
    ] = None,
    original: Annotated[
        Path | None, typer.Option(help="A run of `align run`: the aligned encoder.")
    ] = None,
    students: Annotated[
        Path | None, typer.Option(help="Record of `export students`: the family's front.")
    ] = None,
    firmware: Annotated[
        list[Path] | None, typer.Option(help="Record of `firmware verify`; repeat for more.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="Recordings of each corpus; 0: all. [60; --full: all]"),
    ] = None,
    peers: Annotated[bool, typer.Option("--peers/--no-peers")] = True,
    full: Annotated[
        bool, typer.Option("--full/--quick", help="Every recording and more turns, or minutes.")
    ] = False,
) -> None:
    """Latency, accuracy and peers in one run: JSON, HTML, CSV, and a PDF if there is a browser."""
    try:
        from acula_edge.bundle import load_bundle  # noqa: PLC0415
        from benchmarks import report_command as command  # noqa: PLC0415
        from benchmarks.accuracy.recordings import has_corpora  # noqa: PLC0415
        from benchmarks.record import write_record  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            f"'acula-edge bench report' needs {error.name}: pip install 'acula-edge[align,bench]'"
        ) from None
    bundle = load_bundle(model)
    chosen = tuple(dict.fromkeys(variant or ("cpu-int8", "fp32")))
    plan = command.Plan(
        bundle, chosen, provider, data, split, looks, original, students, tuple(firmware or ()),
        peers, full, limit,
    )  # fmt: skip
    folder = _folder(out)

    def say(what: str) -> None:
        typer.echo(what, err=True)

    if data is not None and not has_corpora(data):
        say(f"no corpora in {data}: speed without accuracy")
    record = command.measure_report(
        plan,
        command=shlex.join(["acula-edge", "bench", *sys.argv[2:]]),
        save=lambda part: write_record(part, folder / command.RECORD),
        say=say,
    )
    for path in command.write_report(record, folder, say):
        typer.echo(str(path))
    if not full:
        say(command.FULL_ADDS)
    if not record.complete:
        say("interrupted: the report holds what had been measured, and is marked partial")
        raise typer.Exit(INTERRUPTED)


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be made: {error.strerror}") from None
    return path
