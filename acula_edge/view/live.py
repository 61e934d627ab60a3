"""The live view of a terminal: level, spectrogram, waveform, findings and what went wrong.

The view builds its lines from rich segments and paints them itself: tables, spans and `rich.live`
cost several times the two percent of a core that it may use.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from textwrap import wrap

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

from acula_edge.events import NOTICE, Event, Exam, Fault, Quality, QualityState, Vitals, Window
from acula_edge.listening import Run, Sink
from acula_edge.sources.base import Block, Pcm
from acula_edge.view.parts import (
    AMBER,
    BLUE,
    BOLD,
    CHIP,
    DIM,
    PLAIN,
    Line,
    bar,
    fit,
    meter_share,
    sparkline,
)
from acula_edge.view.picture import HOLD_SECONDS, TICK_SECONDS, Picture, SoundTrace, columns
from acula_edge.view.screen import Screen
from acula_edge.view.tracks import Tracks
from acula_edge.view.words import (
    REASONS,
    STATES,
    clock,
    describe,
    exam_summary,
    level_text,
    rate_text,
    safe,
    score_text,
)

FRAME_SECONDS = 0.08
"""Less than the tenth of a second of a block, so that jitter does not skip every other frame."""
WIDEST = 240
GUTTER = 9
_FLAT = (None, "standard", "windows")


class LiveView(Sink):
    """The terminal view; `listen` feeds it, and it draws itself at most ten times a second."""

    def __init__(
        self,
        console: Console,
        *,
        credit: str = "",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._credit = credit
        self._now = now
        self._drawn = -math.inf
        self._screen: Screen | None = None
        self._picture = Picture()
        self._fresh: list[Pcm] = []
        self._elapsed = 0.0
        self._window: Window | None = None
        self._quality: Quality | None = None
        self._vitals: Vitals | None = None
        self._tracks = Tracks()
        self._log: deque[str] = deque(maxlen=8)
        self._history: dict[str, deque[tuple[int, float]]] = {}
        self._gutter = GUTTER

    def start(self, run: Run) -> None:
        """Take over the bottom of the terminal."""
        self._run = run
        self._top_hz = 1000.0 if run.site == "heart" else 2000.0
        self._trace = SoundTrace(run.source.rate, min(self._top_hz, run.source.rate / 2))
        self._history = {name: deque(maxlen=64) for name in run.findings}
        self._gutter = max([GUTTER, *(min(16, len(name) + 4) for name in run.findings)])
        self._screen = Screen(self._console)
        self._draw()

    def block(self, block: Block) -> None:
        """Hear sound."""
        self._fresh.append(block.pcm)
        self._elapsed = (block.first_sample + len(block.pcm)) / self._run.source.rate
        if self._now() - self._drawn >= FRAME_SECONDS:
            self._draw()

    def events(self, events: Sequence[Event]) -> None:
        """Note events; an input fault is drawn at once, as no sound may follow it."""
        for event in events:
            self._note(event)
        if any(isinstance(event, Fault) for event in events):
            self._draw()

    def problem(self, text: str) -> None:
        """Show what went wrong beside the sound."""
        self._log.append(f"{clock(self._elapsed)}  ! {safe(text)}")
        self._draw()

    def finish(self, exam: Exam) -> None:
        """Leave the last frame standing and print the exam below it."""
        self._draw()
        self.close()
        self._console.print()
        self._console.print(exam_summary(exam, self._credit))

    def close(self) -> None:
        """Give the terminal back."""
        if self._screen is not None:
            self._screen.close()
            self._screen = None

    def _draw(self) -> None:
        self._drawn = self._now()
        self._trace.push(self._fresh)
        self._fresh.clear()
        if self._screen is not None:
            self._screen.draw(self._frame())

    def _note(self, event: Event) -> None:
        self._tracks.note(event)
        if isinstance(event, Window):
            self._window = event
            for name, score in event.scores.items():
                keep(self._history.setdefault(name, deque(maxlen=64)), int(event.end), score)
        elif isinstance(event, Quality):
            self._quality = event
        elif isinstance(event, Vitals):
            self._vitals = event
        line = describe(event)
        if line is not None:
            self._log.append(line)

    def __rich_console__(
        self,
        console: Console,
        options: ConsoleOptions,
    ) -> RenderResult:
        """Every line of the frame, each exactly as wide as the terminal."""
        for line in self._frame():
            yield from Segment.adjust_line_length(line, options.max_width)
            yield Segment.line()

    def _frame(self) -> list[Line]:
        width, height = self._console.size
        colour = self._console.color_system not in _FLAT and not self._console.no_color
        return self._lines(width, height, colour=colour)

    def _lines(self, width: int, height: int, *, colour: bool) -> list[Line]:
        names = list(self._run.findings)
        notice = wrap(NOTICE, max(20, width - 2))
        spare = height - len(names) - 7 - len(notice) - (self._vitals is not None)
        log = 3 if spare >= 11 else 1
        air: list[Line] = [[]] if spare >= 20 else []
        wave = 4 if spare >= 16 else 3 if spare >= 9 else 0
        tracks = self._track_lines(width) if spare >= 14 else []
        taken = log + wave + len(tracks) + 4 * len(air)
        rows = max(0, min(8 if width <= 130 else 6, spare - taken))
        lines = [self._header(width), self._meter(width), *air]
        if rows >= 2:
            lines += self._pictures(width, rows, wave, tracks, colour=colour)
        lines += [*air, *(self._finding(name, width) for name in names)]
        lines += [*([] if self._vitals is None else [self._heart(self._vitals, width)]), *air]
        lines += [*self._quality_lines(width), *air]
        shown = list(self._log)[-log:]
        lines += [[Segment(" " + fit(text, width - 1))] for text in shown]
        lines += [[] for _ in range(log - len(shown))]
        return [*lines, *([Segment(f" {text}", DIM)] for text in notice)]

    def _header(self, width: int) -> Line:
        source = self._run.source
        lost, lag = source.lost_samples / source.rate, source.lag_seconds
        right = f" {clock(self._elapsed)}   lost {lost:.1f} s   lag {lag:.1f} s "
        brand = " ● AcuLa Edge " if width >= 80 else " ● "
        room = max(0, width - len(right) - len(brand))
        left = f"{self._run.model} · {self._run.site} · {source.name}"
        warn = AMBER if lost > 0 or lag > 1 else PLAIN
        return [Segment(brand, BOLD), Segment(fit(left, room)), Segment(right, warn)]

    def _meter(self, width: int) -> Line:
        trace = self._trace
        clipped = trace.seconds - trace.clipped_at < HOLD_SECONDS
        right = f" {level_text(trace.level)} dBFS "
        if width >= 80:
            right += f" peak {level_text(trace.peak)} "
        room = max(6, width - self._gutter - len(right) - 11)
        filled, peak = meter_share(trace.level), meter_share(trace.peak) or math.nan
        mark = Segment("▲ CLIPPED", CHIP) if clipped else Segment("")
        return [
            Segment(" level".ljust(self._gutter)),
            *bar(filled, room, BLUE, peak),
            Segment(right),
            mark,
        ]

    def _pictures(
        self, width: int, rows: int, wave: int, tracks: list[Line], *, colour: bool
    ) -> list[Line]:
        gutter = self._gutter
        cells = min(width - gutter - 1, WIDEST)
        sketch = self._picture.spectrogram(self._trace, cells, rows, colour=colour)
        lines: list[Line] = []
        for row, line in enumerate(sketch):
            top = self._top_hz * ((rows - row) / rows) ** 1.5
            label = f"{round(top, -1):.0f} Hz " if row % 2 == 0 else ""
            lines.append([Segment(label.rjust(gutter), DIM), *line])
        for text in self._picture.waveform(self._trace, cells, wave) if wave else ():
            lines.append([Segment(" " * gutter), Segment(text, BLUE)])
        lines += tracks
        span = cells * columns(cells) * TICK_SECONDS
        axis = f"{-span:.0f} s".ljust(cells - 3) + "now"
        return [*lines, [Segment(" " * gutter + axis, DIM)]]

    def _track_lines(self, width: int) -> list[Line]:
        """Below the waveform: where S1 and S2 began, and when in the breath lung sounds were."""
        gutter, tracks = self._gutter, self._tracks
        cells = min(width - gutter - 1, WIDEST)
        lines: list[Line] = []
        if tracks.heart:
            label = Segment("S1 S2 ".rjust(gutter), DIM)
            lines.append([label, *tracks.heart_line(self._trace, cells)])
        for name in tracks.names:
            threshold = self._run.thresholds.get(name, math.inf)
            label = Segment(fit(f" {name}", gutter), DIM)
            lines.append([label, *tracks.activity_line(name, self._trace, cells, threshold)])
        return lines

    def _heart(self, vitals: Vitals, width: int) -> Line:
        known = vitals.heart_rate is not None
        text = f"{rate_text(vitals.heart_rate)} beats per minute"
        return [
            Segment(" ♥ " if known else " ♡ ", AMBER if known else PLAIN),
            Segment(fit("heart", self._gutter - 3)),
            Segment(fit(text, width - self._gutter), BOLD if known else DIM),
        ]

    def _finding(self, name: str, width: int) -> Line:
        window = self._window
        score = math.nan if window is None else window.scores.get(name, math.nan)
        on = window is not None and name in window.active
        known = score is not None and math.isfinite(score)
        history = 24 if width >= 100 else 10
        room = max(6, width - self._gutter - history - 17)
        refused = window is not None and window.quality is QualityState.REFUSE
        style = DIM if refused or not known else AMBER if on else BLUE
        tick = self._run.thresholds.get(name, math.nan)
        return [
            Segment(f" {'●' if on else '○'} ", AMBER if on else PLAIN),
            Segment(fit(name, self._gutter - 3), BOLD if on else PLAIN),
            *bar(score if known else 0.0, room, style, tick),
            Segment(f"{score_text(score):>6} ", BOLD if on else DIM if refused else PLAIN),
            Segment(" HEARD " if on else " " * 7, CHIP if on else PLAIN),
            Segment(" "),
            Segment(sparkline(self._history.get(name, ()), history), style),
        ]

    def _quality_lines(self, width: int) -> list[Line]:
        quality = self._quality
        if quality is None:
            state = QualityState.OK if self._window is None else self._window.quality
            reasons = () if self._window is None else self._window.reasons
        else:
            state, reasons = quality.state, quality.reasons
        good = state is QualityState.OK
        words = [REASONS[reason] for reason in reasons[:2]]
        heard = self._window is not None or quality is not None
        head = STATES[state] if heard else "… listening"
        style = PLAIN if good else CHIP if state is QualityState.REFUSE else AMBER
        first = Segment(fit("  " + words[0], width - 29)) if words else Segment("")
        lines: list[Line] = [
            [Segment(" quality ".ljust(GUTTER)), Segment(f" {head} ", style), first]
        ]
        more = f"{' ' * (len(head) + 13)}{words[1]}" if len(words) > 1 else ""
        return [*lines, [Segment(fit(more, width))]]


def keep(history: deque[tuple[int, float]], second: int, score: float) -> None:
    """Keep the highest score of each second."""
    if not math.isfinite(score):
        return
    if history and history[-1][0] == second:
        score = max(score, history.pop()[1])
    history.append((second, score))
