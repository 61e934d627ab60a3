"""Peers and ours in turn, CPU time of the process, one thread each.

Ours is measured again right beside every peer, before it in one turn and after it in the next, so
that what the machine does meanwhile meets both alike and cancels in the ratio of the pair.
"""

from __future__ import annotations

import gc
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from benchmarks.peers.spec import Loaded, Sound, heart_like

Clock = Callable[[], float]
Progress = Callable[[str], None]
MOST_REPEATS = 10_000
SLOW = 10  # times the least length of a measurement
FEWEST_TURNS = 2  # that an interrupted run is worth keeping for


@dataclass(frozen=True)
class Side:
    """A loaded peer, its sound, and how often one measurement runs it."""

    name: str
    loaded: Loaded
    sound: Sound
    repeats: int


@dataclass(frozen=True)
class Pairs:
    """CPU ms per second of audio of ours and of a peer, measured side by side, one per turn."""

    ours: list[float]
    theirs: list[float]


def prepare(name: str, loaded: Loaded, least: float, clock: Clock = time.process_time) -> Side:
    """A side whose measurements last about `least` CPU seconds or more; passes warm it up."""
    sound = heart_like(loaded.rate, loaded.seconds)
    spent = _pass(loaded, sound, clock)
    if spent < SLOW * least:  # else even a first pass, slower than the rest, tells enough
        spent = _pass(loaded, sound, clock)
    repeats = MOST_REPEATS if spent <= 0 else math.ceil(least / spent)
    return Side(name, loaded, sound, min(max(repeats, 1), MOST_REPEATS))


def _pass(loaded: Loaded, sound: Sound, clock: Clock) -> float:
    before = clock()
    loaded.run(sound)
    return clock() - before


def take_turns(
    ours: Side,
    peers: Sequence[Side],
    turns: int,
    *,
    progress: Progress,
    clock: Clock = time.process_time,
) -> dict[str, Pairs]:
    """Measurements by peer's name.

    Ctrl-C ends it early; the turns that were whole by then are returned if there are two or more.

    Raises:
        KeyboardInterrupt: interrupted before that.
    """
    done: list[list[tuple[float, float]]] = []
    gc.freeze()  # what is loaded stays, and would make every collection slow
    try:
        for turn in range(turns):
            progress(f"turn {turn + 1} of {turns}")
            done.append([_pair(ours, peer, (turn + i) % 2, clock) for i, peer in enumerate(peers)])
    except KeyboardInterrupt:
        if len(done) < FEWEST_TURNS:
            raise
    finally:
        gc.unfreeze()
    return {
        peer.name: Pairs([row[i][0] for row in done], [row[i][1] for row in done])
        for i, peer in enumerate(peers)
    }


def _pair(ours: Side, peer: Side, peer_first: int, clock: Clock) -> tuple[float, float]:
    if peer_first:
        theirs = _measure(peer, clock)
        return _measure(ours, clock), theirs
    return _measure(ours, clock), _measure(peer, clock)


def _measure(side: Side, clock: Clock) -> float:
    """CPU ms per second of audio."""
    run, sound = side.loaded.run, side.sound
    gc.collect()  # what another left behind must not be cleared at this one's cost
    gc.disable()
    try:
        before = clock()
        for _ in range(side.repeats):
            run(sound)
        spent = clock() - before
    finally:
        gc.enable()
    return spent / (side.repeats * side.loaded.seconds) * 1e3


@contextmanager
def one_thread() -> Iterator[None]:
    """Libraries that are loaded by now compute on one thread, and afterwards as before."""
    with ExitStack() as stack:
        if find_spec("threadpoolctl"):
            stack.enter_context(import_module("threadpoolctl").threadpool_limits(1))
        torch = sys.modules.get("torch")
        if torch is not None:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)
        yield
