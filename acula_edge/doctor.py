"""Is this machine fit to listen? Checks of captured sound and of the model's pace.

All functions are pure over arrays. What they say of voice processing are signs, not proof: a
headset's "enhancements" remove the very sounds that matter here, and leave traces.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from acula_edge.levels import decibels
from acula_edge.sources.base import Pcm

Floats = NDArray[np.float64]

SILENCE_DBFS = -85.0
QUIET_DBFS = -60.0
CLIP_LEVEL = 0.999
CLIP_SHARE = 1e-4
DC_LEVEL = 0.01
FRAME_SECONDS = 0.02
GATED_SHARE = 0.1
STEADY_FRAMES = 10
"""Noise within `STEADY_DB` for 0.2 s is a floor; sounds of the body do not hold still so long."""
STEADY_DB = 6.0
DROP_DB = 15.0
PUMP_DB = 6.0
PUMP_SECONDS = 1.0
EDGE_DB = 25.0
HIGH_PASS_DB = 20.0
PACED_SECONDS = 6.0


class Status(StrEnum):
    """Verdict of one check."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Check:
    """One check: what was found, and what to do where it is not fine."""

    name: str
    status: Status
    detail: str
    advice: str = ""


def check_level(pcm: Pcm) -> Check:
    """Silence, faint sound and clipping of sound (n,)."""
    sound = _finite(pcm)
    peak = float(np.abs(sound).max(initial=0.0))
    rms = math.sqrt(float(np.mean(sound**2))) if len(sound) else 0.0
    detail = f"rms {decibels(rms):.1f} dBFS, peak {decibels(peak):.1f} dBFS"
    clipped = np.count_nonzero(np.abs(sound) >= CLIP_LEVEL) / max(1, len(sound))
    if decibels(peak) < SILENCE_DBFS:
        advice = "The input is silent: unmute it, allow microphone access, and check the cable."
        return Check("level", Status.WARN, detail, advice)
    if clipped > CLIP_SHARE:
        advice = "Lower the input gain until the peak stays below -3 dBFS."
        return Check("level", Status.WARN, f"{detail}, {clipped:.2%} clipped", advice)
    if decibels(rms) < QUIET_DBFS:
        advice = "Faint: raise the input gain, or press the chestpiece to the skin."
        return Check("level", Status.WARN, detail, advice)
    return Check("level", Status.OK, detail)


def check_offset(pcm: Pcm) -> Check:
    """A constant offset of sound (n,)."""
    mean = float(np.mean(_finite(pcm))) if len(pcm) else 0.0
    detail = f"mean {mean:+.4f} of full scale"
    if abs(mean) < DC_LEVEL:
        return Check("DC offset", Status.OK, detail)
    advice = "The input is biased, which eats headroom: try another port or sound card."
    return Check("DC offset", Status.WARN, detail, advice)


def check_gating(pcm: Pcm, rate: int) -> Check:
    """Signs of a noise gate or noise suppression in sound (n,): the floor vanishes at times.

    Looked for: frames of one constant value among sound, and steady noise that drops by
    `DROP_DB` within two frames to another steady floor, at least twice.
    """
    name = "noise suppression"
    frames = _frames(_finite(pcm), rate)
    constant = np.ptp(frames, axis=1) == 0.0
    if len(constant):
        # Zeros before the first sound are the device starting up.
        constant = constant[np.argmin(constant) :]
    share = float(np.mean(constant)) if len(constant) else 0.0
    advice = "Switch off noise suppression and echo cancellation in the sound settings."
    if GATED_SHARE < share < 1.0:
        return Check(name, Status.WARN, f"{share:.0%} of the time is exact silence", advice)
    drops = _floor_drops(_levels(frames))
    if drops >= 2:
        detail = f"the noise floor dropped abruptly {drops} times"
        return Check(name, Status.WARN, detail, advice)
    return Check(name, Status.OK, "the noise floor does not vanish between sounds")


def check_gain_control(pcm: Pcm, rate: int) -> Check:
    """Signs of automatic gain control in sound (n,): after a sound, the floor creeps up.

    Looked for: a second or more in which the floor of 0.2 s pieces rises in a straight line by
    `PUMP_DB` or more.
    """
    levels = _levels(_frames(_finite(pcm), rate))
    count = len(levels) // STEADY_FRAMES
    floors = np.percentile(
        levels[: count * STEADY_FRAMES].reshape(count, STEADY_FRAMES), 20, axis=1
    )
    span = round(PUMP_SECONDS / (STEADY_FRAMES * FRAME_SECONDS))
    rises = [_straight_rise(floors[start : start + span]) for start in range(count - span + 1)]
    rise = max(rises, default=0.0)
    if rise >= PUMP_DB:
        detail = f"the noise floor rises steadily by {rise:.0f} dB within {PUMP_SECONDS:.0f} s"
        advice = "Switch off automatic gain control (microphone boost, AGC) in the sound settings."
        return Check("gain control", Status.WARN, detail, advice)
    return Check("gain control", Status.OK, "the noise floor does not creep up between sounds")


