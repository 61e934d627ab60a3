"""Two encoders on the same recordings: differences whose intervals know what both share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from align.probe.problem import Floats, ProbeError
from align.probe.score import BOOTSTRAP_SEED, TaskScores, interval, require_same, resampled
from align.statistics import RESAMPLES, Estimate


@dataclass(frozen=True)
class Comparison:
    """Metric of a minus metric of b, by task and averaged over the tasks scored by AUROC."""

    tasks: Mapping[str, Estimate]
    mean: Estimate | None


def paired_difference(
    a: Sequence[TaskScores],
    b: Sequence[TaskScores],
    *,
    resamples: int = RESAMPLES,
    resample_seeds: bool = False,
) -> Comparison:
    """Differences a - b with patient-bootstrap intervals.

    Patients are drawn once per corpus and resample, for all its tasks and both encoders; within a
    resample the metric is averaged over seeds (`stack_seeds`). With `resample_seeds` the seeds are
    drawn too, so that the interval covers another training run; a and b then share the draw if
    they have equally many seeds, seed i of one being paired with seed i of the other.

    Raises:
        ProbeError: the tasks or recordings differ, or there are none.
    """
    if not a or len(a) != len(b):
        raise ProbeError(f"{len(a)} tasks cannot be compared with {len(b)}")
    for one, other in zip(a, b, strict=True):
        require_same(one, other)
    weights = resampled(a, resamples)
    values, draws = {}, {}
    for one, other, weight in zip(a, b, weights, strict=True):
        name = one.task.name
        values[name] = float(one.metric().mean() - other.metric().mean())
        parts = [_over_seeds(x.metric(weight), resample_seeds) for x in (one, other)]
        draws[name] = parts[0] - parts[1]
    averaged = [one.task.name for one in a if one.task.metric != "mae"]
    mean = None
    if averaged:
        value = float(np.mean([values[name] for name in averaged]))
        mean = interval(value, np.mean([draws[name] for name in averaged], axis=0))
    return Comparison({name: interval(values[name], draws[name]) for name in values}, mean)


def _over_seeds(values: Floats, resample: bool) -> Floats:
    """Mean over seeds of (seeds, r), or over seeds drawn anew for each resample: (r,).

    The draw depends on the shape alone: a training seed is drawn for all tasks or for none.
    """
    if not resample:
        return np.asarray(values.mean(axis=0))
    seeds, count = values.shape
    drawn = np.random.default_rng(BOOTSTRAP_SEED).integers(0, seeds, (seeds, count))
    return np.asarray(np.take_along_axis(values, drawn, axis=0).mean(axis=0))
