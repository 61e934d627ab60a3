"""The buffer between an audio callback, which must only copy, and the thread that listens."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.float32]

_GAP_SLOTS: Final = 64


class Chunk(NamedTuple):
    """Consecutive samples, float32 of shape (n,), and how many were lost right before them."""

    pcm: Pcm
    lost: int


class Ring:
    """Preallocated ring of float32 samples: one writer thread, one reader thread, no locks.

    Samples that do not fit are lost, never overwritten: the reader learns their exact number at
    their exact place, once. It rests on two rules. Every counter has one thread that changes it,
    and a counter is published after the data it covers. A gap lies before the first sample stored
    after it, so once that sample is visible the gap can no longer grow. Where all gap records are
    in use the writer keeps extending the last gap instead of opening a new one.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a ring needs room for at least one sample, not {capacity}")
        self.capacity = capacity
        self._pcm = np.empty(capacity, np.float32)
        self._gap_at = np.zeros(_GAP_SLOTS, np.int64)
        self._gap_size = np.zeros(_GAP_SLOTS, np.int64)
        self._stored = 0
        self._dropped = 0
        self._gaps_opened = 0
        self._taken = 0
        self._gaps_closed = 0

    @property
    def written(self) -> int:
        """Samples stored so far."""
        return self._stored

    @property
    def read_count(self) -> int:
        """Samples handed to the reader so far."""
        return self._taken

    @property
    def lost(self) -> int:
        """Samples lost so far, including those the reader has not come to yet."""
        return self._dropped

    @property
    def available(self) -> int:
        """Samples stored and not yet read."""
        return self._stored - self._taken

    def write(self, samples: Pcm) -> None:
        """Store float32 `samples` of shape (n,), any stride, as far as they fit. Writer only."""
        count = len(samples)
        room = self.capacity - (self._stored - self._taken)
        stored = min(count, room)
        if stored and self._gap_is_last() and self._gaps_left() == 0:
            stored = 0
        if stored:
            self._copy_in(samples[:stored])
            self._stored += stored
        if stored < count:
            self._lose(count - stored)

    def read(self, limit: int) -> Chunk:
        """Take up to `limit` samples, stopping at the next gap; a copy. Reader only."""
        stored = self._stored
        lost = self._cross_gap(stored)
        end = min(stored, self._taken + limit)
        if self._gaps_closed < self._gaps_opened:
            end = min(end, int(self._gap_at[self._gaps_closed % _GAP_SLOTS]))
        pcm = self._copy_out(end - self._taken)
        self._taken = end
        return Chunk(pcm, lost)

    def take_trailing_gap(self) -> int:
        """The loss behind the last sample. Reader only, after the writer has stopped for good."""
        if self._taken < self._stored or self._gaps_closed == self._gaps_opened:
            return 0
        lost = int(self._gap_size[self._gaps_closed % _GAP_SLOTS])
        self._gaps_closed += 1
        return lost

    def _cross_gap(self, stored: int) -> int:
        if stored == self._taken or self._gaps_closed == self._gaps_opened:
            return 0
        slot = self._gaps_closed % _GAP_SLOTS
        if self._gap_at[slot] != self._taken:
            return 0
        lost = int(self._gap_size[slot])
        self._gaps_closed += 1
        return lost

    def _gap_is_last(self) -> bool:
        """Whether nothing was stored since the latest gap, which may then still grow."""
        opened = self._gaps_opened
        return opened > 0 and int(self._gap_at[(opened - 1) % _GAP_SLOTS]) == self._stored

    def _gaps_left(self) -> int:
        return _GAP_SLOTS - (self._gaps_opened - self._gaps_closed)

    def _lose(self, count: int) -> None:
        self._dropped += count
        if self._gap_is_last():
            self._gap_size[(self._gaps_opened - 1) % _GAP_SLOTS] += count
            return
        slot = self._gaps_opened % _GAP_SLOTS
        self._gap_at[slot] = self._stored
        self._gap_size[slot] = count
        self._gaps_opened += 1

    def _copy_in(self, samples: Pcm) -> None:
        start = self._stored % self.capacity
        head = min(len(samples), self.capacity - start)
        self._pcm[start : start + head] = samples[:head]
        self._pcm[: len(samples) - head] = samples[head:]

    def _copy_out(self, count: int) -> Pcm:
        pcm = np.empty(count, np.float32)
        start = self._taken % self.capacity
        head = min(count, self.capacity - start)
        pcm[:head] = self._pcm[start : start + head]
        pcm[head:] = self._pcm[: count - head]
        return pcm
