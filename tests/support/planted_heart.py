"""A heart whose phases are known: logits such as a network gives, and the truth behind them."""

from __future__ import annotations

import numpy as np

from acula_edge.engine import HopOutput
from acula_edge.phases import CYCLE

STEP, DELAY, STEPS = 0.032, 0.1, 6
SECONDS = {"S1": 0.11, "systole": 0.17, "S2": 0.1}


def boundaries(seconds, beats_per_minute=90.0, jitter=0.0, seed=0):
    """(start, phase) of every phase from 0.2 s on, up to `seconds`."""
    random = np.random.default_rng(seed)
    at, result = 0.2, []
    while at < seconds:
        beat = 60 / beats_per_minute * (1 + jitter * random.uniform(-1, 1))
        lengths = SECONDS | {"diastole": beat - sum(SECONDS.values())}
        for phase in CYCLE:
            result.append((at, phase))
            at += lengths[phase]
    return [(start, phase) for start, phase in result if start < seconds]


def onsets(marks, sound):
    return [start for start, phase in marks if phase == sound]


def logits(marks, seconds, *, clear=4.0, noise=1.0, seed=0):
    """float32 (4, n): the phase `DELAY` before each step's end stands out by `clear`."""
    steps = round(seconds / STEP) // STEPS * STEPS
    at = (np.arange(steps) + 1) * STEP - DELAY
    index = np.searchsorted([start for start, _ in marks], at, side="right") - 1
    names = list(CYCLE)
    phase = np.array([3 if i < 0 else names.index(marks[i][1]) for i in index])
    values = noise * np.random.default_rng(seed).standard_normal((4, steps))
    values[phase, np.arange(steps)] += clear
    return values.astype(np.float32)


class PlantedEngine:
    """Stands for the network: each hop since the last reset gets the next of the planted steps."""

    def __init__(self, phases, findings=3, embedding=4):
        self._phases, self._findings, self._embedding = phases, findings, embedding
        self.reset()

    def reset(self):
        self._hop = 0

    def run(self, pcm):
        first = self._hop * STEPS
        self._hop += 1
        return HopOutput(
            np.zeros(self._findings, np.float32),
            np.linspace(-1, 1, self._findings * STEPS, dtype=np.float32).reshape(-1, STEPS),
            self._phases[:, first : first + STEPS],
            np.zeros(self._embedding, np.float32),
        )
