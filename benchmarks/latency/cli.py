"""`acula-edge bench latency`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from acula_edge.errors import UsageError

PROVIDERS = "cpu, tensorrt-ep, tensorrt or tensorrt-fp16."
INTERRUPTED = 130


def latency(
    model: Annotated[str, typer.Option(help="Shipped bundle, or a path to one.")] = "heart-lung",
    variant: Annotated[
        list[str] | None, typer.Option(help="Artefact to run; repeat for more. [cpu-int8]")
    ] = None,
    provider: Annotated[str, typer.Option(help=PROVIDERS)] = "cpu",
    full: Annotated[
        bool, typer.Option("--full/--quick", help="Minutes per variant, or under one.")
    ] = False,
    source_rate: Annotated[int, typer.Option(min=1, help="Of the sound pushed, Hz.")] = 44_100,
    out: Annotated[Path, typer.Option(help="Where the record goes.")] = Path("latency.json"),
    soak: Annotated[
        float | None, typer.Option(min=0.0, metavar="HOURS", help="Only listen, paced, so long.")
    ] = None,
    max_p50_ms: Annotated[float | None, typer.Option(help="Limit: a paced hop's median.")] = None,
    max_p95_ms: Annotated[float | None, typer.Option(help="Limit: its 95th percentile.")] = None,
    max_p99_ms: Annotated[float | None, typer.Option(help="Limit: its 99th percentile.")] = None,
    max_rss_mb: Annotated[float | None, typer.Option(help="Limit: memory, 10^6 bytes.")] = None,
    max_misses: Annotated[int | None, typer.Option(help="Limit: deadlines missed, paced.")] = None,
    max_duty: Annotated[float | None, typer.Option(help="Limit: share of time busy.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The record on stdout.")] = False,
) -> None:
    """Latency of the bundle on this machine: start, stages, paced and flat out, capacity, memory.

    A broken limit, or one that too few samples cannot prove, is exit code 7.
    """
    from dataclasses import replace  # noqa: PLC0415

    from acula_edge.bundle import load_bundle  # noqa: PLC0415
    from acula_edge.bundle.strict import plain  # noqa: PLC0415
    from benchmarks.latency.limits import EXIT_CODE, Limits, broken  # noqa: PLC0415
    from benchmarks.latency.measure import record_latency  # noqa: PLC0415
    from benchmarks.latency.settings import FULL, QUICK  # noqa: PLC0415
    from benchmarks.latency.table import lines  # noqa: PLC0415
    from benchmarks.record import Record, write_record  # noqa: PLC0415

    if not out.parent.is_dir():
        raise UsageError(f"{out.parent} is not a folder: --out names a file in one")

    def save(record: Record) -> None:
        try:
            write_record(record, out)
        except OSError as error:
            raise UsageError(f"{out} cannot be written: {error.strerror}") from None

    record = record_latency(
        load_bundle(model),
        list(dict.fromkeys(variant or ["cpu-int8"])),
        provider,
        replace(FULL if full else QUICK, source_rate=source_rate),
        command="acula-edge bench latency " + shlex.join(sys.argv[3:]),
        soak_hours=soak,
        save=save,
        progress=lambda what: typer.echo(f"measuring {what} ...", err=True),
    )
    save(record)
    typer.echo(json.dumps(plain(record), indent=1) if as_json else "\n".join(lines(record)))
    typer.echo(f"written to {out}", err=True)
    if not record.complete:
        raise typer.Exit(INTERRUPTED)
    limits = Limits(max_p50_ms, max_p95_ms, max_p99_ms, max_rss_mb, max_misses, max_duty)
    sentences = [sentence for run in record.runs for sentence in broken(limits, run)]
    for sentence in sentences:
        typer.echo(f"limit: {sentence}", err=True)
    if sentences:
        raise typer.Exit(EXIT_CODE)
