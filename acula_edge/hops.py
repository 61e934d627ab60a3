"""Source samples to hops at the model rate, the same however the caller cut them.

Samples are first cut into fixed source blocks; each is checked, resampled, and its facts are handed
out with the hop that covers it. Time is the source sample index, lost samples included.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acula_edge.quality import BlockFacts, SourceCheck
from acula_edge.resample import Quality, Resampler

Pcm = NDArray[np.float32]
BLOCK_SECONDS = 0.02
# Rejects aliases by about 100 dB, more than any stethoscope's noise, and holds back half as long as
# HQ.
QUALITY: Quality = "MQ"
LARGEST_SAMPLE = 1e4  # beyond this a float is no sound; it would overflow the energies


@dataclass(frozen=True)
class Hop:
    """`pcm` (hop,) at the model rate, its start in seconds, and the facts of its source blocks."""

    start: float
    pcm: Pcm
    facts: list[BlockFacts]


class HopStream:
    """Cuts, checks, resamples and regroups one stream. Exhaust every iterator it returns."""

    def __init__(self, source_rate: int, rate: int, hop: int, check: SourceCheck):
        self._source_rate, self._rate, self._hop = source_rate, rate, hop
        self._check = check
        self._resampler = Resampler(source_rate, rate, quality=QUALITY)
        self._block = max(1, round(source_rate * BLOCK_SECONDS))
        self.received = 0
        self.lost = 0
        self._carry: Pcm = np.empty(0, dtype=np.float32)
        self._restart()

    @property
    def seconds(self) -> float:
        """Time of the newest sample: received plus lost."""
        return (self.received + self.lost) / self._source_rate

    def push(self, pcm: Pcm) -> Iterator[Hop]:
        """Take source samples, float32 (n,); yield the hops they complete."""
        self.received += len(pcm)
        pcm = np.concatenate([self._carry, pcm]) if len(self._carry) else pcm
        whole = len(pcm) - len(pcm) % self._block
        self._carry = pcm[whole:].copy()
        for start in range(0, whole, self._block):
            yield from self._take_block(pcm[start : start + self._block])

    def flush(self) -> Iterator[Hop]:
        """End the stream: yield the hops that what was held back completes."""
        carry, self._carry = self._carry, np.empty(0, dtype=np.float32)
        if len(carry):
            yield from self._take_block(carry)
        self._collect(self._resampler.flush())
        yield from self._complete()

    def skip(self, lost: int) -> None:
        """Start anew after a gap of `lost` source samples. Flush first."""
        self.lost += lost
        self._restart()

    def _restart(self) -> None:
        self._origin = self.seconds
        self._resampler.reset()
        self._carry = np.empty(0, dtype=np.float32)
        self._facts: deque[tuple[int, BlockFacts]] = deque()
        self._taken = 0
        self._parts: list[Pcm] = []
        self._ready = 0
        self._hops = 0

    def _take_block(self, block: Pcm) -> Iterator[Hop]:
        valid = np.abs(block) < LARGEST_SAMPLE  # False for NaN and infinity too
        invalid = len(block) - int(np.count_nonzero(valid))
        if invalid:
            block = np.where(valid, block, np.float32(0.0))
        self._taken += len(block)
        self._facts.append((self._taken, self._check.check(block, invalid)))
        self._collect(self._resampler.push(block))
        yield from self._complete()

    def _collect(self, pcm: Pcm) -> None:
        if len(pcm):
            self._parts.append(pcm)
            self._ready += len(pcm)

    def _complete(self) -> Iterator[Hop]:
        if self._ready < self._hop:
            return
        joined = np.concatenate(self._parts)
        used = 0
        while len(joined) - used >= self._hop:
            start = self._origin + self._hops * self._hop / self._rate
            self._hops += 1
            pcm = joined[used : used + self._hop]
            used += self._hop
            yield Hop(start, pcm, self._facts_until(self._hops * self._hop))
        self._parts = [joined[used:]]
        self._ready = len(joined) - used

    def _facts_until(self, model_samples: int) -> list[BlockFacts]:
        end = model_samples * self._source_rate / self._rate
        facts = []
        while self._facts and self._facts[0][0] <= end:
            facts.append(self._facts.popleft()[1])
        return facts
