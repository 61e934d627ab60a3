"""Capacity: the largest number that keeps its deadlines, found and counted honestly."""

import numpy as np
import pytest
from bundle_factory import make_bundle

from acula_edge.bundle import load_bundle
from acula_edge.errors import AculaError
from acula_edge.events import QualityState, Window
from benchmarks.latency.capacity import (
    count_misses,
    measure_capacity,
    measure_capacity_apart,
    search,
)
from benchmarks.latency.settings import QUICK, Clock
from benchmarks.record import Capacity

WINDOW = Window(0.0, 0.2, {}, (), QualityState.OK)
BLOCKS = [np.zeros(4, np.float32)]


class Worker:
    """A session that takes `ms` per push and answers every second one."""

    def __init__(self, time, ms):
        self.time, self.ms, self.pushes = time, ms, 0

    def push(self, pcm):
        self.time[0] += self.ms / 1e3
        self.pushes += 1
        return [WINDOW] if self.pushes % 2 == 0 else []


def misses(count, ms, seconds=4.0):
    time = [0.0]
    sessions = [Worker(time, ms) for _ in range(count)]
    clock = Clock(now=lambda: time[0])
    return count_misses(
        sessions, BLOCKS, seconds=seconds, block_seconds=0.1, hop_seconds=0.2, clock=clock
    )


def test_work_that_fits_the_time_is_never_late():
    assert misses(1, 99) == 0
    assert misses(9, 10) == 0


@pytest.mark.parametrize(("count", "ms"), [(1, 250), (12, 10), (40, 10)])
def test_more_work_than_time_is_late(count, ms):
    assert misses(count, ms) > 0


def test_a_thread_barely_overloaded_is_followed_until_it_is_late():
    assert misses(1, 103) > 0  # 3 % too much: no deadline is missed in the first 4 s
    assert misses(1, 99.9) == 0


def test_one_long_pause_is_a_miss():
    time = [0.0]
    worker = Worker(time, 1)
    usual = worker.push

    def push(pcm):
        if worker.pushes == 9:
            time[0] += 0.3
        return usual(pcm)

    worker.push = push
    clock = Clock(now=lambda: time[0])
    assert count_misses(
        [worker], BLOCKS, seconds=4, block_seconds=0.1, hop_seconds=0.2, clock=clock
    ) in (1, 2)


@pytest.mark.parametrize("true", [0, 1, 2, 5, 8, 31])
def test_the_largest_number_is_found(true):
    tried = []

    def trial(count):
        tried.append(count)
        return 3 if count > true else 0

    found = search(trial, 32, 1.0, lambda: True)
    assert (found.sessions, found.first_misses) == (true, 3)
    assert found.limit == max(tried) > true
    assert len(tried) <= 11


@pytest.mark.parametrize("limit", [1, 24, 32])
def test_a_machine_that_is_not_exhausted_says_so(limit):
    assert search(lambda _: 0, limit, 1.0, lambda: True) == Capacity(limit, limit, 1.0, None)


def test_memory_stops_the_search():
    found = search(lambda count: None if count > 4 else 0, 32, 1.0, lambda: True)
    assert found == Capacity(4, 4, 1.0, None)


def test_the_budget_stops_the_search_after_one_trial_at_least():
    assert search(lambda _: 0, 32, 1.0, lambda: False).sessions == 1


def test_real_sessions_are_counted(tmp_path):
    from dataclasses import replace

    settings = replace(
        QUICK, capacity_limit=2, capacity_seconds=0.3, capacity_budget=30, source_rate=4000
    )
    bundle = load_bundle(make_bundle(tmp_path / "tiny"))
    found = measure_capacity(bundle, "fp32", "cpu", settings, Clock())
    assert found.limit in (1, 2)
    assert 0 <= found.sessions <= found.limit


def test_capacity_apart_is_measured_in_another_process(tmp_path):
    from dataclasses import replace

    settings = replace(QUICK, capacity_limit=1, capacity_seconds=0.3, source_rate=4000)
    bundle = load_bundle(make_bundle(tmp_path / "tiny"))
    found = measure_capacity_apart(bundle, "fp32", "cpu", settings)
    assert (found.limit, found.seconds) == (1, 0.3)
    with pytest.raises(AculaError, match=r"capacity: .*no variant 'int3'"):
        measure_capacity_apart(bundle, "int3", "cpu", settings)
