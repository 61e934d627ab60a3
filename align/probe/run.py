"""Linear probes over tasks: from embeddings to a metric with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from align.probe.compare import Comparison, paired_difference
from align.probe.embed import Embedded
from align.probe.linear import fast_probe, opera_probe
from align.probe.problem import Floats, ProbeError, Problem, members, problems
from align.probe.score import TaskScores, interval, resampled, stack_seeds
from align.statistics import RESAMPLES, Estimate
from align.tasks import Task

ProbeName = Literal["ridge", "logistic", "opera"]
Fit = Callable[[Task, Problem], Floats]  # (seeds, len(test), k)

FITS: Mapping[ProbeName, Fit] = {
    "ridge": lambda _, problem: fast_probe(problem, "ridge")[None],
    "logistic": lambda _, problem: fast_probe(problem, "logistic")[None],
    "opera": lambda task, problem: opera_probe(problem, task.probe),
}


@dataclass(frozen=True)
class TaskResult:
    """A task's metric, averaged over seeds, with its patient-bootstrap interval.

    `seeds` holds each seed's own value, `groups` each held-out database's.
    """

    scores: TaskScores
    estimate: Estimate
    seeds: tuple[float, ...]
    groups: Mapping[str, float]

    @property
    def sd(self) -> float:
        """Standard deviation over seeds."""
        return float(np.std(self.seeds))


def probe_tasks(
    embedded: Embedded | Sequence[Embedded],
    tasks: Sequence[Task],
    *,
    probe: ProbeName = "ridge",
    resamples: int = RESAMPLES,
) -> list[TaskResult]:
    """Probe every task; several `embedded` are the same recordings under several training seeds.

    Raises:
        ProbeError: a task has no recordings here, or cannot be fitted or scored on them.
    """
    runs = [embedded] if isinstance(embedded, Embedded) else list(embedded)
    if not runs:
        raise ProbeError("nothing was embedded")
    scores = [stack_seeds([score_task(run, task, FITS[probe]) for run in runs]) for task in tasks]
    return [result_of(one, resamples) for one in scores]


def score_task(embedded: Embedded, task: Task, fit: Fit) -> TaskScores:
    """Test scores of a task: one fit for each held-out part, the parts joined.

    Raises:
        ProbeError: see `probe_tasks`.
    """
    indices, truth = members(task, embedded.rows)
    rows = [embedded.rows[i] for i in indices]
    tested: list[int] = []
    groups: list[str] = []
    parts = []
    for held_out, problem in problems(task, rows, embedded.vectors[indices], truth):
        parts.append(fit(task, problem))
        tested += problem.test.tolist()
        group = "" if task.split == "leave-one-subject-out" else held_out
        groups += [group] * len(problem.test)
    return TaskScores(
        task=task,
        rows=tuple(rows[i] for i in tested),
        groups=tuple(groups),
        truth=truth[tested],
        scores=np.concatenate(parts, axis=1),
    )


def result_of(scores: TaskScores, resamples: int = RESAMPLES) -> TaskResult:
    """The metric of scores with its interval."""
    each = scores.metric()[:, 0]
    draws = scores.metric(resampled([scores], resamples)[0]).mean(axis=0)
    estimate = interval(float(each.mean()), draws)
    return TaskResult(scores, estimate, tuple(each.tolist()), scores.by_group())


__all__ = [
    "Comparison",
    "ProbeName",
    "TaskResult",
    "paired_difference",
    "probe_tasks",
    "result_of",
    "score_task",
]
