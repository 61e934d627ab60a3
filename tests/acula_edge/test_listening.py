"""The loop: order, duration, faults, interruption, and a recording that fails beside it."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import jsonschema
import numpy as np
import pytest
import soundfile

from acula_edge.demo import demos
from acula_edge.errors import AudioFileError, RecordingError
from acula_edge.events import (
    Decision,
    Detection,
    Event,
    Exam,
    Fault,
    FaultKind,
    FindingResult,
    QualityState,
    Window,
)
from acula_edge.listening import JsonSink, Outcome, RecordSink, Run, Sink, listen
from acula_edge.recorder import Recorder
from acula_edge.session import Session
from acula_edge.sources.base import Block
from acula_edge.sources.files import FileSource

RATE = 4000


class FakeSource:
    name = "fake"
    rate = RATE
    lag_seconds = 0.0
    lost_samples = 0

    def __init__(self, items: Sequence[Block | Fault], *, endless: bool = False) -> None:
        self.items = items
        self.endless = endless

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None: ...

    def blocks(self) -> Iterator[Block | Fault]:
        yield from self.items
        while self.endless:
            time.sleep(10)


class FakeSession:
    site = "heart"
    findings = ("murmur",)
    bundle = SimpleNamespace(
        manifest=SimpleNamespace(
            name="heart-lung",
            version="1",
            rate=RATE,
            findings=(SimpleNamespace(name="murmur", present=0.5, enter=0.6, leave=0.4),),
        ),
        digest="abc",
    )

    def __init__(self) -> None:
        self.pushed: list[tuple[int, int]] = []
        self.flushed = self.finished = False

    def push(self, pcm: Any, lost: int = 0) -> list[Event]:
        self.pushed.append((len(pcm), lost))
        end = sum(n + gap for n, gap in self.pushed) / RATE
        return [Window(end - 0.1, end, {"murmur": 0.2}, (), QualityState.OK)]

    def flush(self) -> list[Event]:
        self.flushed = True
        return [Detection(9.0, "murmur", True, 0.7)]

    def finish(self) -> Exam:
        assert self.flushed
        self.finished = True
        result = {"murmur": FindingResult(0.2, Decision.ABSENT)}
        return Exam(result, False, (), "heart-lung 1", "", "heart", 1.0, 1.0, 0.0, 0.0)


class Spy(Sink):
    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self, run: Run) -> None:
        self.calls.append(f"start {run.model} {run.thresholds}")

    def block(self, block: Block) -> None:
        self.calls.append(f"block {len(block.pcm)}")

    def events(self, events: Sequence[Event]) -> None:
        self.calls.append(f"events {type(events[0]).__name__}")

    def problem(self, text: str) -> None:
        self.calls.append(f"problem {text}")

    def finish(self, exam: Exam) -> None:
        self.calls.append("finish")

    def close(self) -> None:
        self.calls.append("close")


def block(first: int, n: int = 400, lost: int = 0) -> Block:
    return Block(np.full(n, 0.25, dtype=np.float32), first, lost)


def play(
    items: Sequence[Block | Fault],
    sinks: Sequence[Sink],
    *,
    duration: float | None = None,
    endless: bool = False,
) -> tuple[Outcome, FakeSession]:
    source, session = FakeSource(items, endless=endless), FakeSession()
    return listen(source, session, sinks, duration=duration), session


def test_sinks_hear_sound_faults_and_the_exam_in_order() -> None:
    spy = Spy()
    outcome, session = play([block(0), Fault(0.1, FaultKind.OVERFLOW), block(600, lost=200)], [spy])
    assert session.pushed == [(400, 0), (400, 200)]
    assert outcome.exam.findings["murmur"].decision is Decision.ABSENT
    assert spy.calls == [
        "start heart-lung 1 {'murmur': 0.6}",
        *("block 400", "events Window", "events Fault", "block 400", "events Window"),
        *("events Detection", "finish", "close"),
    ]


@pytest.mark.parametrize(
    ("duration", "pushed"),
    [
        (0.0, []),
        (0.15, [(400, 0), (0, 200)]),
        (0.175, [(400, 0), (100, 200)]),
        (0.25, [(400, 0), (400, 200)]),
        (9.0, [(400, 0), (400, 200), (400, 0)]),
    ],
)
def test_duration_is_audio_time_to_the_sample(
    duration: float, pushed: list[tuple[int, int]]
) -> None:
    _, session = play([block(0), block(600, lost=200), block(1000)], [], duration=duration)
    assert session.pushed == pushed


def test_json_is_one_event_per_line_and_ends_with_the_exam() -> None:
    out = io.StringIO()
    play([block(0), Fault(0.1, FaultKind.GAP, 0.5), block(400)], [JsonSink(out)])
    types = [json.loads(line)["type"] for line in out.getvalue().splitlines()]
    assert types == ["window", "fault", "window", "detection", "exam"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_waiting_ends_with_the_exam(number: signal.Signals) -> None:
    class Ask(Spy):
        def events(self, events: Sequence[Event]) -> None:
            super().events(events)
            if isinstance(events[0], Detection):  # flushed: the loop has ended
                return
            signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), number))
            signal.setitimer(signal.ITIMER_REAL, 0.1)

    spy = Ask()
    before = signal.getsignal(number)
    _, session = play([block(0)], [spy], endless=True)
    assert session.finished
    assert spy.calls[-3:] == ["events Detection", "finish", "close"]
    assert signal.getsignal(number) is before


def test_a_signal_amid_work_lets_the_block_finish() -> None:
    class Ask(Spy):
        def block(self, block: Block) -> None:
            super().block(block)
            signal.raise_signal(signal.SIGINT)

    spy = Ask()
    play([block(0), block(400)], [spy])
    assert spy.calls[1:-2] == ["block 400", "events Window", "events Detection"]
    assert spy.calls[-2:] == ["finish", "close"]


def test_a_second_interrupt_gives_up_but_closes_the_sinks() -> None:
    class Ask(Spy):
        def block(self, block: Block) -> None:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    spy = Ask()
    with pytest.raises(KeyboardInterrupt):
        play([block(0)], [spy])
    assert spy.calls[-1] == "close"


def test_a_failing_recording_is_dropped_and_the_run_goes_on() -> None:
    class Full(Spy):
        def block(self, block: Block) -> None:
            super().block(block)
            raise RecordingError("disk full")

    full, spy = Full(), Spy()
    outcome, session = play([block(0), block(400)], [full, spy])
    assert len(session.pushed) == 2
    assert full.calls[1:] == ["block 400", "close"]
    assert "problem disk full" in spy.calls
    assert [str(problem) for problem in outcome.problems] == ["disk full"]


def test_a_source_that_breaks_off_still_gives_the_exam() -> None:
    class Truncated(FakeSource):
        def blocks(self) -> Iterator[Block | Fault]:
            yield from self.items
            raise AudioFileError("truncated")

    spy, session = Spy(), FakeSession()
    outcome = listen(Truncated([block(0)]), session, [spy])
    assert session.finished
    assert [str(problem) for problem in outcome.problems] == ["truncated"]
    assert spy.calls[-4:] == ["events Detection", "problem truncated", "finish", "close"]


def test_an_error_of_the_session_still_closes_the_recording(tmp_path: Path) -> None:
    class Broken(FakeSession):
        def push(self, pcm: Any, lost: int = 0) -> list[Event]:
            raise RuntimeError("bug")

    recorder = Recorder(tmp_path, rate=RATE, parameters={})
    source, session = FakeSource([block(0)]), Broken()
    with pytest.raises(RuntimeError):
        listen(source, session, [RecordSink(recorder)])
    assert soundfile.info(recorder.path / "audio.wav").frames == 400


def test_a_recorded_run_holds_sound_received_and_all_events(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, rate=RATE, parameters={})
    fault = Fault(0.1, FaultKind.GAP, 0.05)
    play([block(0), fault, block(600, lost=200)], [RecordSink(recorder)])
    assert soundfile.info(recorder.path / "audio.flac").frames == 800
    lines = (recorder.path / "events.jsonl").read_text().splitlines()
    types = [json.loads(line)["type"] for line in lines]
    assert types == ["window", "fault", "window", "detection"]
    assert (recorder.path / "exam.json").exists()


def test_the_lines_of_a_real_session_match_the_published_schema(tmp_path: Path) -> None:
    schema = json.loads(files("acula_edge").joinpath("schemas/event.schema.json").read_text())
    out = io.StringIO()
    with (
        FileSource(demos()[0].path) as source,
        Session(source_rate=source.rate) as session,
    ):
        recorder = Recorder(tmp_path, rate=source.rate, parameters={})
        listen(source, session, [JsonSink(out), RecordSink(recorder)], duration=4.0)
    lines = out.getvalue().splitlines()
    assert (recorder.path / "events.jsonl").read_text().splitlines() == lines[:-1]
    for text in (*lines, (recorder.path / "exam.json").read_text()):
        jsonschema.Draft202012Validator(schema).validate(json.loads(text))
