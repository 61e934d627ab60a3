"""The *original*: the aligned encoder's linear probe, from the folder of an `align` run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from acula_edge.errors import MissingDependencyError, UsageError
from align.settings import RecipeError
from benchmarks.accuracy.recordings import Part
from benchmarks.record import Interval, OriginalAccuracy
from export.figures import as_json, interval

if TYPE_CHECKING:
    from export.students import TaskScores


@dataclass(frozen=True)
class Original:
    """Its figures, and its scores by task (`Part.task`) and recording; higher means positive."""

    accuracy: OriginalAccuracy
    scores: Mapping[str, Mapping[str, float]]


def read_original(folder: Path, parts: Sequence[Part]) -> Original:
    """The probe's stored scores of the recordings of `parts`; nothing is scored again.

    An encoder is left out of the tasks it has no scores of, such as a database that it heard.

    Raises:
        UsageError: the folder holds no scores, or lacks some of a finding's own recordings.
        MissingDependencyError: the align extra is not installed.
    """
    try:
        import export.students  # noqa: F401, PLC0415 - loads torch
    except ImportError as error:
        raise MissingDependencyError(
            f"--original needs {error.name}: pip install 'acula-edge[align]'"
        ) from None
    found: dict[str, TaskScores] = {}
    for part in parts:
        for finding in part.findings:
            scores = _task(folder, part, finding)
            if scores is not None:
                found[part.task(finding)] = scores
    figures = {task: _auroc(scores) for task, scores in found.items()}
    return Original(
        accuracy=OriginalAccuracy(
            name=_name(folder),
            parameters=_parameters(folder),
            tasks={task: figure for task, figure in figures.items() if figure is not None},
        ),
        scores={
            task: dict(zip(scores.names, scores.score.tolist(), strict=True))
            for task, scores in found.items()
        },
    )


def _task(folder: Path, part: Part, finding: str) -> TaskScores | None:
    from export.students import TASKS, TRANSFER, TaskScores, original_scores  # noqa: PLC0415

    names = {label: task for task, label in TASKS.items() if task != TRANSFER}
    task = names.get(finding) if part.first else TRANSFER
    if task is None:
        return None
    rows = [row for row in part.rows if finding in row.labels]
    like = TaskScores(
        names=tuple(row.name for row in rows),
        patients=tuple(row.patient for row in rows),
        truth=np.array([float(row.labels[finding]) for row in rows]),
        score=np.zeros(len(rows)),
    )
    try:
        return original_scores(folder, {task: like}).get(task)
    except RecipeError as error:
        if part.first:
            raise UsageError(str(error)) from None
        return None


def _auroc(scores: TaskScores) -> Interval | None:
    draws = scores.draws()
    figure = as_json(interval(float(draws[0]), draws[1:]))
    return None if figure is None else Interval(**figure)


def _name(folder: Path) -> str:
    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        recipe = run["recipe"]
        told = f"{recipe['name']}, {recipe['objective']['name']}, seed {run['seed']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "aligned encoder"
    return f"aligned encoder ({told})"


def _parameters(folder: Path) -> int | None:
    from align.encoders.base import EncoderError  # noqa: PLC0415
    from align.encoders.checkpoints import load_encoder  # noqa: PLC0415

    with suppress(EncoderError):
        return sum(parameter.numel() for parameter in load_encoder(folder).parameters())
    return None