def check_bandwidth(pcm: Pcm, rate: int) -> Check:
    """Signs of a voice profile in sound (n,): a cliff at 4 or 8 kHz, or no energy below 100 Hz.

    Noise of a microphone reaches up to half its rate; a cliff means that the sound was at a lower
    rate before, as in the headset profile of Bluetooth.
    """
    name = "bandwidth"
    frequencies, power = _spectrum(_finite(pcm), rate)
    if power.max() <= 1e-18:
        return Check(name, Status.OK, "not judged: too little sound")

    def level(low: float, high: float) -> float:
        band = power[(frequencies >= low) & (frequencies < high)]
        return 10.0 * math.log10(float(np.median(band)) + 1e-20) if len(band) else math.nan

    advice = "Leave the headset (hands-free) profile, or choose a wired or USB input."
    for edge in (4000.0, 8000.0):
        cliff = level(0.75 * edge, 0.9 * edge) - level(1.1 * edge, 1.35 * edge)
        if 1.35 * edge <= rate / 2 and cliff > EDGE_DB:
            detail = f"nothing above {edge / 1000:.0f} kHz at a {rate} Hz device"
            return Check(name, Status.WARN, detail, advice)
    if level(150.0, 400.0) - level(20.0, 80.0) > HIGH_PASS_DB:
        detail = "nothing below 100 Hz, where heart sounds are"
        return Check(name, Status.WARN, detail, "Switch off voice processing (low cut). " + advice)
    return Check(name, Status.OK, f"no cliff of a voice profile at {rate} Hz")


def check_capture(pcm: Pcm, rate: int) -> list[Check]:
    """All checks of captured sound (n,)."""
    return [
        check_level(pcm),
        check_offset(pcm),
        check_gating(pcm, rate),
        check_gain_control(pcm, rate),
        check_bandwidth(pcm, rate),
    ]


@dataclass(frozen=True)
class Pace:
    """Seconds of work per hop of a paced run, and by how much the latest hop ended late."""

    work: tuple[float, ...]
    hop_seconds: float
    late_hops: int

    def quantile(self, share: float) -> float:
        """Seconds of work that this share of the hops stayed within."""
        return float(np.quantile(self.work, share))

    @property
    def real_time_factor(self) -> float:
        """Work per second of sound; below 1 keeps up."""
        return sum(self.work) / (len(self.work) * self.hop_seconds)


def run_paced(
    push: Callable[[Pcm], object],
    pcm: Pcm,
    hop: int,
    rate: int,
    *,
    now: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Pace:
    """Push whole hops of sound (n,) as they would arrive live, and time each.

    A hop is late when its work ends after the next one has arrived.
    """
    hop_seconds = hop / rate
    work, late = [], 0
    start = now()
    for number in range(len(pcm) // hop):
        sleep(max(0.0, start + (number + 1) * hop_seconds - now()))
        begin = now()
        push(pcm[number * hop : (number + 1) * hop])
        end = now()
        work.append(end - begin)
        late += end > start + (number + 2) * hop_seconds
    return Pace(tuple(work), hop_seconds, late)


def check_pace(pace: Pace) -> Check:
    """Whether a paced run kept up."""
    count = len(pace.work)
    if count == 0:
        return Check("pace", Status.WARN, "the demo is shorter than one hop", "Reinstall the demo.")
    detail = (
        f"p50 {pace.quantile(0.5) * 1e3:.1f} ms, p95 {pace.quantile(0.95) * 1e3:.1f} ms per hop of "
        f"{pace.hop_seconds * 1e3:.0f} ms (n={count}), real-time factor "
        f"{pace.real_time_factor:.3f}, {pace.late_hops} late; times depend on machine and load"
    )
    if pace.real_time_factor >= 1.0:
        advice = "This machine cannot keep up: choose a smaller model or variant."
        return Check("pace", Status.FAIL, detail, advice)
    if pace.late_hops:
        advice = "Some hops ended late: close other programs and try again."
        return Check("pace", Status.WARN, detail, advice)
    return Check("pace", Status.OK, detail)


def _finite(pcm: Pcm) -> Floats:
    return np.nan_to_num(np.asarray(pcm, dtype=np.float64), posinf=0.0, neginf=0.0)


def _frames(sound: Floats, rate: int) -> Floats:
    size = max(1, round(rate * FRAME_SECONDS))
    return sound[: len(sound) // size * size].reshape(-1, size)


def _levels(frames: Floats) -> Floats:
    if not len(frames):
        return np.zeros(0)
    levels: Floats = 10.0 * np.log10(np.var(frames, axis=1) + 1e-12)
    return levels


def _floor_drops(levels: Floats) -> int:
    """How often steady noise falls to a much lower steady floor within two frames."""
    drops, last = 0, -STEADY_FRAMES
    for at in range(STEADY_FRAMES, len(levels) - STEADY_FRAMES - 1):
        before, after = levels[at - STEADY_FRAMES : at], levels[at + 2 : at + 2 + STEADY_FRAMES]
        steady = np.ptp(before) < STEADY_DB and np.ptp(after) < STEADY_DB
        if steady and before.mean() - after.mean() > DROP_DB and at - last >= STEADY_FRAMES:
            drops, last = drops + 1, at
    return drops


def _straight_rise(floors: Floats) -> float:
    """Decibels that the floors rise, 0 where they do not follow a straight line."""
    steps = np.arange(len(floors))
    slope, start = np.polyfit(steps, floors, 1)
    straight = bool(np.abs(floors - (slope * steps + start)).max() < 1.5)
    return float(slope * (len(floors) - 1)) if straight else 0.0


def _spectrum(sound: Floats, rate: int) -> tuple[Floats, Floats]:
    """Mean power of half-overlapping Hann windows of 0.1 s, and its frequencies."""
    size = round(rate * 0.1)
    taper = np.hanning(size)
    total: Floats = np.zeros(size // 2 + 1)
    starts = range(0, len(sound) - size + 1, max(1, size // 2))
    for at in starts:
        total += np.abs(np.fft.rfft(sound[at : at + size] * taper)) ** 2
    frequencies: Floats = np.arange(len(total), dtype=np.float64) * (rate / size)
    return frequencies, total / (max(1, len(starts)) * np.sum(taper) ** 2)
