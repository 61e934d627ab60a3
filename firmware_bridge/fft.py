"""The power spectrum of real frames by an in-place FFT, in a fixed order of float32 operations.

A frame of N = 4^k samples is taken as N/2 complex numbers (Sorensen et al. 1987). Decimation in
frequency in radix 4, the last stage in radix 2, leaves them in digit-reversed order; the split into
the real spectrum reads them through a table, so nothing is moved. Only bins 1 to N/2 - 1 are made.
acula_front.c has the same operations; tests compare bits, and accuracy with float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.model import Floats


@dataclass(frozen=True)
class RealFft:
    """Tables for frames of `frame` samples, a power of 4 from 16 on."""

    frame: int

    @property
    def points(self) -> int:
        """Complex points."""
        return self.frame // 2

    @cached_property
    def twiddles(self) -> Floats:
        """(n, 6): real and imaginary part of w, w^2, w^3, butterfly after butterfly, all stages.

        The tail serves shorter frames.
        """
        rows = []
        for length in self.stages:
            angle = -2 * np.pi * np.arange(length // 4)[:, None] * np.arange(1, 4) / length
            pairs = np.stack([np.cos(angle), np.sin(angle)], axis=2)
            rows.append(pairs.reshape(-1, 6))
        return np.concatenate(rows).astype(np.float32)

    @property
    def stages(self) -> tuple[int, ...]:
        """Length of the blocks of each radix-4 stage, down to 8; one radix-2 stage follows."""
        found, length = [], self.points
        while length > 2:
            found.append(length)
            length //= 4
        return tuple(found)

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """(points,) where each frequency is found after the last stage."""
        return np.array([_place(k, self.points) for k in range(self.points)])

    @cached_property
    def turn(self) -> Floats:
        """(points / 2, 2): cosine and sine of `2 pi k / frame`."""
        angle = 2 * np.pi * np.arange(self.points // 2) / self.frame
        return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)

    def power(self, x: Floats) -> Floats:
        """`x` (n, frame) -> 4 |X|^2 (n, points), bins 0 to points - 1; bin 0 is left 0.

        The factor 4 is the caller's to remove, for nothing, with the window.
        """
        re, im = self._transform(x)
        points, half = self.points, self.points // 2
        k = np.arange(1, half)
        a, b = self.places[k], self.places[points - k]
        even_re, even_im = re[:, a] + re[:, b], im[:, a] - im[:, b]
        odd_re, odd_im = im[:, a] + im[:, b], re[:, b] - re[:, a]
        cosine, sine = self.turn[k, 0], self.turn[k, 1]
        turned_re = cosine * odd_re + sine * odd_im
        turned_im = cosine * odd_im - sine * odd_re
        result = np.zeros((len(x), points), np.float32)
        result[:, k] = _square(even_re + turned_re, even_im + turned_im)
        result[:, points - k] = _square(even_re - turned_re, even_im - turned_im)
        middle = self.places[half]
        result[:, half] = np.float32(4) * _square(re[:, middle], im[:, middle])
        return result

    def _transform(self, x: Floats) -> tuple[Floats, Floats]:
        re, im = np.array(x[:, 0::2], np.float32), np.array(x[:, 1::2], np.float32)
        used = 0
        for length in self.stages:
            quarter = length // 4
            _radix4(
                re.reshape(-1, 4, quarter),
                im.reshape(-1, 4, quarter),
                self.twiddles[used : used + quarter],
            )
            used += quarter
        for part in (re, im):
            pairs = part.reshape(-1, 2)
            first, second = pairs[:, 0].copy(), pairs[:, 1].copy()
            pairs[:, 0], pairs[:, 1] = first + second, first - second
        return re, im


def _radix4(re: Floats, im: Floats, twiddles: Floats) -> None:
    """One stage in place: views (blocks, 4, quarter)."""
    a_re, b_re, c_re, d_re = (re[:, i].copy() for i in range(4))
    a_im, b_im, c_im, d_im = (im[:, i].copy() for i in range(4))
    sum_re, sum_im, gap_re, gap_im = a_re + c_re, a_im + c_im, a_re - c_re, a_im - c_im
    side_re, side_im = b_re + d_re, b_im + d_im
    turn_re, turn_im = b_im - d_im, d_re - b_re
    re[:, 0], im[:, 0] = sum_re + side_re, sum_im + side_im
    for row, (x, y) in enumerate(
        (
            (gap_re + turn_re, gap_im + turn_im),
            (sum_re - side_re, sum_im - side_im),
            (gap_re - turn_re, gap_im - turn_im),
        )
    ):
        w_re, w_im = twiddles[:, 2 * row], twiddles[:, 2 * row + 1]
        re[:, row + 1] = x * w_re - y * w_im
        im[:, row + 1] = x * w_im + y * w_re


def _square(re: Floats, im: Floats) -> Floats:
    return re * re + im * im


def _place(k: int, length: int) -> int:
    if length == 2:
        return k
    return (k % 4) * (length // 4) + _place(k // 4, length // 4)
