"""Is there a heartbeat at all? The sound's envelope must repeat at 38 to 180 beats per minute.

The limit lies above what noise reaches and below nearly every CirCor training recording; the model
card's abstentions show what it costs.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BLOCK_SECONDS = 0.016
SUBBLOCKS = 4  # averaging 4 ms keeps what lies under about 120 Hz, where S1 and S2 are
SPAN_SECONDS = 5.0
LOOK_SECONDS = 1.0
LOOKS = 30
SHORTEST_BEAT, LONGEST_BEAT = 60 / 180, 60 / 38
LEAST_PERIODICITY = 0.25
LEVEL_FLOOR = 1e-5


class Heartbeat:
    """Follows the envelope of model-rate sound, one hop at a time."""

    def __init__(self, rate: int, hop: int):
        self._sub = max(1, round(rate * BLOCK_SECONDS / SUBBLOCKS))
        self._rate = rate
        self._step = self._sub * SUBBLOCKS / rate
        self._span = round(SPAN_SECONDS / self._step)
        self._lags = (round(SHORTEST_BEAT / self._step), round(LONGEST_BEAT / self._step))
        self._hop_seconds = hop / rate
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        self._rest = np.empty(0, np.float32)
        self._envelope: deque[float] = deque(maxlen=self._span)
        self._looks: deque[float] = deque(maxlen=LOOKS)
        self._due = SPAN_SECONDS

    def push(self, pcm: Floats) -> None:
        """Take a hop, float32 (n,)."""
        pcm = np.concatenate([self._rest, pcm])
        block = self._sub * SUBBLOCKS
        whole = len(pcm) - len(pcm) % block
        self._rest = pcm[whole:]
        smooth = pcm[:whole].reshape(-1, self._sub).mean(axis=1).reshape(-1, SUBBLOCKS)
        level = np.sqrt(np.mean(smooth * smooth, axis=1)) + LEVEL_FLOOR
        self._envelope.extend(np.log(level).tolist())
        self._due -= self._hop_seconds
        if self._due <= 0 and len(self._envelope) == self._span:
            self._due += LOOK_SECONDS
            self._looks.append(periodicity(np.array(self._envelope), *self._lags))

    @property
    def missing(self) -> bool:
        """True when none of the latest looks found a beat; False while too little was heard."""
        return bool(self._looks) and max(self._looks) < LEAST_PERIODICITY


def periodicity(envelope: NDArray[np.float64], shortest: int, longest: int) -> float:
    """Highest normalised autocorrelation of (n,) values over lags `[shortest, longest)`."""
    x = envelope - envelope.mean()
    power = float(np.dot(x, x)) / len(x)
    if power <= 1e-12:
        return 0.0
    spectrum = np.fft.rfft(x, 2 * len(x))
    products = np.fft.irfft(spectrum.real**2 + spectrum.imag**2)[:longest]
    unbiased = products / (len(x) - np.arange(longest))
    return float(unbiased[shortest:].max() / power)
