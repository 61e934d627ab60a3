"""The doctor's heuristics on planted faults, and their silence on plain sound."""

from __future__ import annotations

import numpy as np
import pytest

from acula_edge.doctor import (
    Check,
    Pace,
    Status,
    check_bandwidth,
    check_capture,
    check_gain_control,
    check_gating,
    check_level,
    check_offset,
    check_pace,
    run_paced,
)

RATE = 48_000
SECONDS = 4


def noise(level: float = 0.01, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal(RATE * SECONDS)).astype(np.float32)


def heart(level: float = 0.3) -> np.ndarray:
    """Thumps of 60 Hz every 0.8 s over microphone noise."""
    time = np.arange(RATE * SECONDS) / RATE
    thumps = np.exp(-(((time % 0.8) - 0.1) ** 2) / (2 * 0.02**2)) * np.sin(2 * np.pi * 60 * time)
    return (level * thumps).astype(np.float32) + noise(0.002)


def band(low: float, high: float) -> np.ndarray:
    spectrum = np.fft.rfft(noise(0.05))
    frequencies = np.fft.rfftfreq(RATE * SECONDS, 1 / RATE)
    spectrum[(frequencies < low) | (frequencies > high)] = 0
    return np.fft.irfft(spectrum).astype(np.float32) + noise(1e-5, 1)


@pytest.mark.parametrize("pcm", [noise(), heart()], ids=["noise", "heart"])
def test_plain_sound_passes_every_check(pcm: np.ndarray) -> None:
    assert [c for c in check_capture(pcm, RATE) if c.status is not Status.OK] == []


def test_breathing_is_no_noise_gate_and_no_gain_control() -> None:
    time = np.arange(RATE * SECONDS) / RATE
    breath = noise() * (0.05 + np.sin(np.pi * time / 1.5) ** 2).astype(np.float32)
    assert check_gating(breath, RATE).status is Status.OK


@pytest.mark.parametrize("size", [0, 10, 1000])
def test_hardly_any_sound_is_judged_without_failing(size: int) -> None:
    for check in check_capture(np.zeros(size, dtype=np.float32), RATE):
        assert isinstance(check, Check)


def test_rates_too_low_for_a_band_and_invalid_samples_are_judged() -> None:
    pcm = noise()
    pcm[100] = np.nan
    assert len(check_capture(pcm[: 4000 * 3], 4000)) == 5


@pytest.mark.parametrize(
    ("pcm", "word"),
    [
        (np.zeros(RATE, dtype=np.float32), "silent"),
        (noise(1e-4), "Faint"),
        (np.clip(heart(2.0), -1, 1), "gain"),
    ],
)
def test_level_troubles_are_named(pcm: np.ndarray, word: str) -> None:
    check = check_level(pcm)
    assert check.status is Status.WARN
    assert word in check.advice


def test_an_offset_is_found() -> None:
    assert check_offset(noise() + np.float32(0.05)).status is Status.WARN


def gate(floor: float) -> np.ndarray:
    time = np.arange(RATE * SECONDS) / RATE
    return np.where(time % 1.0 < 0.5, 1.0, floor).astype(np.float32)


def test_gating_to_zero_is_found() -> None:
    assert check_gating(noise() * gate(0.0), RATE).status is Status.WARN


def test_silence_while_the_device_starts_is_no_gating() -> None:
    pcm = noise()
    pcm[: RATE // 2] = 0.0
    assert check_gating(pcm, RATE).status is Status.OK


def test_abrupt_drops_of_the_floor_are_found() -> None:
    check = check_gating(noise() * gate(0.05), RATE)
    assert check.status is Status.WARN
    assert "abruptly" in check.detail


def test_gain_control_that_pumps_is_found() -> None:
    time = np.arange(RATE * SECONDS) / RATE
    pumped = noise() * (10 ** ((time % 2.0) * 8 / 20)).astype(np.float32)
    assert check_gain_control(pumped, RATE).status is Status.WARN


@pytest.mark.parametrize(
    ("low", "high", "word"), [(0, 4000, "4 kHz"), (0, 8000, "8 kHz"), (120, 24_000, "100 Hz")]
)
def test_voice_profiles_are_found(low: float, high: float, word: str) -> None:
    check = check_bandwidth(band(low, high), RATE)
    assert check.status is Status.WARN
    assert word in check.detail


class Clock:
    """Time that only passes by sleeping and by work."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.parametrize(
    ("work", "late", "status"),
    [(0.02, 0, Status.OK), (0.5, 9, Status.FAIL)],
)
def test_a_paced_run_waits_for_its_hops_and_counts_the_late(
    work: float, late: int, status: Status
) -> None:
    clock = Clock()
    begins = []

    def push(pcm: np.ndarray) -> None:
        begins.append((round(clock.now(), 6), len(pcm)))
        clock.sleep(work)

    pcm = np.zeros(4100, dtype=np.float32)
    pace = run_paced(push, pcm, 400, 2000, now=clock.now, sleep=clock.sleep)
    assert begins[0] == (0.2, 400)
    assert len(pace.work) == 10
    assert pace.late_hops >= late
    assert pace.real_time_factor == pytest.approx(work / 0.2)
    check = check_pace(pace)
    assert check.status is status
    assert "n=10" in check.detail


def test_one_slow_hop_is_a_warning() -> None:
    assert check_pace(Pace((0.01, 0.3, 0.01), 0.2, 1)).status is Status.WARN
    assert check_pace(Pace((), 0.2, 0)).status is Status.WARN
