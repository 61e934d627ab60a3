"""Hours of paced sound, and what they did to memory and latency; saved now and then."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from acula_edge.bundle import Bundle
from benchmarks.latency.flow import FlowMeter, open_flow
from benchmarks.latency.settings import Clock, LatencySettings
from benchmarks.record import Flow

SAVE_SECONDS = 300.0
Save = Callable[[Flow], None]


class Saver:
    """Saves the flow so far every five minutes, in a forked process where the system has fork.

    After a day the intervals take seconds to work out: done between two blocks, that would be the
    one deadline missed of the whole soak.
    """

    def __init__(self, meter: FlowMeter, save: Save, every: float = SAVE_SECONDS):
        self._meter, self._save, self._every = meter, save, every
        self._next = every
        self._child = 0

    def tick(self, elapsed: float) -> None:
        """Called each second of sound; `elapsed` wall seconds since the start."""
        if self._child and os.waitpid(self._child, os.WNOHANG)[0]:
            self._child = 0
        if elapsed < self._next or self._child:
            return
        self._next = elapsed + self._every
        if not hasattr(os, "fork"):
            self._write()
            return
        self._child = os.fork()
        if self._child == 0:
            status = 1
            try:
                os.nice(19)
                self._write()
                status = 0
            finally:
                os._exit(status)  # nothing of the parent's may run twice

    def close(self) -> None:
        """Wait for a save that is under way."""
        if self._child:
            os.waitpid(self._child, 0)
            self._child = 0

    def _write(self) -> None:
        flow = self._meter.flow()
        if flow is not None:
            self._save(flow)


def soak(
    bundle: Bundle,
    variant: str,
    provider: str,
    settings: LatencySettings,
    *,
    hours: float,
    save: Save,
    clock: Clock,
) -> tuple[Flow | None, bool]:
    """Listen for `hours`, paced. The flow, and whether it ran to the end (False after Ctrl-C)."""
    seconds = hours * 3600
    settings = replace(settings, paced_seconds=seconds)
    meter = open_flow(bundle, variant, provider, settings, seconds=seconds, clock=clock)
    saver = Saver(meter, save)
    try:
        meter.run(paced=True, tick=saver.tick)
        finished = True
    except KeyboardInterrupt:
        finished = False
    finally:
        saver.close()
    return meter.flow(), finished
