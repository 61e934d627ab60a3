"""Curve statistics under resampling weights, all resamples at once.

Each takes truth (n,), score (n,) and weights (r, n), how often each recording is drawn in each of
r resamples, and gives (r,); NaN where the statistic is undefined. One call takes milliseconds where
drawing rows and calling scikit-learn takes seconds, so that every subgroup gets an interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from align.statistics import Array
from export.figures import BINS

SLACK = 1e-9  # of a count: 1 - 0.9 of 20 negatives must allow 2 of them
LEAST = 2  # patients: resampling one alone gives no interval


def weighted_auprc(truth: Array, score: Array, weights: Array) -> Array:
    """Average precision: the sum of precision times the step in recall, over distinct scores."""
    hits, alarms = _at_or_above(truth, score, weights)
    steps = np.diff(hits, axis=1, prepend=0.0)
    with np.errstate(invalid="ignore"):
        precision = np.nan_to_num(hits / (hits + alarms))  # no step where nothing was drawn yet
        area: Array = (precision * steps).sum(axis=1) / hits[:, -1]
    return area


def weighted_sensitivity(
    truth: Array, score: Array, weights: Array, *, specificity: float
) -> Array:
    """Highest sensitivity of a threshold that has at least that specificity, found on each draw."""
    hits, alarms = _at_or_above(truth, score, weights)
    allowed = alarms <= (1 - specificity) * alarms[:, -1:] + SLACK
    with np.errstate(invalid="ignore"):
        best: Array = np.where(allowed, hits, 0.0).max(axis=1) / hits[:, -1]
    best[alarms[:, -1] == 0] = np.nan
    return best


def weighted_ece(truth: Array, score: Array, weights: Array, *, bins: int = BINS) -> Array:
    """Expected calibration error with bins of equal mass (`align.statistics`) of each draw.

    A bin's gap times its size is the sum of `score - truth` in it. Those sums, cumulated over the
    draw in the order of `score`, are linear in between: read off at the borders of the bins.
    """
    order = np.argsort(score, kind="stable")
    drawn = weights[:, order]
    count = np.insert(drawn.cumsum(axis=1), 0, 0.0, axis=1)
    excess = np.insert((drawn * (score - truth)[order]).cumsum(axis=1), 0, 0.0, axis=1)
    gaps = [
        np.abs(np.diff(np.interp(_borders(row[-1], bins), row, sums))).sum()
        for row, sums in zip(count, excess, strict=True)
    ]
    with np.errstate(invalid="ignore"):
        error: Array = np.array(gaps) / count[:, -1]
    return error


def patients_with(truth: Array, patients: Sequence[str]) -> int:
    """How many patients have a recording of which it is true."""
    return len({name for name, hit in zip(patients, truth, strict=True) if hit})


def _at_or_above(truth: Array, score: Array, weights: Array) -> tuple[Array, Array]:
    """Weight of positives and of negatives at or above each distinct score, highest first."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.diff(score[order], append=-np.inf))
    positive, drawn = truth[order] > 0, weights[:, order]
    hits: Array = (drawn * positive).cumsum(axis=1)[:, last]
    alarms: Array = (drawn * ~positive).cumsum(axis=1)[:, last]
    return hits, alarms


def _borders(total: float, bins: int) -> Array:
    """Borders of the parts that `np.array_split` makes of `total` rows: (bins + 1,)."""
    size, longer = divmod(int(total), bins)
    index = np.arange(bins + 1, dtype=np.float64)
    return index * size + np.minimum(index, longer)
