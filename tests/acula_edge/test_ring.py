from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acula_edge.sources.ring import Ring


def ramp(start: int, count: int) -> np.ndarray:
    return np.arange(start, start + count, dtype=np.float32)


def test_samples_come_back_in_order_across_the_wrap() -> None:
    ring = Ring(10)
    ring.write(ramp(0, 7))
    assert ring.read(5).pcm.tolist() == [0, 1, 2, 3, 4]
    ring.write(ramp(7, 8))
    assert ring.available == 10
    assert ring.read(99).pcm.tolist() == list(range(5, 15))
    assert (ring.written, ring.read_count, ring.lost) == (15, 15, 0)


def test_a_loss_is_told_once_and_right_before_the_next_sample() -> None:
    ring = Ring(4)
    ring.write(ramp(0, 6))
    ring.write(ramp(6, 3))
    assert ring.lost == 5
    first = ring.read(4)
    assert (first.pcm.tolist(), first.lost) == ([0, 1, 2, 3], 0)
    assert ring.read(4).lost == 0
    ring.write(ramp(9, 2))
    after = ring.read(4)
    assert (after.pcm.tolist(), after.lost) == ([9, 10], 5)
    ring.write(ramp(11, 1))
    assert ring.read(4).lost == 0


def test_a_read_stops_at_a_gap() -> None:
    ring = Ring(4)
    ring.write(ramp(0, 5))
    ring.read(2)
    ring.write(ramp(5, 2))
    assert ring.read(4).pcm.tolist() == [2, 3]
    after = ring.read(4)
    assert (after.pcm.tolist(), after.lost) == ([5, 6], 1)


def test_a_loss_behind_the_last_sample_is_told_at_the_end() -> None:
    ring = Ring(4)
    ring.write(ramp(0, 9))
    assert ring.take_trailing_gap() == 0
    ring.read(4)
    assert ring.take_trailing_gap() == 5
    assert ring.take_trailing_gap() == 0


def test_strided_input_is_copied() -> None:
    ring = Ring(8)
    frames = ramp(0, 8).reshape(4, 2)
    ring.write(frames[:, 1])
    frames[:] = 0
    assert ring.read(8).pcm.tolist() == [1, 3, 5, 7]


def test_a_ring_needs_room() -> None:
    with pytest.raises(ValueError, match="room"):
        Ring(0)


@settings(max_examples=200, deadline=None)
@given(
    capacity=st.integers(1, 40),
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=400),
)
def test_every_sample_is_either_read_at_its_place_or_counted_lost_there(
    capacity: int, steps: list[tuple[bool, int]]
) -> None:
    ring = Ring(capacity)
    produced = place = 0
    for writes, count in steps:
        if writes:
            ring.write(ramp(produced, count))
            produced += count
            continue
        chunk = ring.read(count)
        place += chunk.lost
        assert chunk.pcm.tolist() == list(range(place, place + len(chunk.pcm)))
        place += len(chunk.pcm)
    while ring.available:
        chunk = ring.read(7)
        place += chunk.lost
        assert chunk.pcm.tolist() == list(range(place, place + len(chunk.pcm)))
        place += len(chunk.pcm)
    place += ring.take_trailing_gap()
    assert place == produced
    assert ring.written + ring.lost == produced


def test_more_gaps_than_records_are_still_exact() -> None:
    ring = Ring(1000)
    ring.write(ramp(0, 1000))
    produced, place = 1000, 0
    for _ in range(300):
        chunk = ring.read(1)
        assert chunk.pcm[0] == place + chunk.lost
        place += chunk.lost + 1
        ring.write(ramp(produced, 3))
        produced += 3
    while ring.available:
        chunk = ring.read(5)
        place += chunk.lost
        assert chunk.pcm[0] == place
        place += len(chunk.pcm)
    assert place + ring.take_trailing_gap() == produced


def test_two_threads_lose_no_track() -> None:
    ring, total = Ring(500), 400_000
    done = threading.Event()

    def produce() -> None:
        for start in range(0, total, 80):
            ring.write(ramp(start, 80))
        done.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threading.Thread(target=produce).start()
        place = 0
        while not done.is_set() or ring.available:
            chunk = ring.read(130)
            place += chunk.lost
            assert np.array_equal(chunk.pcm, ramp(place, len(chunk.pcm)))
            place += len(chunk.pcm)
    finally:
        sys.setswitchinterval(interval)
    assert place + ring.take_trailing_gap() == total
    assert ring.read_count + ring.lost == total
