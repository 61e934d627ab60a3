"""Scores of probes on test recordings, and metrics of them under patient resampling."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from align.corpora.recording import Recording
from align.probe.problem import Floats, ProbeError
from align.statistics import RESAMPLES, Estimate, macro_auroc, patient_weights
from align.tasks import Task

BOOTSTRAP_SEED = 0


@dataclass(frozen=True)
class TaskScores:
    """What one way of scoring says of a task's test recordings.

    `scores` is (seeds, n, k); `truth` (n,); `groups` name the database that each recording was held
    out with, the metric being the mean over groups.
    """

    task: Task
    rows: tuple[Recording, ...]
    groups: tuple[str, ...]
    truth: Floats
    scores: Floats

    def metric(self, weights: Floats | None = None) -> Floats:
        """The task's metric under each row of recording weights (r, n): (seeds, r).

        AUROC is averaged over groups. MAE is the mean over patients of each one's mean, so that a
        subject counts once however often it was recorded. NaN where it is undefined.
        """
        weights = np.ones((1, len(self.rows))) if weights is None else weights
        if self.task.metric == "mae":
            return self._mae(weights)
        groups = np.asarray(self.groups)
        parts = []
        for group in np.unique(groups):
            own = np.flatnonzero(groups == group)
            parts.append(
                [macro_auroc(self.truth[own], each[own], weights[:, own]) for each in self.scores]
            )
        return np.asarray(np.mean(parts, axis=0))

    def _mae(self, weights: Floats) -> Floats:
        patients = np.asarray([row.patient for row in self.rows])
        _, owner, sizes = np.unique(patients, return_inverse=True, return_counts=True)
        shares = weights / sizes[owner]
        errors = np.abs(self.scores[:, :, 0] - self.truth)
        return np.asarray(errors @ shares.T / shares.sum(axis=1))

    def by_group(self) -> dict[str, float]:
        """The metric in each group, averaged over seeds."""
        groups = np.asarray(self.groups)
        found = {}
        for group in np.unique(groups):
            own = np.flatnonzero(groups == group)
            part = replace(
                self,
                rows=tuple(self.rows[i] for i in own),
                groups=tuple(self.groups[i] for i in own),
                truth=self.truth[own],
                scores=self.scores[:, own],
            )
            found[str(group)] = float(part.metric().mean())
        return found


def stack_seeds(runs: Sequence[TaskScores]) -> TaskScores:
    """Scores of several runs (training seeds) on the same recordings as one.

    Raises:
        ProbeError: they are not of the same task and recordings.
    """
    for run in runs:
        require_same(runs[0], run)
    return replace(runs[0], scores=np.concatenate([run.scores for run in runs]))


def require_same(a: TaskScores, b: TaskScores) -> None:
    """Refuse to compare scores of different tasks or recordings.

    Raises:
        ProbeError: they differ.
    """
    if a.task.name != b.task.name:
        raise ProbeError(f"task {a.task.name} cannot be compared with task {b.task.name}")
    names_a, names_b = ([row.name for row in one.rows] for one in (a, b))
    if names_a != names_b or not np.array_equal(a.truth, b.truth):
        different = sorted(set(names_a) ^ set(names_b))
        hint = f", for example {different[0]} only once" if different else ""
        raise ProbeError(f"task {a.task.name}: the two were scored on different recordings{hint}")


def resampled(scores: Sequence[TaskScores], resamples: int = RESAMPLES) -> list[Floats]:
    """Weights (resamples, n) for each task's recordings, from one draw of patients per corpus.

    A patient drawn twice counts twice in every task of its corpus: what the tasks share stays
    shared. The draw depends on the corpus and its patients alone.
    """
    pools: dict[str, set[str]] = {}
    for one in scores:
        pools.setdefault(one.task.corpus, set()).update(row.patient for row in one.rows)
    column = {
        (corpus, patient): i
        for corpus, pool in pools.items()
        for i, patient in enumerate(sorted(pool))
    }
    counts = {
        corpus: patient_weights(len(pool), resamples, (BOOTSTRAP_SEED, zlib.crc32(corpus.encode())))
        for corpus, pool in pools.items()
    }
    return [
        counts[one.task.corpus][:, [column[one.task.corpus, row.patient] for row in one.rows]]
        for one in scores
    ]


def interval(value: float, draws: Floats) -> Estimate:
    """A value with the middle 95 % of its resamples (r,); undefined ones do not count."""
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def patient_rows(rows: Sequence[Recording], resamples: int) -> Floats:
    """Weights (resamples, n) of recordings when the patients of all their corpora are resampled."""
    names = [f"{row.corpus}/{row.patient}" for row in rows]
    _, owner = np.unique(names, return_inverse=True)
    return patient_weights(int(owner.max()) + 1, resamples, BOOTSTRAP_SEED)[:, owner]


def weighted_mean(values: Floats, weights: Floats) -> Estimate:
    """Mean of values (n,) with its interval from weights (resamples, n)."""
    return interval(float(values.mean()), weights @ values / weights.sum(axis=1))
