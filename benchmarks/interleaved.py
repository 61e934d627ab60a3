"""Comparisons that survive a noisy machine: both sides in turn, and the ratio of pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True)
class Ratio:
    """Median of the pairwise ratios ours / theirs, its 95 % bootstrap interval, and the pairs."""

    median: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}] ({self.pairs} pairs)"


def ratio_of_pairs(ours: list[float], theirs: list[float]) -> Ratio:
    """Ratio of two lists measured in turn.

    Raises:
        ValueError: lists of different length, or empty.
    """
    if len(ours) != len(theirs) or not ours:
        raise ValueError("ratios need as many measurements of one as of the other")
    ratios = np.array(ours) / np.array(theirs)
    random = np.random.default_rng(0)
    medians = np.median(random.choice(ratios, (RESAMPLES, len(ratios))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return Ratio(float(np.median(ratios)), float(low), float(high), len(ratios))
