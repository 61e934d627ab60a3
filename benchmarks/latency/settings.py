"""How much to measure, and the clock to measure with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

SOURCE_RATE = 44_100
BLOCK_SECONDS = 0.1


@dataclass(frozen=True)
class Clock:
    """Wall and CPU seconds, and sleep; another one makes measurements repeatable in tests.

    `cpu` counts all threads of the process, since a provider may start some.
    """

    now: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class LatencySettings:
    """How long each part runs. Seconds are of sound, but for `capacity_budget`: of wall time.

    `block_seconds` is how the source hands out sound. A count or length of 0 leaves a part out.
    """

    depth: str
    cold_runs: int
    front_end_runs: int
    flat_seconds: float
    paced_seconds: float
    onset_trials: int
    capacity_limit: int
    capacity_seconds: float
    capacity_budget: float
    source_rate: int = SOURCE_RATE
    block_seconds: float = BLOCK_SECONDS


QUICK = LatencySettings(
    depth="quick",
    cold_runs=4,
    front_end_runs=200,
    flat_seconds=90.0,  # 468 hops of 192 ms: enough for a p99
    paced_seconds=15.0,  # 78 hops: enough for a p95
    onset_trials=4,
    capacity_limit=32,
    capacity_seconds=1.0,
    capacity_budget=5.0,
)
FULL = replace(
    QUICK,
    depth="full",
    cold_runs=15,
    front_end_runs=1000,
    flat_seconds=600.0,
    paced_seconds=150.0,  # 781 hops: enough for a p99
    onset_trials=25,
    capacity_limit=256,
    capacity_seconds=4.0,
    capacity_budget=60.0,
)
