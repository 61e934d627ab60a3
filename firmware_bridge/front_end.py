"""The float front end as the C code computes it: PCM to int8 feature codes, bit for bit.

Every sum runs in a stated order and every operation is rounded to float32 on its own, so the C side
must be compiled without contraction (`-ffp-contract=off`). The graph computes the same function in
other orders; `check_front_end` in emit/check.py holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from firmware_bridge.arithmetic import HIGH, LOW, round_half_even
from firmware_bridge.elementary import log32
from firmware_bridge.fft import RealFft
from firmware_bridge.model import (
    CLAMP,
    POWER_FLOOR,
    SHORT_PER_FRAME,
    Floats,
    FrontEnd,
    Int8s,
    Spectrum,
)

FULL_SCALE = 32768  # an int16 sample of that size is 1.0
SPECTRUM_GAIN = 2  # RealFft gives twice the spectrum
ENERGY_UNIT = FULL_SCALE**2
"""Energies are kept in units of int16 squared: their logarithms then lie around 0, where float32 is
finest, and the constant offset goes with the mean."""


@dataclass(frozen=True, eq=False)
class Bands:
    """Tables of one spectrum: the scaled window, and for each band its bins' weights in a row.

    `window` (frame,) holds the normalised Hann window and the factor of `RealFft`. Band `b` weighs
    bins `first[b]` to `first[b] + count[b] - 1`.
    """

    spectrum: Spectrum

    @cached_property
    def fft(self) -> RealFft:
        """The transform of a frame."""
        return RealFft(self.spectrum.frame)

    @cached_property
    def window(self) -> Floats:
        """(frame,)."""
        size = self.spectrum.frame
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
        normalised = (hann / hann.sum()).astype(np.float32)
        window: Floats = normalised * np.float32(1 / SPECTRUM_GAIN)
        return window

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """(bands,) first bin of each band."""
        return np.asarray(np.argmax(self.spectrum.filters > 0, axis=1), np.int64)

    @cached_property
    def count(self) -> NDArray[np.int64]:
        """(bands,) bins of each band."""
        used = self.spectrum.filters > 0
        last = used.shape[1] - 1 - np.argmax(used[:, ::-1], axis=1)
        return np.asarray(last - self.first + 1, np.int64)

    @cached_property
    def weights(self) -> Floats:
        """Weights of all bands, band after band."""
        rows = zip(self.spectrum.filters, self.first, self.count, strict=True)
        return np.concatenate([row[first : first + count] for row, first, count in rows])

    def energies(self, samples: NDArray[np.int16]) -> Floats:
        """`samples` (n,) -> (frames, bands), bins added in rising order."""
        spectrum = self.spectrum
        frames = sliding_window_view(samples, spectrum.frame)[:: spectrum.step]
        power = self.fft.power(frames.astype(np.float32) * self.window)
        result = np.zeros((len(power), spectrum.bands), np.float32)
        for bins, weights in self._places:
            result += weights * power[:, bins]
        return result

    @cached_property
    def _places(self) -> list[tuple[NDArray[np.int64], Floats]]:
        """For the first, second, ... bin of every band: its number and weight; 0 where none is."""
        places = []
        for place in range(int(self.count.max())):
            bins = np.where(place < self.count, self.first + place, 0)
            weights = self.spectrum.filters[np.arange(self.spectrum.bands), bins]
            places.append((bins, np.where(place < self.count, weights, 0).astype(np.float32)))
        return places


@dataclass(frozen=True)
class Constants:
    """The front end's scalars, each a float32's value.

    `level_gain` turns the sum of the long energies into the floor; features times `gain`, cut to
    `low` and `high`, are codes less the zero point.
    """

    level_gain: float
    level_decay: float
    mean_decay: float
    power_floor: float
    gain: float
    low: float
    high: float


def constants_of(front_end: FrontEnd) -> Constants:
    """The scalars of a front end."""
    scale, zero = front_end.scale.scale, front_end.scale.zero
    values = (
        front_end.floor / front_end.long.bands,
        front_end.level_decay,
        front_end.mean_decay,
        POWER_FLOOR * ENERGY_UNIT,
        0.5 / scale,
        max(-CLAMP / scale, LOW - zero),
        min(CLAMP / scale, HIGH - zero),
    )
    return Constants(*(float(np.float32(value)) for value in values))


class LogMel:
    """Streaming front end: hops of int16 samples to codes (frames, channels)."""

    def __init__(self, front_end: FrontEnd):
        self._front_end = front_end
        self._long = Bands(front_end.long)
        self._short = None if front_end.short is None else Bands(front_end.short)
        self._constants = constants_of(front_end)
        self.reset()

    def reset(self) -> None:
        """Silence before the first sample, and no mean yet."""
        self._samples = np.zeros(self._front_end.history, np.int16)
        self._level = np.zeros(2, np.float32)  # sum and weight
        self._sums = np.zeros(self._front_end.channels, np.float32)
        self._weight = np.float32(0)

    def push(self, pcm: NDArray[np.int16]) -> Int8s:
        """`pcm` (n,), n a multiple of the frame hop -> codes (n / frame hop, channels)."""
        samples = np.concatenate([self._samples, pcm])
        self._samples = samples[len(samples) - self._front_end.history :]
        energies = self._long.energies(samples)
        # accumulate adds one after the other; np.sum would add in pairs
        totals = np.add.accumulate(energies, axis=1)[:, -1]
        floors = [self._floor(total) for total in totals]
        if self._short is not None:
            offset = self._front_end.history - (
                self._short.spectrum.frame - self._short.spectrum.step
            )
            short = self._short.energies(samples[offset:])
            grouped = short.reshape(len(short) // SHORT_PER_FRAME, -1)
            energies = np.concatenate([energies, grouped], axis=1)
        logs = log32(energies + np.array(floors, np.float32)[:, None])
        return np.stack([self._codes(row) for row in logs])

    def _floor(self, total: np.float32) -> np.float32:
        c = self._constants
        value = total * np.float32(c.level_gain) + np.float32(c.power_floor)
        self._level = self._level * np.float32(c.level_decay) + np.array([value, 1], np.float32)
        return np.float32(self._level[0] / self._level[1])

    def _codes(self, logs: Floats) -> Int8s:
        c = self._constants
        self._sums = self._sums * np.float32(c.mean_decay) + logs
        self._weight = np.float32(self._weight * np.float32(c.mean_decay) + np.float32(1))
        mean = self._sums * (np.float32(1) / self._weight)
        values = (logs - mean) * np.float32(c.gain)
        low, high = np.float32(c.low), np.float32(c.high)
        codes = round_half_even(np.minimum(np.maximum(values, low), high))
        return (codes + self._front_end.scale.zero).astype(np.int8)
