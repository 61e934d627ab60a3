"""Sound at a device's true rate to its nominal rate, where they differ enough to matter."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

import numpy as np

from acula_edge.sources.base import Block, Pcm

# A crystal is within 100 ppm. 500 ppm, 0.05 % of a pitch or a heart rate, is nothing that the model
# or a listener could tell; more is a rate that was stated wrongly, such as a PDM divider's.
CORRECTED_PPM: Final = 500.0
# Beyond 10 % the device is no device with a clock: a file played fast, or a wrong INFO.
PLAUSIBLE_PPM: Final = 100_000.0
_SETTLED_SECONDS: Final = 30.0
_NONE: Final = np.empty(0, np.float32)


class RateCorrection:
    """Blocks in, blocks out, both numbered without gaps or overlaps.

    Nothing is touched until `update` has named a skew beyond 500 ppm, resting on 30 s of sound.
    From then on one stateful soxr stream per uninterrupted stretch resamples by that skew, and by
    another only when the estimate has moved by more than 500 ppm. Lost samples are scaled likewise.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._wanted = self.ppm = 0.0
        self._stream: Any = None
        self._in_start = self._out_start = 0
        self._position = 0
        self._lost = 0

    def update(self, ppm: float, seconds: float) -> None:
        """The estimated skew and the seconds of sound it rests on."""
        if seconds < _SETTLED_SECONDS or abs(ppm) > PLAUSIBLE_PPM:
            return
        if abs(ppm - self._wanted) > CORRECTED_PPM:
            self._wanted = ppm if abs(ppm) > CORRECTED_PPM else 0.0

    def push(self, block: Block) -> Iterator[Block]:
        """What `block`, numbered at the true rate, completes at the nominal rate."""
        if block.lost or self._wanted != self.ppm:
            yield from self.flush()
            if block.lost:
                self._lost = self._place(block.first_sample) - self._position
            self._restart(block.first_sample)
        yield from self._out(
            block.pcm if self._stream is None else self._stream.resample_chunk(block.pcm)
        )

    def flush(self) -> Iterator[Block]:
        """What is held back, before a gap or at the end."""
        tail = _NONE if self._stream is None else self._stream.resample_chunk(_NONE, last=True)
        self._stream = None
        yield from self._out(tail)

    def _place(self, sample: int) -> int:
        """Where a sample after a gap lies in what comes out: beyond all that came out."""
        if not self.ppm:
            return self._out_start + sample - self._in_start
        scaled = (sample - self._in_start) / (1.0 + self.ppm * 1e-6)
        return max(self._position + 1, self._out_start + round(scaled))

    def _restart(self, sample: int) -> None:
        if self.ppm != self._wanted:
            self.ppm = self._wanted
            self._in_start, self._out_start = sample, self._position + self._lost
        if self.ppm:
            true = self._rate * (1.0 + self.ppm * 1e-6)
            self._stream = import_module("soxr").ResampleStream(
                true, self._rate, 1, dtype="float32", quality="HQ"
            )

    def _out(self, pcm: Pcm) -> Iterator[Block]:
        if len(pcm) or (self._lost and self._stream is None):
            first = self._position + self._lost
            block = Block(pcm, first, self._lost)
            self._position, self._lost = first + len(pcm), 0
            yield block
