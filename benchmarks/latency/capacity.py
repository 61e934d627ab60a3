"""How many sessions fit side by side into one thread before one answers too late."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from acula_edge import Session
from acula_edge.bundle import Bundle
from acula_edge.bundle.strict import decode, plain
from acula_edge.events import Window
from benchmarks.latency.child import first_line
from benchmarks.latency.settings import Clock, LatencySettings
from benchmarks.latency.sounds import endless_blocks
from benchmarks.machine import require_psutil
from benchmarks.record import Capacity

LEAST_FREE_MIB = 512
LONGEST_TRIAL = 10  # rounds, for a thread that is overloaded by too little to be late at once
CHILD = """
import json, sys
from acula_edge.bundle import load_bundle
from acula_edge.bundle.strict import decode, plain
from benchmarks.latency.capacity import measure_capacity
from benchmarks.latency.settings import Clock, LatencySettings
model, variant, provider, settings = sys.argv[1:]
settings = decode(LatencySettings, json.loads(settings))
found = measure_capacity(load_bundle(model), variant, provider, settings, Clock())
print(json.dumps(plain(found)), flush=True)
"""
Trial = Callable[[int], int | None]


def measure_capacity_apart(
    bundle: Bundle, variant: str, provider: str, settings: LatencySettings
) -> Capacity:
    """`measure_capacity` in a process of its own, so that its many sessions leave no memory behind.

    Raises:
        AculaError: the process failed.
    """
    arguments = [str(bundle.origin), variant, provider, json.dumps(plain(settings))]
    line, _ = first_line(CHILD, arguments, "capacity")
    found: Capacity = decode(Capacity, json.loads(line))
    return found


def measure_capacity(
    bundle: Bundle, variant: str, provider: str, settings: LatencySettings, clock: Clock
) -> Capacity:
    """Sessions that one thread of one process serves, each paced, its deadlines kept.

    The pacing is simulated: the pushes really run, one after another, and their wall times move a
    clock on which the blocks of every session are due as they would sound, the sessions spread
    evenly over a hop. Only the waiting is left out. Near the limit a thread never waits, so there
    the simulation differs from a device by no more than the blocks' delivery. A deadline is missed
    when a hop's push ends more than a hop after its last block was due.

    Numbers are doubled until a miss, then bisected; a number is refused before it is tried where
    less than 512 MiB of memory would be left. `first_misses` are those of the smallest number that
    missed.
    """
    blocks = list(islice(endless_blocks(settings.source_rate, settings.block_seconds), 160))
    hop_seconds = bundle.manifest.hop / bundle.manifest.rate
    psutil = require_psutil()
    sessions: list[Session] = []

    def trial(count: int) -> int | None:
        while len(sessions) < count:
            if psutil.virtual_memory().available < LEAST_FREE_MIB * 2**20:
                return None
            sessions.append(
                Session(
                    bundle, source_rate=settings.source_rate, variant=variant, provider=provider
                )
            )
            for block in blocks[:10]:  # past the resampler's start
                sessions[-1].push(block)
        return count_misses(
            sessions[:count],
            blocks,
            seconds=settings.capacity_seconds,
            block_seconds=settings.block_seconds,
            hop_seconds=hop_seconds,
            clock=clock,
        )

    deadline = clock.now() + settings.capacity_budget
    return search(
        trial, settings.capacity_limit, settings.capacity_seconds, lambda: clock.now() < deadline
    )


def search(trial: Trial, limit: int, seconds: float, more: Callable[[], bool]) -> Capacity:
    """Double, then bisect. `trial` gives the misses, or None where it cannot be tried.

    `limit` of the answer is the largest number tried. While time is out (`more`), the best answer
    so far stands.
    """
    passed, failed, misses, tried = 0, limit + 1, None, 0
    count = 1
    while failed - passed > 1 and (more() or not tried):
        missed = trial(count)
        if missed is None:
            break
        tried = max(tried, count)
        if missed:
            failed, misses = count, missed
        else:
            passed = count
        # Nothing failed yet: double. Otherwise halve what is left.
        count = (passed + failed) // 2 if misses is not None else min(2 * count, limit)
    return Capacity(passed, tried, seconds, misses)


def count_misses(
    sessions: list[Session],
    blocks: list[NDArray[np.float32]],
    *,
    seconds: float,
    block_seconds: float,
    hop_seconds: float,
    clock: Clock,
) -> int:
    """Deadlines missed by `sessions` in about `seconds` of sound each.

    A thread that had more work than time, but was not late yet, goes on until it is.
    """
    now = busy = 0.0
    missed = done = 0
    for turn in range(1, LONGEST_TRIAL + 1):
        until = max(done + 1, round(turn * seconds / block_seconds))
        for index, due in _due(done, until, len(sessions), block_seconds, hop_seconds):
            began = clock.now()
            events = sessions[index[1]].push(blocks[index[0] % len(blocks)])
            spent = clock.now() - began
            busy += spent
            now = max(now, due) + spent
            missed += any(isinstance(e, Window) for e in events) and now - due > hop_seconds
        done = until
        if missed or busy <= done * block_seconds:
            break
    return missed


def _due(
    first: int, until: int, count: int, block_seconds: float, hop_seconds: float
) -> list[tuple[tuple[int, int], float]]:
    """((block, session), when it is due), in the order in which they are due."""
    events = [
        ((block, session), block * block_seconds + session * hop_seconds / count)
        for block in range(first, until)
        for session in range(count)
    ]
    return sorted(events, key=lambda event: event[1])
