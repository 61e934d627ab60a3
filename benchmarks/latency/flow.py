"""Sound through a session, flat out or paced as it would sound: times, deadlines and memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from acula_edge import Session
from acula_edge.bundle import Bundle
from benchmarks.distribution import distribution, mean_interval, slope
from benchmarks.latency.series import Series
from benchmarks.latency.settings import Clock, LatencySettings
from benchmarks.latency.sounds import endless_blocks
from benchmarks.latency.stages import STAGES, StagedSession
from benchmarks.machine import rss_mib
from benchmarks.record import Flow, Interval

WARM_UP_SECONDS = 4.0  # fills the gate's memory and the caches; cold starts are measured apart
LEAST_SLOPE_SECONDS = 120.0  # of wall time: less would be stretched more than thirtyfold
Sound = NDArray[np.float32]


def open_flow(
    bundle: Bundle,
    variant: str,
    provider: str,
    settings: LatencySettings,
    *,
    seconds: float,
    clock: Clock,
) -> FlowMeter:
    """A warm session and the meter of `seconds` of sound through it."""
    session = Session(bundle, source_rate=settings.source_rate, variant=variant, provider=provider)
    hop_seconds = bundle.manifest.hop / bundle.manifest.rate
    blocks = endless_blocks(settings.source_rate, settings.block_seconds)
    for _ in range(math.ceil(WARM_UP_SECONDS / settings.block_seconds)):
        session.push(next(blocks))
    staged = StagedSession(session, clock)
    return FlowMeter(staged, blocks, seconds, settings.block_seconds, hop_seconds, clock)


class FlowMeter:
    """Measures one run; `flow` tells what was measured so far, also after an interruption.

    Paced, a block is due when its last sample has sounded. A hop misses its deadline when its push
    ends more than a hop after that: by then the next hop is due.
    """

    def __init__(
        self,
        staged: StagedSession,
        blocks: Iterator[Sound],
        seconds: float,
        block_seconds: float,
        hop_seconds: float,
        clock: Clock,
        rss: Callable[[], float] = rss_mib,
    ):
        self._staged, self._blocks, self._clock, self._rss = staged, blocks, clock, rss
        self._block, self._hop = block_seconds, hop_seconds
        self._count = max(1, math.ceil(seconds / block_seconds))
        hops = math.ceil(self._count * block_seconds / hop_seconds) + 2
        self._hop_at, self._hop_ms = Series(hops), Series(hops)
        self._stages = {name: Series(hops) for name in STAGES}
        self._late_ms, self._cpu = Series(self._count), Series(self._count)
        self._every = max(1, round(1 / block_seconds))
        samples = self._count // self._every + 2
        self._rss_at, self._rss_mib = Series(samples), Series(samples)
        self._pushes = self._hops = self._misses = 0
        self._busy = self._lag = 0.0
        self._paced = False

    def run(self, *, paced: bool, tick: Callable[[float], None] | None = None) -> None:
        """Run to the end. `tick` is called each second of sound with the wall seconds so far."""
        self._paced = paced
        began = self._clock.now()
        self._note_memory(0.0)
        for index in range(1, self._count + 1):
            due = began + index * self._block if paced else None
            if due is not None:
                self._clock.sleep(max(0.0, due - self._clock.now()))
            self._push(began, due)
            if index % self._every == 0:
                now = self._clock.now() - began
                self._note_memory(now)
                if tick is not None:
                    tick(now)
        self._note_memory(self._clock.now() - began)

    def flow(self) -> Flow | None:
        """What was measured; None before the first hop."""
        if not self._hops:
            return None
        seconds = self._pushes * self._block
        paced = self._paced
        return Flow(
            seconds=seconds,
            hops=self._hops,
            hop_ms=distribution(self._hop_ms.values),
            stages={name: distribution(part.values) for name, part in self._stages.items()},
            cpu_ms_per_second=self._cpu_per_second(),
            realtime_factor=self._busy / seconds,
            rss_start_mib=float(self._rss_mib.values[0]),
            rss_end_mib=float(self._rss_mib.values[-1]),
            rss_slope_mib_per_hour=_per_hour(self._rss_at, self._rss_mib),
            hop_slope_ms_per_hour=_per_hour(self._hop_at, self._hop_ms),
            wakeup_ms=distribution(self._late_ms.values) if paced else None,
            deadline_misses=self._misses if paced else None,
            largest_lag_ms=self._lag * 1e3 if paced else None,
            duty_cycle=self._busy / seconds if paced else None,
        )

    def _push(self, began: float, due: float | None) -> None:
        pushed = self._staged.push(next(self._blocks))
        self._pushes += 1
        self._busy += pushed.wall
        self._cpu.add(pushed.cpu)
        if due is not None:
            lag = pushed.ended - due
            self._late_ms.add(max(0.0, pushed.began - due) * 1e3)
            self._lag = max(self._lag, lag)
            self._misses += pushed.hops > 0 and lag > self._hop
        if pushed.hops:
            self._hops += pushed.hops
            self._hop_at.add(pushed.ended - began)
            self._hop_ms.add(pushed.wall * 1e3)
            for name, spent in self._staged.spent.items():
                self._stages[name].add(spent * 1e3)

    def _note_memory(self, now: float) -> None:
        self._rss_at.add(now)
        self._rss_mib.add(self._rss())

    def _cpu_per_second(self) -> Interval:
        """CPU milliseconds per second of sound, from stretches of about a second."""
        values = self._cpu.values
        parts = np.array_split(values, max(1, len(values) // self._every))
        return mean_interval([float(part.mean()) / self._block * 1e3 for part in parts])


def _per_hour(at: Series, values: Series) -> Interval | None:
    if not len(at) or at.values[-1] - at.values[0] < LEAST_SLOPE_SECONDS:
        return None
    return slope(at.values / 3600, values.values)
