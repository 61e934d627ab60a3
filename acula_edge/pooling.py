"""From the hop logits of a whole exam to one logit per finding, without keeping them."""

from __future__ import annotations

import math
from typing import Protocol


class Pool(Protocol):
    """Accumulates hop logits; `value` is None before the first."""

    def add(self, logit: float) -> None:
        """Take one hop's logit."""
        ...

    @property
    def value(self) -> float | None:
        """The pooled logit so far."""
        ...


class MeanPool:
    """Arithmetic mean."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, logit: float) -> None:
        """Take one hop's logit."""
        self._sum += logit
        self._count += 1

    @property
    def value(self) -> float | None:
        """The mean so far."""
        return self._sum / self._count if self._count else None


class LogMeanExpPool:
    """`log(mean(exp(sharpness * x))) / sharpness`: between the mean (0) and the maximum (infinity).

    Kept as a running maximum and a sum relative to it, so that it never overflows.
    """

    def __init__(self, sharpness: float):
        self._sharpness = sharpness
        self._peak, self._sum, self._count = -math.inf, 0.0, 0

    def add(self, logit: float) -> None:
        """Take one hop's logit."""
        scaled = logit * self._sharpness
        if scaled > self._peak:
            self._sum = self._sum * math.exp(self._peak - scaled) + 1.0
            self._peak = scaled
        else:
            self._sum += math.exp(scaled - self._peak)
        self._count += 1

    @property
    def value(self) -> float | None:
        """The pooled logit so far."""
        if not self._count:
            return None
        return (self._peak + math.log(self._sum / self._count)) / self._sharpness


def make_pool(kind: str, sharpness: float) -> Pool:
    """The pool a manifest names.

    Raises:
        ValueError: unknown kind.
    """
    if kind == "mean":
        return MeanPool()
    if kind == "logmeanexp":
        return LogMeanExpPool(sharpness)
    raise ValueError(f"unknown pooling {kind!r}")
