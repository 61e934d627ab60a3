"""Sound as a picture: a short history of its bands and extremes, drawn in cells of a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style

from acula_edge.levels import decibels
from acula_edge.sources.base import Pcm
from acula_edge.view.parts import Line

Floats = NDArray[np.float64]

TICK_SECONDS = 0.02
SPECTRUM_SECONDS = 0.064
SHOWN_SECONDS = 8.0
HISTORY_TICKS = 660
BANDS = 24
TILT_DB = 4.0
"""Per octave: sound of the chest falls steeply, and what matters would stay dark without it."""
RANGE_DB = 38.0
FLAT_RANGE_DB = 24.0
QUIET_DB = -72.0
LOUD_SHARE = 0.98
CLIP_LEVEL = 0.999
HOLD_SECONDS = 1.5
SHADES = (
    *("#06051a", "#180f3d", "#3b0f70", "#641a80", "#8c2981"),
    *("#b5367a", "#de4968", "#f7705c", "#fe9f6d", "#fddc9e"),
)
RAMP = " ░▒▓█"


class SoundTrace:
    """The last seconds of sound as ticks of 20 ms: extremes and the levels of frequency bands.

    `low` and `high` are (HISTORY_TICKS,), `bands` is (HISTORY_TICKS, BANDS) in dB, newest last.
    """

    def __init__(self, rate: int, top_hz: float) -> None:
        self.hop = max(1, round(rate * TICK_SECONDS))
        self.ticks = 0
        self.low = np.zeros(HISTORY_TICKS)
        self.high = np.zeros(HISTORY_TICKS)
        self.bands = np.full((HISTORY_TICKS, BANDS), -200.0)
        self.level = self.peak = -math.inf
        self.clipped_at = -math.inf
        self._size = max(self.hop, round(rate * SPECTRUM_SECONDS))
        self._taper = np.hanning(self._size + 2)[1:-1]
        self._pending = np.zeros(0)
        edges = top_hz * (np.arange(BANDS) / BANDS) ** 1.5
        self._starts = np.minimum(edges * self._size / rate, self._size // 2).astype(int)
        self._stop = min(self._size // 2, int(top_hz * self._size / rate)) + 1
        self._tilt = TILT_DB * np.log2(np.maximum(edges, 50.0) / 50.0)
        self._peak_tick = 0

    @property
    def seconds(self) -> float:
        """Sound taken in so far, in seconds of ticks."""
        return self.ticks * TICK_SECONDS

    def push(self, pcm: Sequence[Pcm]) -> None:
        """Take in blocks of mono sound; whole ticks are measured, the rest waits."""
        sound: Floats = np.concatenate([self._pending, *pcm])
        sound = sound[-(HISTORY_TICKS * self.hop + self._size) :]
        if not np.isfinite(sound).all():
            sound = np.nan_to_num(sound, posinf=0.0, neginf=0.0)
        count = max(0, (len(sound) - self._size) // self.hop + 1)
        self._pending = sound[count * self.hop :]
        if count == 0:
            return
        windows = np.lib.stride_tricks.sliding_window_view(sound, self._size)[:: self.hop][:count]
        power = np.abs(np.fft.rfft(windows * self._taper)[:, : self._stop]) ** 2
        bands = np.maximum.reduceat(power, self._starts, axis=1) * (2.0 / self._taper.sum()) ** 2
        fresh = sound[: count * self.hop].reshape(count, self.hop)
        self.ticks += count
        self.bands = _slide(self.bands, 10.0 * np.log10(bands + 1e-20) + self._tilt)
        self.low, self.high = _slide(self.low, fresh.min(1)), _slide(self.high, fresh.max(1))
        self._measure(fresh)

    def _measure(self, fresh: Floats) -> None:
        top = float(np.abs(fresh).max())
        self.level = decibels(float(np.sqrt(np.mean(fresh**2))))
        if decibels(top) >= self.peak or self.seconds - self._peak_tick > HOLD_SECONDS:
            self.peak, self._peak_tick = decibels(top), int(self.seconds)
        if top >= CLIP_LEVEL:
            self.clipped_at = self.seconds


class Picture:
    """Draws a trace: spectrogram and waveform, `width` cells wide."""

    def __init__(self) -> None:
        self._styles = [Style(color=upper, bgcolor=lower) for upper in SHADES for lower in SHADES]

    def spectrogram(self, trace: SoundTrace, width: int, rows: int, *, colour: bool) -> list[Line]:
        """High frequencies on top; two bands per cell in colour, shaded blocks without."""
        count = rows * 2 if colour else rows
        step = columns(width)
        bands = _whole(trace, trace.bands, step, width).reshape(width, step, BANDS).max(1)
        bands = np.maximum.reduceat(bands, np.arange(count) * BANDS // count, axis=1)[:, ::-1].T
        top = max(float(bands.max()), QUIET_DB + RANGE_DB / 2)
        steps = len(SHADES) if colour else len(RAMP)
        span = RANGE_DB if colour else FLAT_RANGE_DB
        shades = np.clip((bands - top + span) / span * steps, 0, steps - 1).astype(np.int64)
        if not colour:
            return [[Segment("".join(RAMP[shade] for shade in row))] for row in shades.tolist()]
        pairs = shades[0::2] * len(SHADES) + shades[1::2]
        changes = pairs[:, 1:] != pairs[:, :-1]
        return [self._cells(*row) for row in zip(pairs, changes, strict=True)]

    def _cells(self, pairs: NDArray[np.int64], changes: NDArray[np.bool_]) -> Line:
        """One row of `upper * len(SHADES) + lower`; equal neighbours share a segment."""
        starts = [0, *(np.flatnonzero(changes) + 1).tolist()]
        ends = [*starts[1:], len(pairs)]
        looks = pairs[starts].tolist()
        return [
            Segment("▀" * (end - start), self._styles[look])
            for start, end, look in zip(starts, ends, looks, strict=True)
        ]

    @staticmethod
    def waveform(trace: SoundTrace, width: int, rows: int) -> list[str]:
        """The oscillogram in braille, two columns per cell, scaled to its loud moments."""
        half = columns(width) // 2
        low = _whole(trace, trace.low, 2 * half, width).reshape(-1, half).min(1)
        high = _whole(trace, trace.high, 2 * half, width).reshape(-1, half).max(1)
        loud = int(LOUD_SHARE * len(high))
        scale = max(float(np.partition(np.maximum(high, -low), loud)[loud]), 1e-3)
        middle = (4 * rows - 1) / 2
        first = np.rint(middle - _compress(high / scale) * middle)
        last = np.rint(middle - _compress(low / scale) * middle)
        dot = np.arange(4 * rows)[:, None]
        lit = ((dot >= first) & (dot <= last)).reshape(rows, 4, width, 2)
        bits = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
        codes = 0x2800 + np.einsum("rdwc,dc->rw", lit, bits)
        return ["".join(map(chr, row)) for row in codes.tolist()]


def _slide(history: Floats, fresh: Floats) -> Floats:
    return np.concatenate([history, fresh])[-HISTORY_TICKS:]


def columns(width: int) -> int:
    """Ticks per cell, even, so that about eight seconds fit."""
    return max(2, 2 * round(SHOWN_SECONDS / (width * 2 * TICK_SECONDS)))


def _whole(trace: SoundTrace, history: Floats, step: int, width: int) -> Floats:
    """The newest `width` whole cells of `step` ticks: cells keep their ticks while they scroll."""
    end = len(history) - trace.ticks % step
    return history[end - width * step : end]


def _compress(share: Floats) -> Floats:
    """A gentle curve within [-1, 1]: murmurs between loud heart sounds stay visible."""
    return np.sign(share) * np.minimum(1.0, np.abs(share)) ** 0.6
