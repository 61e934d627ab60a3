"""The view draws every state at every width, in colour and without, and never wider than asked."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from acula_edge.events import (
    NOTICE,
    Decision,
    Detection,
    Exam,
    Fault,
    FaultKind,
    FindingResult,
    Quality,
    QualityState,
    Reason,
    Window,
)
from acula_edge.listening import Run
from acula_edge.sources.base import Block
from acula_edge.view import view_for
from acula_edge.view.live import LiveView
from acula_edge.view.picture import SoundTrace
from acula_edge.view.plain import PlainView
from acula_edge.view.words import FAULTS, REASONS, advice, exam_summary

RATE = 4000
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
NAN = float("nan")


def console(width: int = 100, height: int = 36, **options: Any) -> Console:
    settings = {"force_terminal": True, "color_system": "truecolor"} | options
    return Console(file=io.StringIO(), width=width, height=height, **settings)


def make_run(findings: tuple[str, ...] = ("murmur", "crackle"), name: str = "mic") -> Run:
    source: Any = SimpleNamespace(name=name, rate=RATE, lost_samples=400, lag_seconds=0.25)
    return Run(source, "heart-lung 0.1.0", "heart", findings, dict.fromkeys(findings, 0.5))


def tone(seconds: float, amplitude: float = 0.5, hertz: float = 200.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def window(scores: dict[str, float], state: QualityState = QualityState.OK, *active: str) -> Window:
    return Window(1.0, 1.2, scores, active, state)


STATES: dict[str, list[Any]] = {
    "nothing yet": [],
    "on": [
        window({"murmur": 0.9, "crackle": 0.1}, QualityState.OK, "murmur"),
        Detection(1.2, "murmur", True, 0.9),
    ],
    "nan": [window({"murmur": NAN, "crackle": float("inf")}), Detection(1.2, "murmur", True, NAN)],
    "out of range": [window({"murmur": 1.7, "crackle": -3.0})],
    "refused": [
        Quality(1.0, QualityState.REFUSE, tuple(Reason)),
        window({}, QualityState.REFUSE),
    ],
    "unknown finding": [window({"stridor": 0.4})],
    "faults": [Fault(1.0, kind, 0.3) for kind in FaultKind],
}


def shown(view: LiveView, screen: Console) -> list[str]:
    with screen.capture() as capture:
        screen.print(view)
    return ESCAPE.sub("", capture.get()).splitlines()


def drawn(screen: Console, events: list[Any], run: Run | None = None) -> list[str]:
    ticks = iter(range(10_000))
    view = LiveView(screen, now=lambda: float(next(ticks)))
    view.start(run or make_run())
    view.block(Block(tone(2.0), 0))
    view.events(events)
    view.problem("the disk is full")
    view.block(Block(tone(9.0), 2 * RATE))
    view.close()
    return shown(view, screen)


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("width", [20, 60, 100, 200, 400])
@pytest.mark.parametrize("color_system", ["truecolor", "256", "standard", None])
def test_every_state_is_drawn_within_the_width(
    name: str, width: int, color_system: str | None
) -> None:
    lines = drawn(console(width, color_system=color_system), STATES[name])
    assert {cell_len(line) for line in lines} == {width}


@pytest.mark.parametrize("height", [5, 10, 16, 24, 50])
@pytest.mark.parametrize("width", [60, 200])
def test_frames_stay_above_the_bottom_line(height: int, width: int) -> None:
    screen = console(width, height)
    drawn(screen, STATES["on"])
    frames = screen.file.getvalue().split("\x1b[J")[:-1]
    assert max(frame.count("\n") for frame in frames) <= height - 1
    for frame in frames:
        for line in ESCAPE.sub("", frame).replace("\r", "").splitlines():
            assert cell_len(line) <= width


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_state_is_told_by_words_and_symbols_not_by_colour_alone(width: int) -> None:
    text = "\n".join(drawn(console(width, 40), STATES["on"]))
    assert "● murmur" in text
    assert "HEARD" in text
    assert "○ crackle" in text
    assert "0.90" in text
    assert "lost 0.1 s" in text
    assert "lag 0.2 s" in text
    assert "00:11" in text
    assert "the disk is full" in text
    assert " ".join(NOTICE.split()) in " ".join(text.split())


def test_a_refusal_says_why_in_plain_words() -> None:
    text = "\n".join(drawn(console(), [Quality(1.0, QualityState.REFUSE, (Reason.NO_CONTACT,))]))
    assert "✕ not interpreted" in text
    assert "press the chestpiece to the skin" in text


def test_no_findings_and_no_height_are_drawn() -> None:
    assert drawn(console(60, 3), STATES["on"], make_run(findings=()))


def test_names_cannot_steer_the_terminal() -> None:
    screen = console(200)
    lines = drawn(screen, [], make_run(name="evil\x1b[2J\nname"))
    assert any("evil?[2J?name" in line for line in lines)
    assert "\x1b[2J" not in screen.file.getvalue()


def test_no_colour_means_no_colour_codes() -> None:
    screen = console(no_color=True)
    drawn(screen, STATES["on"])
    assert not re.search(r"\x1b\[[0-9;]*(38|48|3[0-7]|4[0-7])[;m]", screen.file.getvalue())


def test_clipping_is_marked_and_then_forgotten() -> None:
    view = LiveView(screen := console(), now=iter(range(1000)).__next__)
    view.start(make_run())
    view.block(Block(tone(1.0, amplitude=1.2), 0))
    assert "CLIPPED" in "".join(shown(view, screen))
    for block in range(30):
        view.block(Block(tone(0.1), RATE + block * 400))
    assert "CLIPPED" not in "".join(shown(view, screen))


def test_frames_come_at_most_every_tenth_of_a_second() -> None:
    seconds = [0.0]
    view = LiveView(screen := console(), now=lambda: seconds[0])
    view.start(make_run())
    for block in range(500):
        seconds[0] = block / 100
        view.block(Block(tone(0.01), block * 40))
    frames = screen.file.getvalue().count("\x1b[J")
    assert 40 <= frames <= 65


def test_the_cursor_comes_back_and_the_exam_is_printed() -> None:
    view = LiveView(screen := console())
    view.start(make_run())
    view.finish(exam(Decision.PRESENT, 0.9))
    view.close()
    text = screen.file.getvalue()
    assert text.count("\x1b[?25h") == 1
    assert text.rindex("\x1b[?25h") < text.index("Exam")


def test_a_tone_lights_its_band() -> None:
    trace = SoundTrace(RATE, 1000.0)
    for start in range(0, RATE, 170):
        trace.push([tone(1.0, 0.5, 500.0)[start : start + 170]])
    edges = 1000.0 * (np.arange(24) / 24) ** 1.5
    brightest = int(trace.bands[-1].argmax())
    assert edges[brightest] <= 500 < edges[brightest + 1]
    assert trace.level == pytest.approx(-9.03, abs=0.2)
    assert trace.high[-1] == pytest.approx(0.5, abs=0.01)


def test_block_length_does_not_change_the_picture() -> None:
    sound = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) * 0.1
    whole, cut = SoundTrace(RATE, 1000.0), SoundTrace(RATE, 1000.0)
    whole.push([sound])
    for start in range(0, RATE, 37):
        cut.push([sound[start : start + 37]])
    np.testing.assert_allclose(cut.bands, whole.bands)
    np.testing.assert_array_equal(cut.high, whole.high)


@pytest.mark.parametrize("rate", [1000, 4000, 44_100, 96_000])
def test_any_rate_and_invalid_samples_are_drawn(rate: int) -> None:
    trace = SoundTrace(rate, min(1000.0, rate / 2))
    trace.push([np.full(rate, NAN, dtype=np.float32), np.zeros(0, dtype=np.float32)])
    assert np.isfinite(trace.bands).all()


def exam(decision: Decision, probability: float | None) -> Exam:
    results = {"murmur": FindingResult(probability, decision)}
    reasons = (Reason.TOO_SHORT,) if decision is Decision.UNSURE else ()
    return Exam(results, bool(reasons), reasons, "heart-lung 1", "", "", 60.2, 48.1, 5.5, 0.3)


@pytest.mark.parametrize("width", [40, 60, 100])
@pytest.mark.parametrize("decision", Decision)
@pytest.mark.parametrize("probability", [None, NAN, 0.42])
def test_the_summary_says_decision_and_seconds(
    width: int, decision: Decision, probability: float | None
) -> None:
    screen = console(width, color_system=None)
    with screen.capture() as capture:
        screen.print(exam_summary(exam(decision, probability)))
    text = " ".join(capture.get().split())
    assert decision.value in text
    assert "lost 0.3 s" in text
    assert NOTICE in text
    assert ("listen longer" in text) is (decision is Decision.UNSURE)


@pytest.mark.parametrize("terminal", [True, False])
def test_the_summary_ends_with_the_credit_of_the_recording(terminal: bool) -> None:
    utf = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    screen = Console(file=utf, force_terminal=terminal, width=80, _environ={"TERM": "xterm"})
    view = view_for(screen, credit="Recording: someone et al.\x1b[2J CC BY 4.0.")
    view.start(make_run())
    view.finish(exam(Decision.ABSENT, 0.1))
    utf.flush()
    last = utf.buffer.getvalue().decode().splitlines()[-1]
    assert ESCAPE.sub("", last).strip() == "Recording: someone et al.?[2J CC BY 4.0."


def test_names_of_findings_cannot_steer_the_terminal_from_the_summary() -> None:
    screen = console()
    evil = {"evil\x1b[2J": FindingResult(0.5, Decision.UNSURE)}
    screen.print(exam_summary(Exam(evil, False, (), "m", "", "", 1.0, 1.0, 0.0, 0.0)))
    assert "\x1b[2J" not in screen.file.getvalue()


def test_every_code_has_words() -> None:
    assert set(REASONS) == set(Reason)
    assert set(FAULTS) == set(FaultKind)
    assert advice([Reason.HUM, Reason.GAP]).count(";") == 1


def test_plain_lines_come_once_per_second_and_per_event() -> None:
    screen = Console(file=io.StringIO(), width=80)
    view = PlainView(screen)
    view.start(make_run())
    for block in range(25):
        view.block(Block(tone(0.1), block * 400))
    view.events([*STATES["on"], *STATES["refused"]])
    view.block(Block(tone(0.5), 25 * 400))
    view.problem("the disk is full")
    view.finish(exam(Decision.ABSENT, 0.1))
    text = screen.file.getvalue()
    assert len(re.findall(r"^00:0\d +-9\.0 dBFS", text, re.MULTILINE)) == 3
    assert "00:01  murmur heard (0.90)" in text
    assert "! the disk is full" in text
    assert "\x1b" not in text


def test_the_view_fits_the_console() -> None:
    assert isinstance(view_for(Console(file=io.StringIO(), force_terminal=False)), PlainView)
    dumb = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(view_for(dumb), PlainView)
    latin = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    assert isinstance(view_for(Console(file=latin, force_terminal=True)), PlainView)
    utf = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    full = Console(file=utf, force_terminal=True, _environ={"TERM": "xterm"})
    assert isinstance(view_for(full), LiveView)
