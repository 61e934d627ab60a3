"""The table of the experiment: every row's AUROC and its gain over self-supervision alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from align.experiment.rows import Row, rows
from align.experiment.scoring import join_seeds
from align.probe.compare import paired_difference
from align.probe.score import TaskScores, interval, resampled
from align.statistics import RESAMPLES, Estimate
from align.training.recipe import Recipe

REFERENCE = "ssl"


@dataclass(frozen=True)
class Line:
    """One row: AUROC by task and their mean, each seed's own, and the gain over `REFERENCE`.

    Intervals of `tasks` and `mean` resample patients; those of `gains` and `gain` resample the
    training seeds too, each row's seed i being paired with the reference's.
    """

    name: str
    title: str
    group: str
    run_seeds: tuple[int, ...]
    tasks: Mapping[str, Estimate]
    mean: Estimate
    seeds: Mapping[str, tuple[float, ...]]
    gains: Mapping[str, Estimate]
    gain: Estimate | None


def lines(
    recipe: Recipe,
    scores: Mapping[str, Mapping[int, list[TaskScores]]],
    resamples: int = RESAMPLES,
) -> list[Line]:
    """A line per row that has been run, in the table's order.

    A row that lacks seeds says so, and is compared with the reference's same seeds.
    """
    return [
        _line(row, scores[row.name], scores.get(REFERENCE, {}), recipe, resamples)
        for row in rows(recipe)
        if row.name in scores
    ]


def _line(
    row: Row,
    runs: Mapping[int, list[TaskScores]],
    reference: Mapping[int, list[TaskScores]],
    recipe: Recipe,
    resamples: int,
) -> Line:
    seeds = tuple(sorted(runs))
    scores = join_seeds([runs[seed] for seed in seeds])
    tasks, draws, each = {}, [], {}
    for one, weight in zip(scores, resampled(scores, resamples), strict=True):
        values = one.metric(weight).mean(axis=0)
        tasks[one.task.name] = interval(float(one.metric().mean()), values)
        draws.append(values)
        groups = one.by_group()
        parts = groups.values() if len(groups) > 1 else one.metric()[:, 0]
        each[one.task.name] = tuple(round(float(value), 4) for value in parts)
    mean = interval(float(np.mean([e.value for e in tasks.values()])), np.mean(draws, axis=0))
    gains: Mapping[str, Estimate] = {}
    gain = None
    if row.name != REFERENCE and set(seeds) <= set(reference):
        same = join_seeds([reference[seed] for seed in seeds])
        difference = paired_difference(scores, same, resamples=resamples, resample_seeds=True)
        gains, gain = difference.tasks, difference.mean
    title = row.title
    if len(seeds) < len(recipe.seeds):
        title += f" ({len(seeds)} of {len(recipe.seeds)} seeds)"
    return Line(row.name, title, row.group, seeds, tasks, mean, each, gains, gain)


def markdown(table: Sequence[Line]) -> str:
    """The table for people; a gain in bold has its whole interval above zero."""
    names = list(table[0].tasks)
    head = ["row", *names, "mean", "gain over SSL only"]
    text = [_markdown_row(head), _markdown_row(["---"] * len(head))]
    for line in table:
        cells = [str(line.tasks[name]) for name in names]
        text.append(_markdown_row([line.title, *cells, str(line.mean), _gain(line.gain)]))
    return "\n".join(text) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _gain(gain: Estimate | None) -> str:
    if gain is None:
        return ""
    text = f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    return f"**{text}**" if gain.low > 0 else text


def write_table(
    table: Sequence[Line], extras: Mapping[str, object], folder: Path, name: str
) -> None:
    """Write `name.json` (the record), `name.md` and `name.svg` into `folder`."""
    from align.experiment.plot import draw  # noqa: PLC0415  (matplotlib takes a second to load)

    folder.mkdir(parents=True, exist_ok=True)
    record = {"schema": 1, **extras, "rows": [asdict(line) for line in table]}
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    (folder / f"{name}.md").write_text(markdown(table))
    draw(table, folder / f"{name}.svg")


KEY_ROWS = ("untrained", "ssl", "cka", "no-labels", "shuffled-within", "supervised")


def readme_table(record: Mapping[str, Any]) -> str:
    """The rows that tell the story, from a record that `write_table` wrote."""
    text = [
        _markdown_row(["encoder", "mean AUROC of 4 tasks", "gain over SSL only"]),
        _markdown_row(["---"] * 3),
    ]
    for row in record["rows"]:
        if row["name"] in KEY_ROWS:
            gain = Estimate(**row["gain"]) if row["gain"] else None
            text.append(_markdown_row([row["title"], str(Estimate(**row["mean"])), _gain(gain)]))
    return "\n".join(text) + "\n"
