"""The skew of a device's clock from arrivals that queues delay."""

from __future__ import annotations

import os

import numpy as np
import pytest

from firmware_bridge.link.clock import DeviceClock, lower_slope

RATE = 4000
PACKET = 128
# ACULA_CLOCK_RUNS=200 and `pytest -s` print the figures that the specification quotes.
RUNS = int(os.environ.get("ACULA_CLOCK_RUNS", "20"))


def uniform(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.uniform(0.0, 0.010, count)


def queueing(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.exponential(0.0025, count)


def skewed(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.triangular(-0.005, -0.005, 0.005, count)


def arrivals(ppm: float, seconds: float, jitter, seed: int, per_second: float = RATE / PACKET):
    """Samples captured (n,) and the seconds (n,) at which the host hears of them, in order."""
    rng = np.random.default_rng(seed)
    captured = (np.arange(1, int(seconds * per_second)) * RATE / per_second).astype(int)
    at = captured / (RATE * (1 + ppm * 1e-6)) + jitter(rng, len(captured))
    return captured, 1000.0 + np.maximum.accumulate(at)


def heard(ppm: float, seconds: float, jitter, seed: int) -> DeviceClock:
    clock = DeviceClock(RATE)
    for captured, at in zip(*arrivals(ppm, seconds, jitter, seed), strict=True):
        clock.audio(int(captured), float(at))
    return clock


@pytest.mark.parametrize("jitter", [uniform, queueing, skewed])
@pytest.mark.parametrize("ppm", [200.0, -200.0])
def test_200_ppm_are_tracked_within_5_ppm_in_30_s(jitter, ppm: float) -> None:
    errors = [abs((heard(ppm, 30, jitter, seed).ppm or 0.0) - ppm) for seed in range(RUNS)]
    middle, high = np.quantile(errors, [0.5, 0.95])
    within = np.mean(np.array(errors) < 5.0)
    print(f"{jitter.__name__}, {ppm:g} ppm: {middle:.1f}, {high:.1f} ppm; {within:.1%} within 5")
    assert np.quantile(errors, 0.95) < 5.0
    assert np.median(errors) < 2.0


@pytest.mark.parametrize("jitter", [uniform, queueing, skewed])
def test_after_two_minutes_within_1_ppm(jitter) -> None:
    errors = [abs((heard(50.0, 120, jitter, seed).ppm or 0.0) - 50.0) for seed in range(3)]
    assert max(errors) < 1.0


def test_a_clock_that_is_right_is_found_right() -> None:
    errors = [heard(0.0, 30, queueing, seed).ppm or 0.0 for seed in range(10)]
    assert abs(np.mean(errors)) < 1.0


def test_a_backlog_at_the_start_and_stalls_do_not_move_it() -> None:
    captured, at = arrivals(200.0, 40, queueing, 1)
    at[:60] = at[60]  # two seconds that were waiting when the host connected
    at[700:720] = at[720]  # a radio that stalled
    clock = DeviceClock(RATE)
    for sample, second in zip(captured, at, strict=True):
        clock.audio(int(sample), float(second))
    assert clock.ppm == pytest.approx(200.0, abs=5.0)


def test_nothing_is_said_before_ten_seconds() -> None:
    assert heard(200.0, 9, uniform, 0).ppm is None
    assert DeviceClock(RATE).ppm is None


def test_a_converter_off_its_rate_shows_on_its_own_clock() -> None:
    clock = DeviceClock(16_000)
    for second in range(60):
        clock.sync(16_124 * second, 5.0 + second, 32_768 * second, 32_768)
    assert clock.device_ppm == pytest.approx(7750.0, abs=0.1)
    assert clock.ppm == pytest.approx(7750.0, abs=0.1)


def test_a_device_that_counts_anew_or_jumps_begins_anew() -> None:
    clock = heard(200.0, 30, queueing, 3)
    clock.audio(0, 2000.0)
    assert clock.ppm is None
    clock = heard(200.0, 30, queueing, 3)
    clock.audio(30 * RATE, 5000.0)
    assert clock.ppm is None
    clock = heard(200.0, 30, queueing, 3)
    clock.reset()
    assert clock.ppm is None


def test_sync_counts_where_it_is_as_frequent_as_sound() -> None:
    captured, at = arrivals(200.0, 30, queueing, 4)
    clock = DeviceClock(RATE)
    for sample, second in zip(captured, at, strict=True):
        clock.audio(int(sample), float(second) + np.random.default_rng(int(sample)).uniform(0, 0.5))
        clock.sync(int(sample), float(second), int(sample), RATE)
    assert clock.ppm == pytest.approx(200.0, abs=5.0)
    assert clock.device_ppm == pytest.approx(0.0, abs=1e-6)


def test_the_line_is_the_best_of_all_lines_below() -> None:
    """Against brute force over every pair of points."""
    rng = np.random.default_rng(7)
    for _ in range(30):
        x = np.sort(rng.uniform(0, 10, 25))
        y = 0.3 * x + rng.exponential(1.0, 25)
        best, slope = np.inf, 0.0
        for i in range(25):
            for j in range(i + 1, 25):
                trial = (y[j] - y[i]) / (x[j] - x[i])
                above = y - (y[i] + trial * (x - x[i]))
                if above.min() > -1e-9 and above.sum() < best:
                    best, slope = above.sum(), trial
        assert lower_slope(list(zip(x.tolist(), y.tolist(), strict=True))) == pytest.approx(slope)
