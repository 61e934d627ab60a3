"""From hop logits to steady findings: exponential smoothing and hysteresis, timed in audio."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Hysteresis:
    """On at `enter`, off below `leave` (probabilities), each once it has lasted (seconds)."""

    enter: float
    leave: float
    minimum_on: float
    minimum_off: float


class Smoother:
    """Exponential mean of logits with exact start-up: the plain mean at first.

    `seconds` is the time constant; `hop_seconds` the time between calls.
    """

    def __init__(self, seconds: float, hop_seconds: float):
        self._keep = math.exp(-hop_seconds / seconds) if seconds > 0 else 0.0
        self.reset()

    def reset(self) -> None:
        """Start again from nothing."""
        self._sum = 0.0
        self._weight = 0.0

    def update(self, logit: float) -> float:
        """The smoothed logit after this hop."""
        self._sum = self._keep * self._sum + logit
        self._weight = self._keep * self._weight + 1.0
        return self._sum / self._weight


class Switch:
    """On/off with hysteresis: a crossing counts once it has lasted its minimum time."""

    def __init__(self, settings: Hysteresis):
        self._settings = settings
        self.reset()

    def reset(self) -> None:
        """Off, with no crossing pending."""
        self.on = False
        self._since: float | None = None

    def update(self, probability: float, start: float, end: float) -> bool:
        """Take the probability of audio `[start, end)`; True when the switch changed."""
        settings = self._settings
        crossing = probability < settings.leave if self.on else probability >= settings.enter
        if not crossing:
            self._since = None
            return False
        if self._since is None:
            self._since = start
        wait = settings.minimum_off if self.on else settings.minimum_on
        if end - self._since < wait - 1e-9:
            return False
        self.on = not self.on
        self._since = None
        return True
