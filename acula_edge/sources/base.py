"""What every source of sound offers: blocks of one channel, numbered by sample index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from acula_edge.events import Fault

Pcm = NDArray[np.float32]


@dataclass(frozen=True)
class Block:
    """A stretch of mono sound at the source's rate.

    `pcm` is float32 of shape (n,), nominally in [-1, 1]. `first_sample` counts from the start of
    the source and includes the `lost` samples that were missed immediately before this block.
    """

    pcm: Pcm
    first_sample: int
    lost: int = 0


class Source(Protocol):
    """A stream of blocks. Opening happens in `__enter__`, and errors are `AculaError`."""

    name: str
    rate: int

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def blocks(self) -> Iterator[Block | Fault]:
        """Yield blocks in order until the source ends; a `Fault` where the input itself failed."""
        ...

    @property
    def lag_seconds(self) -> float:
        """How far processing is behind the sound (0 for sources without a clock)."""
        ...

    @property
    def lost_samples(self) -> int:
        """Samples lost so far."""
        ...
