"""Measurements kept without growing: memory is a figure of the same run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Series:
    """At most `size` numbers in memory that is taken, and touched, at once."""

    def __init__(self, size: int):
        self._values = np.full(size, np.nan)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, value: float) -> None:
        """Append; IndexError when full."""
        self._values[self._count] = value
        self._count += 1

    @property
    def values(self) -> NDArray[np.float64]:
        """A view (n,) of what was added."""
        return self._values[: self._count]
