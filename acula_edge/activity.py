"""When in a hop a lung sound was: step logits to calibrated probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from acula_edge.bundle import FindingSpec

DECIMALS = 2


class Activity:
    """Findings of the lung are events in time; a murmur is learned per recording and is left out.

    `columns` are the rows of the step logits that `specs` belong to.
    """

    def __init__(self, specs: Sequence[FindingSpec], columns: Sequence[int]):
        chosen = [
            (spec, row) for spec, row in zip(specs, columns, strict=True) if spec.site == "lung"
        ]
        self._names = [spec.name for spec, _ in chosen]
        self._rows = [row for _, row in chosen]
        self._bias = np.array([[spec.bias] for spec, _ in chosen])
        self._temperature = np.array([[spec.temperature] for spec, _ in chosen])

    def of(self, steps: NDArray[np.float32]) -> dict[str, tuple[float, ...]]:
        """Probabilities of a hop's step logits (K, S), per finding S of them, rounded."""
        if not self._rows:
            return {}
        scaled = (steps[self._rows] - self._bias) / self._temperature
        shares = 0.5 + 0.5 * np.tanh(0.5 * scaled)  # the logistic function, without overflow
        rows = np.round(shares, DECIMALS).tolist()
        return {name: tuple(row) for name, row in zip(self._names, rows, strict=True)}
