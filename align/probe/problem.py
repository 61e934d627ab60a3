"""What a probe is given: features and truth of three folds, checked before anything is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from align.corpora.recording import Recording
from align.errors import AlignError
from align.statistics import macro_auroc
from align.tasks import Task

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


class ProbeError(AlignError):
    """A probe cannot be fitted or scored on the data it was given."""


@dataclass(frozen=True)
class Problem:
    """One fit of a probe: rows `train` are fitted, `val` chooses, `test` is scored.

    `features` is (n, d); `truth` is (n,), class numbers from 0 or, if `classes` is 0, the values
    to regress. The folds are disjoint row numbers.
    """

    name: str
    features: NDArray[np.float32]
    truth: Floats
    classes: int
    train: Indices
    val: Indices
    test: Indices

    def check(self) -> None:
        """Refuse what no probe can learn or score.

        Raises:
            ProbeError: an empty fold, features that are not finite, or a class that a fold of a
                classification lacks.
        """
        for fold, rows in (("train", self.train), ("val", self.val), ("test", self.test)):
            if not len(rows):
                raise ProbeError(f"{self.name}: the {fold} fold has no recordings")
            broken = int((~np.isfinite(self.features[rows])).any(axis=1).sum())
            if broken:
                raise ProbeError(f"{self.name}: {broken} {fold} embeddings are not finite")
            present = set(self.truth[rows].astype(int))
            missing = sorted(set(range(self.classes)) - present)
            if missing:
                raise ProbeError(
                    f"{self.name}: the {fold} fold has no recording of class {missing[0]}"
                )


def goodness(problem: Problem, rows: Indices, scores: Floats) -> float:
    """What validation maximises: (macro) AUROC of scores (len(rows), k), or minus the MAE."""
    truth = problem.truth[rows]
    if problem.classes == 0:
        return -float(np.abs(scores[:, 0] - truth).mean())
    return float(macro_auroc(truth, scores)[0])


def members(task: Task, rows: Sequence[Recording]) -> tuple[Indices, Floats]:
    """Numbers (m,) of the rows that belong to a task, and their truth (m,).

    Raises:
        ProbeError: there are none.
    """
    truths = [task.truth(row) for row in rows]
    indices = np.asarray([i for i, truth in enumerate(truths) if truth is not None], dtype=np.int64)
    if not len(indices):
        raise ProbeError(
            f"task {task.name}: none of the {len(rows)} recordings is of corpus {task.corpus!r}"
            f" with a usable {task.label!r}"
        )
    return indices, np.asarray([truth for truth in truths if truth is not None])


def problems(
    task: Task, rows: Sequence[Recording], features: NDArray[np.float32], truth: Floats
) -> list[tuple[str, Problem]]:
    """A task's fits, each with the name of what it holds out (`""` for the corpus's own split).

    `rows`, `features` (m, d) and `truth` (m,) are those of the task's members alone.

    Raises:
        ProbeError: a row lacks the metadata that names its database.
    """

    def problem(name: str, train: Indices, val: Indices, test: Indices) -> Problem:
        return Problem(name, features, truth, task.class_count, train, val, test)

    if task.split == "corpus":
        splits = np.asarray([row.split for row in rows])
        folds = [np.flatnonzero(splits == fold) for fold in ("train", "val", "test")]
        return [("", problem(task.name, *folds))]
    keys = np.asarray([_held_out_with(task, row) for row in rows])
    found = []
    for key in np.unique(keys):
        train, val = _inner_folds(task, rows, truth, np.flatnonzero(keys != key))
        label = f"{task.name} without {key}"
        found.append((str(key), problem(label, train, val, np.flatnonzero(keys == key))))
    return found


def _held_out_with(task: Task, row: Recording) -> str:
    if task.split == "leave-one-subject-out":
        return row.patient
    if task.hold_out not in row.metadata:
        raise ProbeError(f"task {task.name}: {row.name} has no {task.hold_out!r} in its metadata")
    return row.metadata[task.hold_out]


def _inner_folds(
    task: Task, rows: Sequence[Recording], truth: Floats, usable: Indices
) -> tuple[Indices, Indices]:
    """`usable` as (train, validation): a fixed draw of patients, of each class its share."""
    strata: dict[str, float] = {}
    for i in usable:
        patient = rows[i].patient
        strata[patient] = max(truth[i], strata.get(patient, -np.inf)) if task.classes else 0.0
    random = np.random.default_rng(0)
    chosen: set[str] = set()
    for stratum in sorted(set(strata.values())):
        names = sorted(patient for patient, own in strata.items() if own == stratum)
        count = max(1, round(task.probe.validation * len(names)))
        chosen.update(random.choice(names, size=count, replace=False).tolist())
    validates = np.asarray([rows[i].patient in chosen for i in usable])
    return usable[~validates], usable[validates]
