"""`acula-edge bench accuracy`: a thin shell over `measure_accuracy`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acula_edge.errors import MissingDependencyError

if TYPE_CHECKING:
    from benchmarks.record import Accuracy, Difference, Group, Interval

INTERRUPTED = 130


def accuracy(
    data: Annotated[Path, typer.Option(help="Folder that holds the corpora.")],
    model: Annotated[str, typer.Option(help="Shipped bundle, or a path to one.")] = "heart-lung",
    variant: Annotated[
        list[str] | None, typer.Option(help="An artefact of the bundle; default: each of them.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="test: one more look at the test patients; val: none.")
    ] = "test",
    original: Annotated[
        Path | None,
        typer.Option(help="A run of `align run`: the aligned encoder's probe, to compare with."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Sample so many recordings of each corpus.")
    ] = None,
    looks: Annotated[
        int | None,
        typer.Option(min=0, help="Earlier looks at the test patients; default: the recipe's."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every figure, as JSON.")] = False,
) -> None:
    """AUROC and more of each variant on prepared corpora, through the path that runs live."""
    try:
        from acula_edge.bundle import load_bundle  # noqa: PLC0415
        from acula_edge.bundle.strict import plain  # noqa: PLC0415
        from benchmarks.accuracy.looks import earlier_looks  # noqa: PLC0415
        from benchmarks.accuracy.measure import measure_accuracy, unfinished  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            f"'acula-edge bench accuracy' needs {error.name}: pip install 'acula-edge[align,bench]'"
        ) from None
    bundle = load_bundle(model)
    names = tuple(variant or bundle.manifest.variants)
    found = measure_accuracy(
        bundle,
        names,
        data,
        split=split,
        original=original,
        limit=limit,
        looks=earlier_looks(bundle, split, looks),
        quiet=as_json or not sys.stdout.isatty(),
        progress=lambda sentence: typer.echo(sentence, err=True),
    )
    typer.echo(json.dumps(plain(found), indent=1) if as_json else "\n".join(accuracy_lines(found)))
    left_out = unfinished(found, names)
    if left_out:
        typer.echo(f"not scored: {', '.join(left_out)}", err=True)
        raise typer.Exit(INTERRUPTED)


def accuracy_lines(found: Accuracy) -> list[str]:
    """The figures over whole corpora and the differences, as a table for a terminal."""
    limited = "" if found.limited_to is None else f", a sample of {found.limited_to} a corpus"
    lines = [
        f"{found.recordings} recordings of {found.patients} patients ({found.split}{limited});"
        " value [95 % interval over patients]"
    ]
    for item in found.variants:
        lines.append(f"\n{item.variant}")
        for group in item.groups:
            if group.kind == "all":
                lines += _group_lines(group)
        lines += [_difference_line(row) for row in item.differences]
    if found.original is not None:
        lines.append(f"\n{found.original.name}")
        lines += [f"  {task}: AUROC {_span(span)}" for task, span in found.original.tasks.items()]
    return lines


def _group_lines(group: Group) -> list[str]:
    fixed = group.at_specificity.items()
    return [
        f"  {group.finding} ({group.corpus}): {group.recordings} recordings of {group.patients}"
        f" patients, {group.positive} positive, {group.refused} refused",
        f"    AUROC {_span(group.auroc)}, AUPRC {_span(group.auprc)}, ECE {_span(group.ece)}",
        f"    at the bundle's thresholds: sensitivity {_span(group.sensitivity)},"
        f" specificity {_span(group.specificity)}",
        *(f"    at specificity {name}: sensitivity {_span(span)}" for name, span in fixed),
    ]


def _difference_line(row: Difference) -> str:
    parts = [f"  {row.finding}, less {row.other}: AUROC {_span(row.auroc, '+')}"]
    if row.flips is not None:
        parts.append(f"{row.flips} of {row.recordings} decisions differ")
    if row.largest_logit is not None:
        parts.append(f"logits by at most {row.largest_logit:.3f}")
    return ", ".join(parts)


def _span(figure: Interval | None, sign: str = "") -> str:
    if figure is None:
        return "-"
    return f"{figure.value:{sign}.3f} [{figure.low:{sign}.3f}, {figure.high:{sign}.3f}]"
