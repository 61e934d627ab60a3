"""What a listener sees: a live view for terminals, plain lines elsewhere, and the exam's summary.

The view builds its lines from rich segments and paints them itself: tables, spans and `rich.live`
cost several times the two percent of a core that it may use.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.cells import set_cell_size
from rich.console import (
    COLOR_SYSTEMS,
    Console,
    ConsoleOptions,
    Group,
    RenderableType,
    RenderResult,
)
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from acula_edge.events import (
    NOTICE,
    Decision,
    Detection,
    Event,
    Exam,
    Fault,
    FaultKind,
    Quality,
    QualityState,
    Reason,
    Window,
)
from acula_edge.listening import Run, Sink
from acula_edge.sources.base import Block, Pcm

Line = list[Segment]
Floats = NDArray[np.float64]

REASONS: Mapping[Reason, str] = {
    Reason.NO_CONTACT: "no contact: press the chestpiece to the skin",
    Reason.STUCK: "the signal does not change: check the cable and the device",
    Reason.CLIPPED: "too loud: lower the input gain or press less",
    Reason.FRICTION: "rubbing: hold the chestpiece still",
    Reason.SPEECH: "someone is speaking: ask for silence",
    Reason.AMBIENT: "noisy room: find a quieter place",
    Reason.HUM: "mains hum: move away from chargers and lamps",
    Reason.NO_HEARTBEAT: "no heartbeat heard: try another spot",
    Reason.PROCESSED_INPUT: "the input is processed: switch off noise suppression and AGC",
    Reason.WRONG_RATE: "the sample rate is wrong: check the input's settings",
    Reason.INVALID_SAMPLES: "the input sends invalid samples: check the driver",
    Reason.GAP: "sound was lost: the link or this computer is too slow",
    Reason.CLOCK_DRIFT: "the device's clock drifts: its rate is not what it says",
    Reason.TOO_SHORT: "too little sound: listen longer",
}
FAULTS: Mapping[FaultKind, str] = {
    FaultKind.GAP: "sound lost",
    FaultKind.OVERFLOW: "sound lost: processing was too slow",
    FaultKind.DEVICE_LOST: "the device is gone; waiting for it",
    FaultKind.DEVICE_BACK: "the device is back",
    FaultKind.INVALID_SAMPLES: "invalid samples from the input",
}
STATES: Mapping[QualityState, str] = {
    QualityState.OK: "✓ good sound",
    QualityState.WARN: "! poor sound",
    QualityState.REFUSE: "✕ not interpreted",
}
DECISIONS: Mapping[Decision, str] = {
    Decision.PRESENT: "● present",
    Decision.ABSENT: "○ absent",
    Decision.UNSURE: "? unsure",
}

FRAME_SECONDS = 0.08
"""Less than the tenth of a second of a block, so that jitter does not skip every other frame."""
TICK_SECONDS = 0.02
SPECTRUM_SECONDS = 0.064
SHOWN_SECONDS = 8.0
HISTORY_TICKS = 660
WIDEST = 240
BANDS = 24
TILT_DB = 4.0
"""Per octave: sound of the chest falls steeply, and what matters would stay dark without it."""
RANGE_DB = 38.0
FLAT_RANGE_DB = 24.0
NARROWEST = 60
QUIET_DB = -72.0
LOUD_SHARE = 0.98
METER_FLOOR_DB = -60.0
CLIP_LEVEL = 0.999
HOLD_SECONDS = 1.5
GUTTER = 9
SHADES = (
    *("#06051a", "#180f3d", "#3b0f70", "#641a80", "#8c2981"),
    *("#b5367a", "#de4968", "#f7705c", "#fe9f6d", "#fddc9e"),
)
RAMP = " ░▒▓█"
STEPS = " ▁▂▃▄▅▆▇█"
PLAIN = Style.null()
BOLD = Style(bold=True)
DIM = Style(dim=True)
BLUE = Style(color="#3b82f6")
AMBER = Style(color="#d97706", bold=True)
CHIP = Style(color="#ffffff", bgcolor="#b45309", bold=True)


def clock(seconds: float) -> str:
    """Seconds as mm:ss."""
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def advice(reasons: Iterable[Reason]) -> str:
    """The reasons as words."""
    return "; ".join(REASONS[reason] for reason in reasons)


def describe(event: Event) -> str | None:
    """One line on an event worth a line of the log; None for windows."""
    if isinstance(event, Detection):
        what = f"heard ({event.probability:.2f})" if event.on else "ended"
        return f"{clock(event.at)}  {event.finding} {what}"
    if isinstance(event, Quality):
        words = f": {advice(event.reasons)}" if event.reasons else ""
        return f"{clock(event.at)}  {STATES[event.state]}{words}"
    if isinstance(event, Fault):
        lost = f" ({event.lost_seconds:.2f} s)" if event.lost_seconds else ""
        return f"{clock(event.at)}  {FAULTS[event.kind]}{lost}"
    return None


def exam_summary(exam: Exam) -> RenderableType:
    """The exam as a table and a few sentences."""
    table = Table(title="Exam", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("finding")
    table.add_column("probability", justify="right")
    table.add_column("decision")
    for name, result in exam.findings.items():
        style = "bold" if result.decision is Decision.PRESENT else ""
        table.add_row(
            Text(name), _score(result.probability), Text(DECISIONS[result.decision], style=style)
        )
    lines = [
        f"heard {exam.heard_seconds:.1f} s · used as evidence {exam.evidence_seconds:.1f} s · "
        f"refused {exam.refused_seconds:.1f} s · lost {exam.lost_seconds:.1f} s",
        f"model {exam.model} · site {exam.site or 'heart and lung'}",
    ]
    if exam.reasons:
        lines.insert(0, f"{'Abstained' if exam.abstained else 'Note'}: {advice(exam.reasons)}")
    return Group(table, *(Text(_safe(line)) for line in lines), Text(NOTICE, style="italic"))


class SoundTrace:
    """The last seconds of sound as ticks of 20 ms: extremes and the levels of frequency bands.

    `low` and `high` are (HISTORY_TICKS,), `bands` is (HISTORY_TICKS, BANDS) in dB, newest last.
    """

    def __init__(self, rate: int, top_hz: float) -> None:
        self.hop = max(1, round(rate * TICK_SECONDS))
        self.ticks = 0
        self.low = np.zeros(HISTORY_TICKS)
        self.high = np.zeros(HISTORY_TICKS)
        self.bands = np.full((HISTORY_TICKS, BANDS), -200.0)
        self.level = self.peak = -math.inf
        self.clipped_at = -math.inf
        self._size = max(self.hop, round(rate * SPECTRUM_SECONDS))
        self._taper = np.hanning(self._size + 2)[1:-1]
        self._pending = np.zeros(0)
        edges = top_hz * (np.arange(BANDS) / BANDS) ** 1.5
        self._starts = np.minimum(edges * self._size / rate, self._size // 2).astype(int)
        self._stop = min(self._size // 2, int(top_hz * self._size / rate)) + 1
        self._tilt = TILT_DB * np.log2(np.maximum(edges, 50.0) / 50.0)
        self._peak_tick = 0

    @property
    def seconds(self) -> float:
        """Sound taken in so far, in seconds of ticks."""
        return self.ticks * TICK_SECONDS

    def push(self, pcm: Sequence[Pcm]) -> None:
        """Take in blocks of mono sound; whole ticks are measured, the rest waits."""
        sound: Floats = np.concatenate([self._pending, *pcm])
        sound = sound[-(HISTORY_TICKS * self.hop + self._size) :]
        if not np.isfinite(sound).all():
            sound = np.nan_to_num(sound, posinf=0.0, neginf=0.0)
        count = max(0, (len(sound) - self._size) // self.hop + 1)
        self._pending = sound[count * self.hop :]
        if count == 0:
            return
        windows = np.lib.stride_tricks.sliding_window_view(sound, self._size)[:: self.hop][:count]
        power = np.abs(np.fft.rfft(windows * self._taper)[:, : self._stop]) ** 2
        bands = np.maximum.reduceat(power, self._starts, axis=1) * (2.0 / self._taper.sum()) ** 2
        fresh = sound[: count * self.hop].reshape(count, self.hop)
        self.ticks += count
        self.bands = _slide(self.bands, 10.0 * np.log10(bands + 1e-20) + self._tilt)
        self.low, self.high = _slide(self.low, fresh.min(1)), _slide(self.high, fresh.max(1))
        self._measure(fresh)

    def _measure(self, fresh: Floats) -> None:
        top = float(np.abs(fresh).max())
        self.level = _decibels(float(np.sqrt(np.mean(fresh**2))))
        if _decibels(top) >= self.peak or self.seconds - self._peak_tick > HOLD_SECONDS:
            self.peak, self._peak_tick = _decibels(top), int(self.seconds)
        if top >= CLIP_LEVEL:
            self.clipped_at = self.seconds


class Picture:
    """Draws a trace: spectrogram and waveform, `width` cells wide."""

    def __init__(self) -> None:
        self._styles = [Style(color=upper, bgcolor=lower) for upper in SHADES for lower in SHADES]

    def spectrogram(self, trace: SoundTrace, width: int, rows: int, *, colour: bool) -> list[Line]:
        """High frequencies on top; two bands per cell in colour, shaded blocks without."""
        count = rows * 2 if colour else rows
        step = _columns(width)
        bands = _whole(trace, trace.bands, step, width).reshape(width, step, BANDS).max(1)
        bands = np.maximum.reduceat(bands, np.arange(count) * BANDS // count, axis=1)[:, ::-1].T
        top = max(float(bands.max()), QUIET_DB + RANGE_DB / 2)
        steps = len(SHADES) if colour else len(RAMP)
        span = RANGE_DB if colour else FLAT_RANGE_DB
        shades = np.clip((bands - top + span) / span * steps, 0, steps - 1).astype(np.int64)
        if not colour:
            return [[Segment("".join(RAMP[shade] for shade in row))] for row in shades.tolist()]
        pairs = shades[0::2] * len(SHADES) + shades[1::2]
        changes = pairs[:, 1:] != pairs[:, :-1]
        return [self._cells(*row) for row in zip(pairs, changes, strict=True)]

    def _cells(self, pairs: NDArray[np.int64], changes: NDArray[np.bool_]) -> Line:
        """One row of `upper * len(SHADES) + lower`; equal neighbours share a segment."""
        starts = [0, *(np.flatnonzero(changes) + 1).tolist()]
        ends = [*starts[1:], len(pairs)]
        looks = pairs[starts].tolist()
        return [
            Segment("▀" * (end - start), self._styles[look])
            for start, end, look in zip(starts, ends, looks, strict=True)
        ]

    @staticmethod
    def waveform(trace: SoundTrace, width: int, rows: int) -> list[str]:
        """The oscillogram in braille, two columns per cell, scaled to its loud moments."""
        half = _columns(width) // 2
        low = _whole(trace, trace.low, 2 * half, width).reshape(-1, half).min(1)
        high = _whole(trace, trace.high, 2 * half, width).reshape(-1, half).max(1)
        loud = int(LOUD_SHARE * len(high))
        scale = max(float(np.partition(np.maximum(high, -low), loud)[loud]), 1e-3)
        middle = (4 * rows - 1) / 2
        first = np.rint(middle - _compress(high / scale) * middle)
        last = np.rint(middle - _compress(low / scale) * middle)
        dot = np.arange(4 * rows)[:, None]
        lit = ((dot >= first) & (dot <= last)).reshape(rows, 4, width, 2)
        bits = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
        codes = 0x2800 + np.einsum("rdwc,dc->rw", lit, bits)
        return ["".join(map(chr, row)) for row in codes.tolist()]


class Screen:
    """Paints frames over each other at the bottom of a terminal, and keeps its history intact."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._height = 0
        self._codes: dict[int, tuple[str, str, Style]] = {}
        console.show_cursor(False)

    def draw(self, lines: Sequence[Line]) -> None:
        """Replace the frame; what does not fit the terminal is cut."""
        width, height = self._console.size
        shown = lines[: max(1, height - 1)]
        if width < NARROWEST:
            shown = [Segment.adjust_line_length(line, width) for line in shown]
        back = f"\x1b[{self._height}A" if self._height else ""
        rows = "".join(self._paint(line) + "\x1b[K\n" for line in shown)
        self._console.file.write(f"\r{back}{rows}\x1b[J")
        self._console.file.flush()
        self._height = len(shown)

    def close(self) -> None:
        """Leave the last frame, and the cursor below it."""
        self._console.show_cursor(True)

    def _paint(self, line: Line) -> str:
        parts: list[str] = []
        for text, style, _ in line:
            code = self._codes.get(id(style)) or self._code(style or PLAIN)
            parts += (code[0], text, code[1])
        return "".join(parts)

    def _code(self, style: Style) -> tuple[str, str, Style]:
        """Escapes around text, kept by identity, as hashing styles costs more; so is the style."""
        system = COLOR_SYSTEMS.get(self._console.color_system or "")
        look = style.without_color if self._console.no_color else style
        before, after = look.render("\0", color_system=system).split("\0")
        code = self._codes[id(style)] = (before, after, style)
        return code


