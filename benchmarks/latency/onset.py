"""From the moment a sound begins to the event that tells it."""

from __future__ import annotations

import numpy as np

from acula_edge import Session
from acula_edge.bundle import Bundle
from acula_edge.events import Detection, Event, HeartSound
from acula_edge.phases import CYCLE
from benchmarks.distribution import distribution
from benchmarks.latency.settings import Clock, LatencySettings
from benchmarks.latency.sounds import PLANTS, Planted
from benchmarks.record import Onset

HEART_SOUND = "heart_sound"
TOLERANCE_SECONDS = 0.06  # as heart sounds are scored on recordings
Told = list[tuple[float, float, Event]]


def measure_onsets(
    bundle: Bundle, variant: str, provider: str, settings: LatencySettings, clock: Clock
) -> tuple[Onset, ...]:
    """Every finding of the bundle that can be planted, `onset_trials` sounds each.

    `audio_ms` is the sound between the onset and the end of the block whose push told it: what a
    listener waits whatever the machine. `compute_ms` is the wall time of that push. Of a heart
    each planted S1 is a trial, of the other findings each sound.
    """
    names = list(bundle.manifest.labels)
    if set(CYCLE) <= set(bundle.manifest.phases):
        names.insert(0, HEART_SOUND)
    random = np.random.default_rng(0)
    found = []
    for name in (name for name in names if name in PLANTS):
        site, plant = PLANTS[name]
        trials, pairs = 0, []
        for _ in range(settings.onset_trials):
            planted = plant(settings.source_rate, random)
            session = Session(
                bundle,
                site=site,
                source_rate=settings.source_rate,
                variant=variant,
                provider=provider,
            )
            told = _listen(session, planted, settings, clock)
            trials += len(planted.onsets)
            pairs += [pair for at in planted.onsets if (pair := latency_of(name, at, told))]
        found.append(_onset(name, trials, pairs))
    return tuple(found)


def latency_of(name: str, at: float, told: Told) -> tuple[float, float] | None:
    """Audio and compute milliseconds to the event that tells the onset at `at`; None if none does.

    A heart sound must be S1 and lie within 60 ms of the onset; another finding must switch on
    after it.
    """
    for heard, wall, event in told:
        if _tells(event, name, at, heard):
            return (heard - at) * 1e3, wall * 1e3
    return None


def _tells(event: Event, name: str, at: float, heard: float) -> bool:
    if name == HEART_SOUND:
        if not isinstance(event, HeartSound) or event.sound != "S1":
            return False
        return abs(event.at - at) <= TOLERANCE_SECONDS
    if not isinstance(event, Detection) or event.finding != name:
        return False
    return event.on and heard > at


def _listen(session: Session, planted: Planted, settings: LatencySettings, clock: Clock) -> Told:
    """(seconds heard, wall seconds of the push, event) of every event."""
    size = max(1, round(settings.block_seconds * settings.source_rate))
    told: Told = []
    for start in range(0, len(planted.sound), size):
        block = planted.sound[start : start + size]
        began = clock.now()
        events = session.push(block)
        wall = clock.now() - began
        heard = (start + len(block)) / settings.source_rate
        told += [(heard, wall, event) for event in events]
    return told


def _onset(name: str, trials: int, pairs: list[tuple[float, float]]) -> Onset:
    return Onset(
        finding=name,
        trials=trials,
        detected=len(pairs),
        audio_ms=distribution([audio for audio, _ in pairs]) if pairs else None,
        compute_ms=distribution([compute for _, compute in pairs]) if pairs else None,
    )
