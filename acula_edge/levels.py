"""Levels of sound."""

from __future__ import annotations

import math


def decibels(amplitude: float) -> float:
    """An amplitude in dB of full scale; zero is -infinity."""
    return 20.0 * math.log10(amplitude) if amplitude > 0 else -math.inf
