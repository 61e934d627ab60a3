"""Synthetic auscultation: what flows while time is measured, and sounds with a known onset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from acula_edge.demo import demos

Sound = NDArray[np.float32]
Floats = NDArray[np.float64]
BEAT_SECONDS = 0.8
SYSTOLE_SECONDS = 0.3
LOOP_SECONDS = 16.0  # whole beats, and whole blocks of 100 ms
LEAD_SECONDS = 6.0
TAIL_SECONDS = 10.0


@dataclass(frozen=True)
class Planted:
    """`sound` (n,) in which something begins at `onsets` (seconds)."""

    sound: Sound
    onsets: tuple[float, ...]


def heart(seconds: float, rate: int, random: np.random.Generator, start: float = 0.0) -> Planted:
    """S1 and S2 at 75 beats a minute from `start` on, over faint noise; the onsets are S1's."""
    time = np.arange(round(seconds * rate)) / rate
    sound = 0.003 * random.standard_normal(len(time))
    beats = np.arange(start, seconds, BEAT_SECONDS)
    for at in beats:
        for offset, hz, level, lasts in ((0.0, 50, 0.5, 0.12), (SYSTOLE_SECONDS, 65, 0.4, 0.09)):
            first = int(np.searchsorted(time, at + offset))
            since = time[first : first + round(lasts * rate)] - at - offset
            shape = np.sin(np.pi * since / lasts) ** 2
            sound[first : first + len(since)] += level * shape * np.sin(2 * np.pi * hz * since)
    return Planted(sound.astype(np.float32), tuple(float(at) for at in beats))


def endless_blocks(rate: int, block_seconds: float) -> Iterator[Sound]:
    """A heart without end, in blocks of the source."""
    sound = heart(LOOP_SECONDS, rate, np.random.default_rng(0)).sound
    size = max(1, round(block_seconds * rate))
    whole = len(sound) - len(sound) % size
    return cycle([sound[start : start + size] for start in range(0, whole, size)])


def heart_after_noise(rate: int, random: np.random.Generator) -> Planted:
    """Faint noise, then a heart. The last beats are no onsets: their sound ends too soon."""
    start = 3.0 + random.uniform(0, BEAT_SECONDS)
    planted = heart(start + TAIL_SECONDS, rate, random, start)
    told = tuple(at for at in planted.onsets if at < start + TAIL_SECONDS - 3.0)
    return Planted(planted.sound, told)


def murmur_after_normal(rate: int, random: np.random.Generator) -> Planted:
    """A bundled recording of a normal heart, cut over to one with a murmur: the onset."""
    return _joined(
        _demo("heart-normal", rate, random, LEAD_SECONDS + random.uniform(0, 1)),
        _demo("heart-murmur", rate, random, TAIL_SECONDS),
        rate,
    )


def wheeze_after_breath(rate: int, random: np.random.Generator) -> Planted:
    """Breathing of coloured noise, cut over to a bundled recording of wheezing.

    The recording's own first wheeze comes after the cut, so latencies are too long rather than
    too short.
    """
    breath = _breath(LEAD_SECONDS + random.uniform(0, 1), rate, random)
    return _joined(breath, _demo("lung-wheeze", rate, random, TAIL_SECONDS), rate)


def crackles_after_breath(rate: int, random: np.random.Generator) -> Planted:
    """Breathing of coloured noise, in which short damped tones begin."""
    start = LEAD_SECONDS + random.uniform(0, 1)
    sound = _breath(start + TAIL_SECONDS, rate, random)
    at = start
    while at < start + TAIL_SECONDS - 0.1:
        since = np.arange(round(0.03 * rate)) / rate
        tone = np.exp(-since / random.uniform(0.003, 0.005))
        tone *= np.sin(2 * np.pi * random.uniform(250, 500) * since)
        first = round(at * rate)
        sound[first : first + len(tone)] += (random.uniform(0.2, 0.4) * tone).astype(np.float32)
        at += random.uniform(0.02, 0.12)
    return Planted(sound, (start,))


PLANTS: dict[str, tuple[str, Callable[[int, np.random.Generator], Planted]]] = {
    "heart_sound": ("heart", heart_after_noise),
    "murmur": ("heart", murmur_after_normal),
    "crackle": ("lung", crackles_after_breath),
    "wheeze": ("lung", wheeze_after_breath),
}
"""For each finding that can be planted: the site it is heard at, and the sound."""


def _breath(seconds: float, rate: int, random: np.random.Generator) -> Sound:
    count = round(seconds * rate)
    spectrum = np.fft.rfft(random.standard_normal(count))
    hz = np.fft.rfftfreq(count, 1 / rate)
    noise: Floats = np.fft.irfft(np.where((hz > 50) & (hz < 800), spectrum, 0), count)
    time = np.arange(count) / rate
    swell = 0.4 + 0.6 * np.sin(2 * np.pi * time / 3) ** 2
    sound = 0.1 * swell * noise / np.abs(noise).max() + 0.002 * random.standard_normal(count)
    return np.asarray(sound, np.float32)


def _demo(name: str, rate: int, random: np.random.Generator, seconds: float) -> Sound:
    """A stretch of a bundled recording that begins anywhere in it."""
    import soundfile  # noqa: PLC0415 - 20 ms that only onsets need
    import soxr  # noqa: PLC0415 - likewise

    path = next(demo.path for demo in demos() if demo.path.stem == name)
    recorded, own_rate = soundfile.read(path, dtype="float32")
    sound: Sound = soxr.resample(recorded, own_rate, rate)
    size = min(round(seconds * rate), len(sound))
    first = int(random.integers(0, len(sound) - size + 1))
    part: Sound = sound[first : first + size]
    return part


def _joined(before: Sound, after: Sound, rate: int) -> Planted:
    return Planted(np.concatenate([before, after]), (len(before) / rate,))
