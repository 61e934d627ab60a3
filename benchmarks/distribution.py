"""Quantiles, means and slopes of measurements, each with an interval that allows for bursts.

Times measured one after another are not independent: a busy moment slows several in a row. So
intervals come from resampling contiguous blocks of about the cube root of the sample count
(Carlstein 1986, Kuensch 1989), never single measurements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import Distribution, Interval

Floats = NDArray[np.float64]
RESAMPLES = 1000
MOST_BLOCKS = 200
TAIL = 0.025  # probability left out on each side of a 95 % interval
SLOPE_BINS = 200
LEAST_SLOPE_POINTS = 10


def least_samples(quantile: float) -> int:
    """Fewest samples that bound a quantile from above: the smallest n with q^n <= 0.025.

    The largest of n independent samples lies below the quantile q with probability q^n. Until that
    is at most 2.5 %, no order statistic is the upper end of a two-sided 95 % interval, and the
    quantile is a guess: 36 samples for p90, 72 for p95, 368 for p99.
    """
    return math.ceil(math.log(TAIL) / math.log(quantile))


def distribution(samples: Sequence[float] | Floats) -> Distribution:
    """Mean, quantiles and curve of measurements in the order in which they were taken.

    A quantile is an observed value: the smallest below or at which its share of the samples lies.
    p90, p95 and p99 are None below `least_samples`; p50 is always told, with an interval that
    reaches over all samples while there are few.

    Raises:
        ValueError: no samples.
    """
    values = np.asarray(samples, np.float64)
    if not len(values):
        raise ValueError("a distribution needs at least one sample")
    ordered = np.sort(values)
    p90, p95, p99 = (
        _quantile(values, ordered, q) if len(values) >= least_samples(q) else None
        for q in (0.90, 0.95, 0.99)
    )
    return Distribution(
        samples=len(values),
        mean=float(values.mean()),
        p50=_quantile(values, ordered, 0.5),
        p90=p90,
        p95=p95,
        p99=p99,
        largest=float(ordered[-1]),
        curve=tuple(_at(ordered, percent / 100) for percent in range(101)),
    )


def mean_interval(samples: Sequence[float] | Floats) -> Interval:
    """Mean, with its block-bootstrap interval.

    Raises:
        ValueError: no samples.
    """
    values = np.asarray(samples, np.float64)
    if not len(values):
        raise ValueError("a mean needs at least one sample")
    low, high = np.quantile(_resampled_means(values), [TAIL, 1 - TAIL])
    return Interval(float(values.mean()), float(low), float(high))


def median_interval(samples: Sequence[float] | Floats) -> Interval:
    """Median of a few independent measurements, with its bootstrap interval.

    Raises:
        ValueError: no samples.
    """
    values = np.asarray(samples, np.float64)
    if not len(values):
        raise ValueError("a median needs at least one sample")
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [TAIL, 1 - TAIL])
    return Interval(float(np.median(values)), float(low), float(high))


def slope(at: Sequence[float] | Floats, values: Sequence[float] | Floats) -> Interval | None:
    """Theil-Sen slope of `values` (n,) over `at` (n,), with Sen's interval (1968, eq. 2.6).

    More than 200 points are first cut into 200 bins of equal count, each its median: what is left
    is nearly independent, which the interval supposes. None below 10 points or without spread.
    """
    x, y = np.asarray(at, np.float64), np.asarray(values, np.float64)
    if len(x) < LEAST_SLOPE_POINTS or x[0] == x[-1]:
        return None
    if len(x) > SLOPE_BINS:
        parts = np.array_split(np.arange(len(x)), SLOPE_BINS)
        x = np.array([np.median(x[part]) for part in parts])
        y = np.array([np.median(y[part]) for part in parts])
    first, second = np.triu_indices(len(x), 1)
    run = x[second] - x[first]
    slopes = np.sort((y[second] - y[first])[run > 0] / run[run > 0])
    n = len(x)
    reach = 1.959964 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, math.floor((len(slopes) - reach) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + reach) / 2))
    return Interval(float(np.median(slopes)), float(slopes[low]), float(slopes[high]))


def _quantile(values: Floats, ordered: Floats, q: float) -> Interval:
    """The quantile, and where it may lie given how the share below it varies between blocks.

    Woodruff's interval (1952): the bootstrap of the share of samples at or below the quantile is
    turned into quantiles of the samples.
    """
    found = _at(ordered, q)
    if len(values) < least_samples(q):
        return Interval(found, float(ordered[0]), float(ordered[-1]))
    below = (values <= found).astype(np.float64)
    share = float(below.mean())
    low, high = np.quantile(_resampled_means(below), [TAIL, 1 - TAIL])
    return Interval(found, _at(ordered, q - (high - share)), _at(ordered, q + (share - low)))


def _at(ordered: Floats, q: float) -> float:
    index = math.ceil(q * len(ordered) - 1e-9) - 1
    return float(ordered[min(max(index, 0), len(ordered) - 1)])


def _resampled_means(values: Floats) -> Floats:
    """Means (RESAMPLES,) of as many draws of contiguous blocks."""
    length = max(1, round(len(values) ** (1 / 3)), math.ceil(len(values) / MOST_BLOCKS))
    starts = np.arange(0, len(values), length)
    sums = np.add.reduceat(values, starts)
    sizes = np.diff(np.append(starts, len(values)))
    drawn = np.random.default_rng(0).integers(0, len(starts), (RESAMPLES, len(starts)))
    means: Floats = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return means
