"""From logits to answers as the C code gives them: quality, smoothing, switches, the exam.

The same rules as `acula_edge`'s gate (its part without a spectrum), `Smoother`, `Switch`, pools and
`decide`, in the same order of float64 operations, but with this package's exponential and
logarithm, whose bits do not depend on a libm. acula_decision.c is the other half.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import IntEnum, IntFlag

import numpy as np
from numpy.typing import NDArray

from acula_edge.bundle import FindingSpec, Manifest
from acula_edge.hops import BLOCK_SECONDS
from acula_edge.quality import GateSettings
from firmware_bridge.elementary import exp64, log64

FULL_SCALE = 32768
JITTER = 1e-9  # seconds; `Switch` forgives rounding of times by as much


class Quality(IntEnum):
    """`acula_quality`."""

    OK = 0
    WARN = 1
    REFUSE = 2


class Reasons(IntFlag):
    """`ACULA_REASON_...`."""

    NONE = 0
    NO_CONTACT = 1
    STUCK = 2
    CLIPPED = 4
    GAP = 8


class Decision(IntEnum):
    """`acula_decision`."""

    ABSENT = 0
    PRESENT = 1
    UNSURE = 2


@dataclass(frozen=True)
class GateConstants:
    """The gate's limits in samples and whole numbers.

    `clip_level` is the smallest clipped magnitude; `silence` the smallest `hop * sum(x^2) -
    sum(x)^2` that is not silence.
    """

    hops: int
    block: int
    clip_level: int
    silence: int
    clip_warn: float
    clip_refuse: float
    gap_warn: float


def gate_constants(manifest: Manifest) -> GateConstants:
    """The limits of `acula_edge`'s gate for this model."""
    settings, hop = GateSettings(), manifest.hop
    level = float(np.float32(settings.clip_level))
    silence = 10.0 ** (settings.silence_db / 10.0)
    return GateConstants(
        hops=max(1, round(settings.memory / (hop / manifest.rate))),
        block=max(1, round(manifest.rate * BLOCK_SECONDS)),
        clip_level=math.ceil(level * FULL_SCALE),
        silence=math.ceil(silence * hop * hop * FULL_SCALE**2),
        clip_warn=settings.clip_warn,
        clip_refuse=settings.clip_refuse,
        gap_warn=settings.gap_warn,
    )


class Gate:
    """No contact, stuck converters, clipping and gaps, judged hop by hop."""

    def __init__(self, manifest: Manifest):
        self._limits = gate_constants(manifest)
        self._hop_seconds = manifest.hop / manifest.rate
        self._restart()
        self._gap_left = 0.0

    def note_gap(self) -> None:
        """Samples were lost just before the next hop."""
        self._restart()
        self._gap_left = self._limits.gap_warn

    def _restart(self) -> None:
        self._clips: deque[tuple[int, int]] = deque(maxlen=self._limits.hops)
        self._powers: deque[int] = deque(maxlen=self._limits.hops)
        self._carry = np.empty(0, np.int16)

    def judge(self, pcm: NDArray[np.int16]) -> tuple[Quality, Reasons]:
        """`pcm` (hop,); reasons are those of the verdict, as the host names them."""
        limits = self._limits
        stuck = self._remember(pcm)
        refuse, warn = Reasons.NONE, Reasons.NONE
        if stuck:
            refuse |= Reasons.STUCK
        elif max(self._powers) < limits.silence:
            refuse |= Reasons.NO_CONTACT
        samples = sum(item[0] for item in self._clips)
        share = sum(item[1] for item in self._clips) / max(samples, 1)
        if share >= limits.clip_refuse:
            refuse |= Reasons.CLIPPED
        elif share >= limits.clip_warn:
            warn |= Reasons.CLIPPED
        if self._gap_left > 0:
            self._gap_left -= self._hop_seconds
            warn |= Reasons.GAP
        if refuse:
            return Quality.REFUSE, refuse
        return (Quality.WARN, warn) if warn else (Quality.OK, warn)

    def _remember(self, pcm: NDArray[np.int16]) -> bool:
        """Facts of the blocks that end in this hop; whether all of them are stuck."""
        joined = np.concatenate([self._carry, pcm]).astype(np.int64)
        count = len(joined) // self._limits.block
        self._carry = joined[count * self._limits.block :].astype(np.int16)
        blocks = joined[: count * self._limits.block].reshape(count, self._limits.block)
        clipped = int(np.count_nonzero(np.abs(blocks) >= self._limits.clip_level))
        self._clips.append((blocks.size, clipped))
        x = pcm.astype(np.int64)
        self._powers.append(len(x) * int((x * x).sum()) - int(x.sum()) ** 2)
        flat = blocks.min(axis=1, initial=FULL_SCALE) == blocks.max(axis=1, initial=-FULL_SCALE)
        return count > 0 and bool((flat & (blocks[:, 0] != 0)).all())


def probability(logit: float, spec: FindingSpec) -> float:
    """Calibrated probability of a logit."""
    value = (logit - spec.bias) / spec.temperature
    if value >= 0:
        return 1.0 / (1.0 + exp64(-value))
    grown = exp64(value)
    return grown / (1.0 + grown)


class Tracker:
    """Smoothing and switch of one finding."""

    def __init__(self, spec: FindingSpec, manifest: Manifest):
        self._spec, self._smoothing = spec, manifest.smoothing
        self._keep = smoothing_keep(manifest)
        self.reset()

    def reset(self) -> None:
        """Nothing heard, and off."""
        self._sum = self._weight = 0.0
        self._since: float | None = None
        self.on = False

    def update(self, logit: float, start: float, end: float) -> float:
        """The smoothed probability after audio `[start, end)` seconds."""
        self._sum = self._keep * self._sum + logit
        self._weight = self._keep * self._weight + 1.0
        value = probability(self._sum / self._weight, self._spec)
        crossing = value < self._spec.leave if self.on else value >= self._spec.enter
        if not crossing:
            self._since = None
            return value
        if self._since is None:
            self._since = start
        wait = self._smoothing.minimum_off if self.on else self._smoothing.minimum_on
        if end - self._since >= wait - JITTER:
            self.on, self._since = not self.on, None
        return value


def smoothing_keep(manifest: Manifest) -> float:
    """What the smoother keeps of its past per hop."""
    seconds = manifest.smoothing.seconds
    return math.exp(-(manifest.hop / manifest.rate) / seconds) if seconds > 0 else 0.0


class Pool:
    """Mean, or log-mean-exp, of the evidence of one finding."""

    def __init__(self, spec: FindingSpec):
        self._sharpness = 0.0 if spec.pooling.kind == "mean" else spec.pooling.sharpness
        self._peak = self._sum = 0.0
        self._count = 0

    def add(self, logit: float) -> None:
        """Take one hop's logit."""
        if not self._sharpness:
            self._sum += logit
        else:
            value = logit * self._sharpness
            if not self._count:
                self._peak, self._sum = value, 1.0
            elif value > self._peak:
                self._sum = self._sum * exp64(self._peak - value) + 1.0
                self._peak = value
            else:
                self._sum += exp64(value - self._peak)
        self._count += 1

    @property
    def value(self) -> float | None:
        """The pooled logit; None before the first."""
        if not self._count:
            return None
        if not self._sharpness:
            return self._sum / self._count
        return (self._peak + log64(self._sum / self._count)) / self._sharpness
