"""Where the time of a push goes: resample, gate, network, decision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge import Session
from acula_edge.events import Window
from benchmarks.latency.settings import Clock

STAGES = ("resample", "gate", "network", "decision")


@dataclass(frozen=True)
class Pushed:
    """One push: how many hops it completed, when it began and ended, its wall and CPU seconds."""

    hops: int
    began: float
    ended: float
    cpu: float

    @property
    def wall(self) -> float:
        """Seconds."""
        return self.ended - self.began


class StagedSession:
    """A session whose stages are timed from outside: its own code runs unchanged.

    `spent` holds, after a push that completed hops, the seconds of each stage per hop, counting the
    pushes before it since the hop before: resampling goes on in between. `resample` takes in the
    checks of the source samples and the cutting into hops; `decision` is all that is left:
    calibration, smoothing, heart sounds and the making of events. The timing itself costs some
    microseconds per hop.
    """

    def __init__(self, session: Session, clock: Clock):
        self._session, self._clock = session, clock
        self._running = dict.fromkeys(STAGES, 0.0)
        self.spent = dict(self._running)
        timed: tuple[tuple[str, str, Callable[..., Any]], ...] = (
            ("_input", "push", self._timed_hops),
            ("_gate", "judge", self._timed("gate")),
            ("_engine", "run", self._timed("network")),
        )
        for part, method, wrap in timed:
            owner = getattr(session, part)
            setattr(owner, method, wrap(getattr(owner, method)))

    def push(self, pcm: NDArray[np.float32]) -> Pushed:
        """Push a block of the source."""
        before = sum(self._running.values())
        cpu = self._clock.cpu()
        began = self._clock.now()
        events = self._session.push(pcm)
        ended = self._clock.now()
        cpu = self._clock.cpu() - cpu
        inside = sum(self._running.values()) - before
        self._running["decision"] += max(0.0, ended - began - inside)
        hops = sum(isinstance(event, Window) for event in events)
        if hops:
            self.spent = {name: value / hops for name, value in self._running.items()}
            self._running = dict.fromkeys(STAGES, 0.0)
        return Pushed(hops, began, ended, cpu)

    def _timed(self, stage: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
            def timed(*arguments: Any) -> Any:
                began = self._clock.now()
                result = call(*arguments)
                self._running[stage] += self._clock.now() - began
                return result

            return timed

        return wrap

    def _timed_hops(self, push: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        def timed(pcm: NDArray[np.float32]) -> Iterator[Any]:
            hops = push(pcm)
            while True:
                began = self._clock.now()
                hop = next(hops, None)
                self._running["resample"] += self._clock.now() - began
                if hop is None:
                    return
                yield hop

        return timed
