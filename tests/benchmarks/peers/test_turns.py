"""Turns are fair: ours beside every peer, now before and now after it, whole or not at all."""

import gc
import sys

import pytest

from benchmarks.peers.turns import MOST_REPEATS, one_thread, prepare, take_turns


def _quiet(_):
    return None


def test_repeats_fill_a_measurement(clock):
    assert prepare("fast", clock.loaded("fast", 0.004), 0.05, clock).repeats == 13
    assert prepare("slow", clock.loaded("slow", 1.4), 0.05, clock).repeats == 1
    assert prepare("free", clock.loaded("free", 0.0), 0.05, clock).repeats == MOST_REPEATS


def test_a_slow_peer_is_warmed_up_once_and_others_twice(clock):
    prepare("fast", clock.loaded("fast", 0.004), 0.05, clock)
    prepare("slow", clock.loaded("slow", 1.4), 0.05, clock)
    assert clock.runs == ["fast", "fast", "slow"]


def test_a_first_pass_that_is_slower_does_not_count(clock):
    side = clock.loaded("x", 0.01)

    def run(sound):
        side.run(sound)
        clock.now += 0.2 if len(clock.runs) == 1 else 0.0

    lazy = type(side)(run, side.rate, side.seconds, side.version)
    assert prepare("x", lazy, 0.05, clock).repeats == 5


def test_cost_is_per_second_of_audio(clock):
    ours = prepare("ours", clock.loaded("ours", 0.01), 0.05, clock)
    peer = prepare("peer", clock.loaded("peer", 0.3, seconds=4.0), 0.05, clock)
    pairs = take_turns(ours, [peer], 3, progress=_quiet, clock=clock)["peer"]
    assert pairs.ours == pytest.approx([5.0] * 3)
    assert pairs.theirs == pytest.approx([75.0] * 3)


def test_ours_is_beside_every_peer_first_and_last_in_alternation(clock):
    sides = [prepare(n, clock.loaded(n, 1.0), 0.05, clock) for n in ("ours", "a", "b")]
    clock.runs.clear()
    take_turns(sides[0], sides[1:], 2, progress=_quiet, clock=clock)
    assert clock.runs == ["ours", "a", "b", "ours", "a", "ours", "ours", "b"]


def test_ctrl_c_keeps_the_whole_turns(clock):
    ours = prepare("ours", clock.loaded("ours", 1.0), 0.05, clock)
    peer = prepare("peer", clock.loaded("peer", 1.0, stop_at=1 + 4), 0.05, clock)
    pairs = take_turns(ours, [peer], 9, progress=_quiet, clock=clock)["peer"]
    assert len(pairs.ours) == len(pairs.theirs) == 3


def test_ctrl_c_before_two_turns_is_ctrl_c(clock):
    ours = prepare("ours", clock.loaded("ours", 1.0), 0.05, clock)
    peer = prepare("peer", clock.loaded("peer", 1.0, stop_at=1 + 2), 0.05, clock)
    with pytest.raises(KeyboardInterrupt):
        take_turns(ours, [peer], 9, progress=_quiet, clock=clock)


def test_garbage_is_collected_between_measurements_and_not_in_them(clock):
    seen = []
    side = clock.loaded("x", 1.0)
    watched = type(side)(
        lambda s: (seen.append(gc.isenabled()), side.run(s)), side.rate, side.seconds, "1"
    )
    both = [prepare(name, watched, 0.05, clock) for name in ("ours", "peer")]
    seen.clear()
    take_turns(*both[:1], both[1:], 2, progress=_quiet, clock=clock)
    assert seen == [False] * 4
    assert gc.isenabled()


def test_progress_names_every_turn(clock):
    both = [prepare(name, clock.loaded(name, 1.0), 0.05, clock) for name in ("ours", "peer")]
    told = []
    take_turns(both[0], both[1:], 2, progress=told.append, clock=clock)
    assert told == ["turn 1 of 2", "turn 2 of 2"]


def test_one_thread_while_measuring_and_as_before_afterwards(monkeypatch):
    class Torch:
        threads = 7

        def get_num_threads(self):
            return self.threads

        def set_num_threads(self, count):
            self.threads = count

    torch = Torch()
    monkeypatch.setitem(sys.modules, "torch", torch)
    with one_thread():
        assert torch.threads == 1
    assert torch.threads == 7
