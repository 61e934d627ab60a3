"""AUROC and friends with intervals that resample patients, not recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RESAMPLES = 2000
RESAMPLES_AT_ONCE = 128  # bounds the memory of a vectorised bootstrap


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % patient-bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def auroc(truth: Array, score: Array) -> float:
    """Area under the ROC curve; NaN when only one class is there."""
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415  (seconds to load)

    return float("nan") if truth.min() == truth.max() else float(roc_auc_score(truth, score))


def auprc(truth: Array, score: Array) -> float:
    """Average precision."""
    from sklearn.metrics import average_precision_score  # noqa: PLC0415  (seconds to load)

    return float(average_precision_score(truth, score))


def expected_calibration_error(truth: Array, probability: Array, bins: int = 10) -> float:
    """ECE with bins of equal mass: mean over bins of |mean probability - prevalence|, by size."""
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [abs(probability[part].mean() - truth[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(truth))


def patient_bootstrap(
    patients: Sequence[str],
    statistic: Callable[[NDArray[np.int64]], float],
    *,
    resamples: int | None = None,
    seed: int = 0,
) -> Estimate:
    """Estimate `statistic(row_indices)` on all rows, interval by resampling whole patients.

    Resamples on which the statistic is undefined (one class only) are drawn but not counted.
    """
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    rows = [np.flatnonzero(owner == index) for index in range(len(names))]
    random = np.random.default_rng(seed)
    values = []
    for _ in range(RESAMPLES if resamples is None else resamples):
        drawn = random.integers(0, len(rows), len(rows))
        values.append(statistic(np.concatenate([rows[index] for index in drawn])))
    everything = np.arange(len(owner), dtype=np.int64)
    low, high = np.nanquantile(values, [0.025, 0.975])
    return Estimate(statistic(everything), float(low), float(high))


def weighted_auroc(truth: Array, score: Array, weights: Array | None = None) -> Array:
    """AUROC under each row of `weights` (r, n), or with equal weights: (r,).

    The Mann-Whitney form: the weight of (positive, negative) pairs that `score` (n,) puts in order,
    ties counting half, over the weight of all pairs. NaN where a class has no weight.
    """
    weights = np.ones((1, len(truth))) if weights is None else weights
    order = np.argsort(score, kind="stable")
    positive = truth[order] > 0
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf) > 0)
    values = np.empty(len(weights))
    for begin in range(0, len(weights), RESAMPLES_AT_ONCE):
        part = weights[begin : begin + RESAMPLES_AT_ONCE, order]
        above = np.add.reduceat(part * positive, starts, axis=1)
        below = np.add.reduceat(part * ~positive, starts, axis=1)
        ordered = (above * (below.cumsum(axis=1) - below / 2)).sum(axis=1)
        pairs = above.sum(axis=1) * below.sum(axis=1)
        with np.errstate(invalid="ignore"):
            values[begin : begin + RESAMPLES_AT_ONCE] = ordered / pairs
    return values


def macro_auroc(truth: Array, scores: Array, weights: Array | None = None) -> Array:
    """AUROC of scores (n, 1), or mean one-against-the-rest AUROC of (n, k): (r,)."""
    if scores.shape[1] == 1:
        return weighted_auroc(truth, scores[:, 0], weights)
    each = [
        weighted_auroc((truth == index).astype(np.float64), scores[:, index], weights)
        for index in range(scores.shape[1])
    ]
    return np.asarray(np.mean(each, axis=0))


def patient_weights(patients: int, resamples: int, seed: int | Sequence[int]) -> Array:
    """How often each of `patients` is drawn in each resample: (resamples, patients)."""
    random = np.random.default_rng(seed)
    drawn = random.integers(0, patients, (resamples, patients))
    drawn += patients * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * patients)
    return counts.reshape(resamples, patients).astype(np.float64)