class LiveView(Sink):
    """The terminal view; `listen` feeds it, and it draws itself at most ten times a second."""

    def __init__(self, console: Console, *, now: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._now = now
        self._drawn = -math.inf
        self._screen: Screen | None = None
        self._picture = Picture()
        self._fresh: list[Pcm] = []
        self._elapsed = 0.0
        self._window: Window | None = None
        self._quality: Quality | None = None
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
        self._log.append(f"{clock(self._elapsed)}  ! {_safe(text)}")
        self._draw()

    def finish(self, exam: Exam) -> None:
        """Leave the last frame standing and print the exam below it."""
        self._draw()
        self.close()
        self._console.print()
        self._console.print(exam_summary(exam))

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
        if isinstance(event, Window):
            self._window = event
            for name, score in event.scores.items():
                _keep(self._history.setdefault(name, deque(maxlen=64)), int(event.end), score)
        elif isinstance(event, Quality):
            self._quality = event
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
        spare = height - len(names) - 7 - len(notice)
        log = 3 if spare >= 11 else 1
        air: list[Line] = [[]] if spare >= 20 else []
        wave = 4 if spare >= 16 else 3 if spare >= 9 else 0
        rows = max(0, min(8 if width <= 130 else 6, spare - log - wave - 4 * len(air)))
        lines = [self._header(width), self._meter(width), *air]
        if rows >= 2:
            lines += self._pictures(width, rows, wave, colour=colour)
        lines += [*air, *(self._finding(name, width) for name in names), *air]
        lines += [*self._quality_lines(width), *air]
        shown = list(self._log)[-log:]
        lines += [[Segment(" " + _fit(text, width - 1))] for text in shown]
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
        return [Segment(brand, BOLD), Segment(_fit(left, room)), Segment(right, warn)]

    def _meter(self, width: int) -> Line:
        trace = self._trace
        clipped = trace.seconds - trace.clipped_at < HOLD_SECONDS
        right = f" {_level(trace.level)} dBFS "
        if width >= 80:
            right += f" peak {_level(trace.peak)} "
        room = max(6, width - self._gutter - len(right) - 11)
        bar = _bar(_share(trace.level), room, BLUE, _share(trace.peak) or math.nan)
        mark = Segment("▲ CLIPPED", CHIP) if clipped else Segment("")
        return [Segment(" level".ljust(self._gutter)), *bar, Segment(right), mark]

    def _pictures(self, width: int, rows: int, wave: int, *, colour: bool) -> list[Line]:
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
        span = cells * _columns(cells) * TICK_SECONDS
        axis = f"{-span:.0f} s".ljust(cells - 3) + "now"
        return [*lines, [Segment(" " * gutter + axis, DIM)]]

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
            Segment(_fit(name, self._gutter - 3), BOLD if on else PLAIN),
            *_bar(score if known else 0.0, room, style, tick),
            Segment(f"{_score(score):>6} ", BOLD if on else DIM if refused else PLAIN),
            Segment(" HEARD " if on else " " * 7, CHIP if on else PLAIN),
            Segment(" "),
            Segment(_sparkline(self._history.get(name, ()), history), style),
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
        first = Segment(_fit("  " + words[0], width - 29)) if words else Segment("")
        lines: list[Line] = [
            [Segment(" quality ".ljust(GUTTER)), Segment(f" {head} ", style), first]
        ]
        more = f"{' ' * (len(head) + 13)}{words[1]}" if len(words) > 1 else ""
        return [*lines, [Segment(_fit(more, width))]]


class PlainView(Sink):
    """One line per second of sound where there is no terminal, and one per event."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._second = 0
        self._window: Window | None = None
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
            level = _decibels(math.sqrt(self._power / max(1, self._samples)))
            self._power, self._samples = 0.0, 0
            self._say(f"{clock(seconds)}  {_level(level)} dBFS  {self._scores()}")

    def events(self, events: Sequence[Event]) -> None:
        """Note scores; say everything else."""
        for event in events:
            if isinstance(event, Window):
                self._window = event
            line = describe(event)
            if line is not None:
                self._say(line)

    def problem(self, text: str) -> None:
        """Say it."""
        self._say(f"! {text}")

    def finish(self, exam: Exam) -> None:
        """Print the exam."""
        self._console.print(exam_summary(exam))

    def _scores(self) -> str:
        window = self._window
        if window is None:
            return "listening"
        marks = ((name, "*" if name in window.active else " ") for name in window.scores)
        scores = (f"{name} {_score(window.scores[name])}{mark}" for name, mark in marks)
        return f"{window.quality.value:<6}  {'  '.join(scores)}".rstrip()

    def _say(self, text: str) -> None:
        self._console.out(_safe(text), highlight=False)


_FLAT = (None, "standard", "windows")


def view_for(console: Console) -> Sink:
    """The live view where the console can draw it, else plain lines."""
    drawable = console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows
    unicode = console.encoding.lower().startswith("utf")
    return LiveView(console) if drawable and unicode else PlainView(console)


def _slide(history: Floats, fresh: Floats) -> Floats:
    return np.concatenate([history, fresh])[-HISTORY_TICKS:]


def _columns(width: int) -> int:
    """Ticks per cell, even, so that about eight seconds fit."""
    return max(2, 2 * round(SHOWN_SECONDS / (width * 2 * TICK_SECONDS)))


def _whole(trace: SoundTrace, history: Floats, step: int, width: int) -> Floats:
    """The newest `width` whole cells of `step` ticks: cells keep their ticks while they scroll."""
    end = len(history) - trace.ticks % step
    return history[end - width * step : end]


def _compress(share: Floats) -> Floats:
    """A gentle curve within [-1, 1]: murmurs between loud heart sounds stay visible."""
    return np.sign(share) * np.minimum(1.0, np.abs(share)) ** 0.6


def _decibels(amplitude: float) -> float:
    return 20.0 * math.log10(amplitude) if amplitude > 0 else -math.inf


def _share(level: float) -> float:
    return min(1.0, max(0.0, 1.0 - level / METER_FLOOR_DB))


def _level(level: float) -> str:
    return f"{level:5.1f}" if level > -100 else " -inf"


def _score(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.2f}"


def _bar(share: float, width: int, style: Style, tick: float = math.nan) -> Line:
    """A bar of `width` cells filled to `share` of it, with a tick across it."""
    halves = round(min(1.0, max(0.0, share)) * width * 2)
    cells = [(char, style) for char in "━" * (halves // 2) + "╸" * (halves % 2)]
    cells += [("─", DIM)] * (width - len(cells))
    if math.isfinite(tick):
        cells[min(width - 1, max(0, int(tick * width)))] = ("┃", BOLD)
    runs = groupby(cells, key=lambda cell: cell[1])
    return [Segment("".join(char for char, _ in run), look) for look, run in runs]


def _sparkline(history: Iterable[tuple[int, float]], width: int) -> str:
    steps = [STEPS[1 + int(min(0.999, max(0.0, value)) * 8)] for _, value in history]
    return "".join(steps[-width:]).rjust(width)


def _keep(history: deque[tuple[int, float]], second: int, score: float) -> None:
    """Keep the highest score of each second."""
    if not math.isfinite(score):
        return
    if history and history[-1][0] == second:
        score = max(score, history.pop()[1])
    history.append((second, score))


def _safe(text: str) -> str:
    """Names come from files and devices: what could steer the terminal is dropped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "?" for char in text)


def _fit(text: str, width: int) -> str:
    """Exactly `width` cells, cut with an ellipsis."""
    text, width = _safe(text), max(0, width)
    cut = set_cell_size(text, width)
    return (
        cut if cut.rstrip() == text.rstrip() or width < 2 else set_cell_size(cut, width - 1) + "…"
    )
