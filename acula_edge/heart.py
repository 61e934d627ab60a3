"""Heart sounds and heart rate of a session: what the decoded cardiac phases say, as events.

Only confident onsets are told, so that noise and lung sound yield next to no beats.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from acula_edge.bundle import Manifest
from acula_edge.events import HeartSound, Vitals
from acula_edge.phases import CYCLE, Onset, PhaseDecoder

CONFIDENT = 0.65
SURELY_CONFIDENT = 0.75
"""Least confidence of an onset where the listener said that this is a heart, and where nobody did.
On validation patients (CirCor; SPRSound's lung sounds) the first keeps 99 % of the onsets that are
found and right and tells 9 beats a minute in lung sound; the second keeps 94 % and tells 1, of the
70 that are found there."""
LONGEST_BEAT = 60 / 35
RATE_SECONDS = 10.0
RATE_BEATS = 3
TELL_SECONDS = 1.0
STALE_SECONDS = 5.0
HeartEvent = HeartSound | Vitals


class HeartTracker:
    """Follows the phase logits of a session, hop by hop.

    Args:
        phases: names of the rows of the logits.
        hop_seconds: length of a hop.
        delay: seconds by which the network answers late.
        confident: least confidence of the onsets that are told.
    """

    def __init__(
        self,
        phases: Sequence[str],
        hop_seconds: float,
        delay: float,
        confident: float = CONFIDENT,
    ):
        self._phases, self._hop_seconds, self._delay = tuple(phases), hop_seconds, delay
        self._confident = confident
        self._decoder: PhaseDecoder | None = None
        self._origin: float | None = None
        self._beats: list[float] = []  # seconds from S1 to S1, of the whole session
        self._recent: deque[tuple[Onset, float]] = deque()  # an onset, seconds since its like
        self._before: dict[str, Onset] = {}
        self._told: float | None = None  # when a rate was told that still stands
        self._heard = 0.0

    @property
    def heart_rate(self) -> float | None:
        """Beats per minute over the session (from the median beat); None after too few beats."""
        return round(60 / median(self._beats), 1) if len(self._beats) >= RATE_BEATS else None

    def push(self, logits: NDArray[np.float32], start: float) -> list[HeartEvent]:
        """Take the phase logits (P, S) of the hop that starts at `start` seconds."""
        if self._decoder is None:
            step = self._hop_seconds / logits.shape[1]
            self._decoder = PhaseDecoder(self._phases, step, self._delay)
        if self._origin is None:
            self._origin = start
        events = self._events(self._decoder.push(logits))
        end = start + self._hop_seconds
        if self._told is not None and end - self._heard > STALE_SECONDS:
            events += self._lose(end)
        return events

    def end(self) -> list[HeartEvent]:
        """The sound ends here, or is interrupted: what is still owed."""
        if self._decoder is None or self._origin is None:
            return []
        events = self._events(self._decoder.flush())
        self._decoder.reset()
        self._origin = None
        self._before.clear()
        return events

    def interrupt(self, at: float) -> list[HeartEvent]:
        """What is owed before a gap or a refusal at `at`; the rate is no longer known."""
        return self.end() + (self._lose(at) if self._told is not None else [])

    def _events(self, onsets: list[Onset]) -> list[HeartEvent]:
        events: list[HeartEvent] = []
        for found in onsets:
            onset = Onset((self._origin or 0.0) + found.at, found.sound, found.confidence)
            before = self._before.get(onset.sound)
            self._before[onset.sound] = onset
            if onset.confidence < self._confident:
                continue
            self._heard = onset.at
            events.append(HeartSound(onset.at, onset.sound, round(onset.confidence, 3)))
            if before is not None and before.confidence >= self._confident:
                events += self._beat(onset, onset.at - before.at)
        return events

    def _beat(self, onset: Onset, seconds: float) -> list[HeartEvent]:
        if seconds > LONGEST_BEAT:
            return []
        if onset.sound == "S1":
            self._beats.append(seconds)
        self._recent.append((onset, seconds))
        while self._recent[0][0].at < onset.at - RATE_SECONDS:
            self._recent.popleft()
        early = self._told is not None and onset.at - self._told < TELL_SECONDS
        if early or len(self._recent) < 2 * RATE_BEATS:
            return []
        self._told = onset.at
        rate = 60 / median(beat for _, beat in self._recent)
        confidence = sum(each.confidence for each, _ in self._recent) / len(self._recent)
        return [Vitals(onset.at, round(rate, 1), None, round(confidence, 3))]

    def _lose(self, at: float) -> list[HeartEvent]:
        self._told = None
        self._recent.clear()
        return [Vitals(at, None, None, 0.0)]


def heart_tracker(manifest: Manifest, site: str | None) -> HeartTracker | None:
    """What follows the heart in a session; None at a lung, and without cardiac phases."""
    if site == "lung" or not set(CYCLE) <= set(manifest.phases):
        return None
    hop_seconds = manifest.hop / manifest.rate
    confident = CONFIDENT if site == "heart" else SURELY_CONFIDENT
    return HeartTracker(manifest.phases, hop_seconds, manifest.phase_delay, confident)
