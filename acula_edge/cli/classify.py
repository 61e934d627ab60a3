"""`acula-edge classify`: recordings in, one exam each out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from acula_edge.errors import AculaError
    from acula_edge.events import Exam

    Result = tuple[Path, Exam | AculaError]

SIMILAR_REPORTS = 3


def classify(
    files: Annotated[list[Path], typer.Argument(help="Recordings, or folders of them.")],
    site: Annotated[str | None, typer.Option(help="heart or lung; default: all findings.")] = None,
    model: Annotated[str, typer.Option(help="Shipped bundle, or a path to one.")] = "heart-lung",
    variant: Annotated[str, typer.Option(help="The bundle's artefact to run.")] = "cpu-int8",
    provider: Annotated[
        str, typer.Option(help="cpu, tensorrt-ep, tensorrt or tensorrt-fp16.")
    ] = "cpu",
    channel: Annotated[int, typer.Option(help="Channel to read, from 0.")] = 0,
    key: Annotated[str | None, typer.Option(help="minisign key the bundle must bear.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also show the most similar reports. Research only.")
    ] = False,
    json_lines: Annotated[bool, typer.Option("--json", help="One exam per line.")] = False,
) -> None:
    """Score recordings offline. A bad file is reported, the others are scored (exit code 1)."""
    from acula_edge.bundle import load_bundle  # noqa: PLC0415
    from acula_edge.classifying import classify as run  # noqa: PLC0415
    from acula_edge.classifying import expand  # noqa: PLC0415
    from acula_edge.session import check_options  # noqa: PLC0415

    bundle = load_bundle(model, trusted_key=key)
    reports = SIMILAR_REPORTS if explain else 0
    check_options(bundle, site, variant, provider, reports)
    paths = expand(files)
    results = run(
        paths,
        bundle,
        site=site,
        variant=variant,
        provider=provider,
        channel=channel,
        explain=reports,
    )
    failed = _print_json(results, len(paths)) if json_lines else _print_table(results, len(paths))
    if failed:
        raise typer.Exit(1)


def _progress(results: Iterable[Result], total: int) -> Iterable[Result]:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import track  # noqa: PLC0415

    console = Console(stderr=True)
    hidden = total < 2 or not console.is_terminal
    return track(results, "scoring", total=total, console=console, transient=True, disable=hidden)


def _print_json(results: Iterable[Result], total: int) -> int:
    from acula_edge.classifying import result_json  # noqa: PLC0415

    failed = 0
    for path, result in _progress(results, total):
        line = result_json(path, result)
        failed += line["type"] == "error"
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    return failed


def _print_table(results: Iterable[Result], total: int) -> int:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from acula_edge.events import NOTICE, Exam  # noqa: PLC0415

    table = Table("file", "finding", "probability", "decision", "remarks", caption=NOTICE)
    failed = 0
    similar: list[tuple[str, str, str]] = []
    for path, result in _progress(results, total):
        if not isinstance(result, Exam):
            failed += 1
            table.add_row(path.name, "", "", "[bold]error[/bold]", str(result))
            continue
        remarks = ", ".join(result.reasons)
        if result.abstained:
            remarks = f"abstained: {remarks}"
        for index, (name, finding) in enumerate(result.findings.items()):
            value = "-" if finding.probability is None else f"{finding.probability:.2f}"
            head, tail = (path.name, remarks) if index == 0 else ("", "")
            table.add_row(head, name, value, finding.decision, tail)
        similar += _similar_rows(path, result)
    Console().print(table)
    if similar:
        texts = Table("file", "similarity", "text", title="Similar texts: research, no decision")
        for file, value, text in similar:
            texts.add_row(Text(file), value, Text(text))
        Console().print(texts)
    return failed


def _similar_rows(path: Path, exam: Exam) -> list[tuple[str, str, str]]:
    """File, similarity and text of the exam's prompts, then of its nearest reports."""
    found = [(f"prompt {name}", value) for name, value in exam.similarities.items()]
    found += [(report.text, report.similarity) for report in exam.similar]
    return [(path.name, f"{value:+.2f}", text) for text, value in found]
