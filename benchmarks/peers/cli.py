"""`acula-edge bench peers`: ours beside other people's models and front ends, in one run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from acula_edge.bundle import load_bundle
from acula_edge.bundle.strict import plain
from acula_edge.session import DEFAULT_MODEL, DEFAULT_VARIANT
from benchmarks.peers.measure import FULL, QUICK, measure_peers
from benchmarks.record import Peer, Peers

COLUMNS = (
    "",
    "kind",
    "CPU ms / s of audio",
    "x ours [95 %]",
    "x our graph",
    "pairs",
    "MiB",
    "x ours",
    "weights",
)
UNKNOWN = "-"
INTERRUPTED = 130


def peers(
    model: Annotated[str, typer.Option(help="Shipped bundle, or a path.")] = DEFAULT_MODEL,
    variant: Annotated[str, typer.Option(help="Which of its artefacts.")] = DEFAULT_VARIANT,
    original: Annotated[
        Path | None, typer.Option(help="Folder of the `align run` to compare with.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full/--quick", help="40 turns instead of 6, for narrow intervals.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """CPU per second of audio and memory beside other models, in turn; missing ones are named."""
    settings = FULL if full else QUICK
    result = measure_peers(
        load_bundle(model), variant, settings, original=original,
        progress=lambda what: typer.echo(what, err=True),
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(plain(result), indent=1, allow_nan=False))
    else:
        typer.echo("\n".join(table_lines(result)))
    if result.turns < settings.turns:
        typer.echo(f"interrupted: {result.turns} of {settings.turns} turns", err=True)
        raise typer.Exit(INTERRUPTED)


def table_lines(result: Peers) -> list[str]:
    """A table of ratios for people, then what each row is, then the peers that are missing."""
    cells = [COLUMNS, *(_cells(row) for row in result.rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]
    lines = [_aligned(line, widths) for line in cells]
    lines += ["", f"{result.turns} turns, one thread; x ours: against the first row."]
    lines += [f"{row.name} {row.version} ({row.licence}): {row.note}" for row in result.rows]
    return lines + [f"missing: {peer.name}: {peer.why}" for peer in result.missing]


def _cells(row: Peer) -> tuple[str, ...]:
    ratio = row.ratio
    return (
        row.name,
        row.kind,
        f"{row.cpu_ms_per_second.p50.value:.3g}",
        UNKNOWN if ratio is None else f"{ratio.value:.3g} [{ratio.low:.3g}, {ratio.high:.3g}]",
        UNKNOWN if row.graph_ratio is None else f"{row.graph_ratio.value:.3g}",
        str(row.pairs) if row.pairs else UNKNOWN,
        UNKNOWN if row.peak_rss_mib is None else f"{row.peak_rss_mib:.0f}",
        UNKNOWN if row.rss_ratio is None else f"{row.rss_ratio:.2f}",
        UNKNOWN if row.bytes is None else f"{row.bytes / 1e6:.2f} MB",
    )


def _aligned(cells: Iterable[str], widths: Iterable[int]) -> str:
    padded = [
        cell.ljust(width) if column < 2 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()
