"""Plain lines where there is no terminal to draw on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rich.console import Console

from acula_edge.events import NOTICE, Event, Exam, Vitals, Window
from acula_edge.levels import decibels
from acula_edge.listening import Run, Sink
from acula_edge.sources.base import Block
from acula_edge.view.words import (
    clock,
    describe,
    exam_summary,
    level_text,
    rate_text,
    safe,
    score_text,
)


class PlainView(Sink):
    """One line per second of sound where there is no terminal, and one per event."""

    def __init__(self, console: Console, *, credit: str = "") -> None:
        self._console = console
        self._credit = credit
        self._second = 0
        self._window: Window | None = None
        self._vitals: Vitals | None = None
        self._power = 0.0
        self._samples = 0

    def start(self, run: Run) -> None:
        """Say what listens to what."""
        self._run = run
        self._say(f"AcuLa Edge  {run.model} · {run.site} · {run.source.name}")
        self._say(NOTICE)

    def block(self, block: Block) -> None:
        """Hear sound; at each full second, a line."""
        sound = np.nan_to_num(block.pcm, posinf=0.0, neginf=0.0).astype(np.float64)
        self._power += float(np.dot(sound, sound))
        self._samples += len(sound)
        seconds = (block.first_sample + len(sound)) / self._run.source.rate
        if int(seconds) > self._second:
            self._second = int(seconds)
            level = decibels(math.sqrt(self._power / max(1, self._samples)))
            self._power, self._samples = 0.0, 0
            self._say(f"{clock(seconds)}  {level_text(level)} dBFS  {self._scores()}")

    def events(self, events: Sequence[Event]) -> None:
        """Note scores; say everything else."""
        for event in events:
            if isinstance(event, Window):
                self._window = event
            elif isinstance(event, Vitals):
                self._vitals = event
            line = describe(event)
            if line is not None:
                self._say(line)

    def problem(self, text: str) -> None:
        """Say it."""
        self._say(f"! {text}")

    def finish(self, exam: Exam) -> None:
        """Print the exam."""
        self._console.print(exam_summary(exam, self._credit))

    def _scores(self) -> str:
        window = self._window
        if window is None:
            return "listening"
        marks = ((name, "*" if name in window.active else " ") for name in window.scores)
        scores = (f"{name} {score_text(window.scores[name])}{mark}" for name, mark in marks)
        heart = [] if self._vitals is None else [f"heart {rate_text(self._vitals.heart_rate)}/min"]
        return f"{window.quality.value:<6}  {'  '.join([*scores, *heart])}".rstrip()

    def _say(self, text: str) -> None:
        self._console.out(safe(text), highlight=False)
