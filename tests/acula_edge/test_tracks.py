"""Heart and lung sounds stand in the picture below the sound they are."""

import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from acula_edge.events import (
    Fault,
    FaultKind,
    HeartSound,
    QualityState,
    Vitals,
    Window,
)
from acula_edge.listening import Run
from acula_edge.sources.base import Block
from acula_edge.view.live import LiveView
from acula_edge.view.picture import TICK_SECONDS, SoundTrace, columns
from acula_edge.view.plain import PlainView
from acula_edge.view.tracks import Tracks

RATE = 4000
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def trace_of(seconds):
    trace = SoundTrace(RATE, 1000.0)
    trace.push([np.zeros(round(seconds * RATE), np.float32)])
    return trace


def text(line):
    return "".join(segment.text for segment in line)


def window(start, values, name="wheeze"):
    scores = {name: 0.5}
    return Window(start, start + 0.192, scores, (), QualityState.OK, activity={name: values})


@pytest.mark.parametrize("width", [30, 90, 200])
def test_a_sound_stands_where_it_was(width):
    trace, tracks = trace_of(12), Tracks()
    for at, sound in ((9.0, "S1"), (9.5, "S2"), (1.0, "S1")):
        tracks.note(HeartSound(at, sound, 0.9))
    line = text(tracks.heart_line(trace, width))
    assert len(line) == width
    assert sorted(line.strip().replace(" ", "")) == ["1", "2"]  # the oldest has left the picture
    cell = columns(width) * TICK_SECONDS
    newest = trace.ticks // columns(width) * cell
    for at, mark in ((9.0, "1"), (9.5, "2")):
        left = newest - (width - line.index(mark)) * cell
        assert left - 1e-9 <= at < left + cell


def test_sound_that_was_lost_takes_no_room():
    width, tracks, plain = 90, Tracks(), Tracks()
    tracks.note(HeartSound(5.0, "S1", 0.9))
    tracks.note(Fault(6.0, FaultKind.GAP, 3.0))
    tracks.note(HeartSound(10.0, "S2", 0.9))
    plain.note(HeartSound(5.0, "S1", 0.9))
    plain.note(HeartSound(7.0, "S2", 0.9))
    trace = trace_of(9)
    assert text(tracks.heart_line(trace, width)) == text(plain.heart_line(trace, width))


def test_activity_is_high_where_the_sound_was_and_told_apart_above_its_threshold():
    trace, tracks, width = trace_of(10), Tracks(), 90
    for index in range(50):
        start = index * 0.192
        tracks.note(window(start, (0.95,) * 6 if 6.0 <= start < 7.0 else (0.3,) * 6))
    line = tracks.activity_line("wheeze", trace, width, 0.6)
    high = [segment for segment in line if "█" in segment.text]
    assert len(high) == 1
    assert len(high[0].text) == pytest.approx(1.0 / (columns(width) * TICK_SECONDS), abs=3)
    assert {segment.style for segment in line if segment is not high[0]} != {high[0].style}
    assert cell_len(text(line)) == width


def test_nothing_told_draws_nothing():
    assert not Tracks().heart
    assert Tracks().names == ()


def drawn(width, height, events):
    console = Console(
        file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None
    )
    source = SimpleNamespace(name="mic", rate=RATE, lost_samples=0, lag_seconds=0.0)
    findings = ("murmur", "wheeze")
    run = Run(source, "m 1", "heart and lung", findings, dict.fromkeys(findings, 0.5))
    ticks = iter(range(10_000))
    view = LiveView(console, now=lambda: float(next(ticks)))
    view.start(run)
    view.block(Block(np.zeros(10 * RATE, np.float32), 0))
    view.events(events)
    view.block(Block(np.zeros(400, np.float32), 10 * RATE))
    view.close()
    with console.capture() as capture:
        console.print(view)
    return ESCAPE.sub("", capture.get()).splitlines()


EVENTS = [
    HeartSound(8.0, "S1", 0.9),
    HeartSound(8.3, "S2", 0.9),
    Vitals(8.0, 98.4, None, 0.9),
    window(9.0, (0.9,) * 6),
]


@pytest.mark.parametrize("width", [20, 60, 100, 200, 400])
@pytest.mark.parametrize("height", [6, 14, 24, 36, 60])
def test_frames_keep_their_width_and_height(width, height):
    lines = drawn(width, height, EVENTS)
    assert {cell_len(line) for line in lines} == {width}
    if height >= 24:
        assert len(lines) <= height - 1 or width < 60


def test_the_view_tells_the_rate_and_where_the_sounds_were():
    lines = drawn(100, 40, EVENTS)
    shown = "\n".join(lines)
    assert "♥ heart" in shown
    assert "98 beats per minute" in shown
    marks = next(line for line in lines if "S1 S2" in line)
    assert marks.split()[2:] == ["1", "2"]
    assert any("wheeze" in line and "█" in line for line in lines)


def test_a_lost_rate_is_a_dash_and_without_a_heart_there_is_no_line():
    lost = "\n".join(drawn(100, 40, [*EVENTS, Vitals(20.0, None, None, 0.0)]))
    assert "♡ heart" in lost
    assert "– beats per minute" in lost
    assert "beats per minute" not in "\n".join(drawn(100, 40, EVENTS[3:]))


def test_plain_lines_tell_the_rate():
    console = Console(file=io.StringIO(), width=100)
    view = PlainView(console)
    source = SimpleNamespace(name="mic", rate=RATE, lost_samples=0, lag_seconds=0.0)
    view.start(Run(source, "m 1", "heart", ("murmur",), {"murmur": 0.5}))
    view.events([window(0.0, (0.5,), "murmur"), EVENTS[2]])
    view.block(Block(np.zeros(RATE, np.float32), 0))
    assert "heart 98/min" in console.file.getvalue()
