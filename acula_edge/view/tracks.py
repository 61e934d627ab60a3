"""When in the picture: heart sounds and lung sounds as rows of cells, aligned with the sound."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from itertools import groupby
from typing import TypeVar

from rich.segment import Segment

from acula_edge.events import Event, Fault, FaultKind, HeartSound, Window
from acula_edge.view.parts import AMBER, BLUE, BOLD, STEPS, Line
from acula_edge.view.picture import TICK_SECONDS, SoundTrace, columns

KEPT = 512
MARKS = {"S1": "1", "S2": "2"}
Value = TypeVar("Value")


class Tracks:
    """Keeps the latest heart sounds and the activity of lung sounds, by time in the trace.

    A trace holds the sound received, without what was lost.
    """

    def __init__(self) -> None:
        self._sounds: deque[tuple[float, str]] = deque(maxlen=KEPT)
        self._activity: dict[str, deque[tuple[float, float]]] = {}
        self._gaps: list[tuple[float, float]] = []

    @property
    def heart(self) -> bool:
        """Whether a heart sound was ever told."""
        return bool(self._sounds)

    @property
    def names(self) -> tuple[str, ...]:
        """Findings whose activity in time was told."""
        return tuple(self._activity)

    def note(self, event: Event) -> None:
        """Take any event."""
        if isinstance(event, HeartSound):
            self._sounds.append((self._received(event.at), event.sound))
        elif isinstance(event, Window):
            self._note_activity(event)
        elif isinstance(event, Fault) and event.kind is FaultKind.GAP:
            self._gaps.append((event.at, event.lost_seconds))

    def _note_activity(self, window: Window) -> None:
        start, length = self._received(window.start), window.end - window.start
        for name, values in window.activity.items():
            kept = self._activity.setdefault(name, deque(maxlen=KEPT))
            kept.extend(
                (start + (index + 0.5) * length / len(values), value)
                for index, value in enumerate(values)
                if math.isfinite(value)
            )

    def _received(self, at: float) -> float:
        return at - sum(lost for when, lost in self._gaps if when <= at)

    def heart_line(self, trace: SoundTrace, width: int) -> Line:
        """`1` where S1 began and `2` where S2 did, `width` cells."""
        cells = [" "] * width
        for cell, sound in _placed(self._sounds, trace, width):
            cells[cell] = MARKS[sound]
        return [Segment("".join(cells), BOLD)]

    def activity_line(self, name: str, trace: SoundTrace, width: int, threshold: float) -> Line:
        """The highest activity in each of `width` cells, told apart from `threshold` on."""
        cells = [0.0] * width
        for cell, value in _placed(self._activity[name], trace, width):
            cells[cell] = max(cells[cell], value)
        runs = groupby(cells, key=lambda value: value >= threshold)
        return [
            Segment("".join(_step(value) for value in run), AMBER if high else BLUE)
            for high, run in runs
        ]


def _placed(
    items: Iterable[tuple[float, Value]], trace: SoundTrace, width: int
) -> Iterable[tuple[int, Value]]:
    step = columns(width)
    newest = trace.ticks // step
    for at, value in items:
        cell = width + math.floor(at / (step * TICK_SECONDS)) - newest
        if 0 <= cell < width:
            yield cell, value


def _step(value: float) -> str:
    return STEPS[min(8, max(0, int(value * 9)))]
