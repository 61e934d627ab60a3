"""The listening loop: blocks from a source through a session into sinks, until an exam comes out.

with open_source(None) as source, Session(source_rate=source.rate) as session:
    exam = listen(source, session, [JsonSink(sys.stdout)], duration=30).exam
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from acula_edge.errors import AculaError, RecordingError
from acula_edge.events import Event, Exam, Fault
from acula_edge.recorder import Recorder, json_line
from acula_edge.sources.base import Block, Pcm, Source


class Listener(Protocol):
    """What the loop needs of a `Session`."""

    @property
    def findings(self) -> tuple[str, ...]:
        """Names this session scores."""
        ...

    @property
    def site(self) -> str | None:
        """Where the session listens; None is everywhere."""
        ...

    @property
    def bundle(self) -> Any:
        """The model, with its manifest."""
        ...

    def push(self, pcm: Pcm, lost: int = 0) -> list[Event]:
        """Feed sound (n,) at the source's rate, after `lost` missed samples."""
        ...

    def flush(self) -> list[Event]:
        """End the sound, and say what is still owed."""
        ...

    def finish(self) -> Exam:
        """End the session."""
        ...


@dataclass(frozen=True)
class Run:
    """What sinks may know of a run. `thresholds` are the probabilities that turn a finding on."""

    source: Source
    model: str
    site: str
    findings: tuple[str, ...]
    thresholds: Mapping[str, float]

    @classmethod
    def of(cls, source: Source, session: Listener) -> Run:
        """The run of a `Session` on an open source."""
        manifest = session.bundle.manifest
        return cls(
            source=source,
            model=f"{manifest.name} {manifest.version}",
            site=session.site or "heart and lung",
            findings=tuple(session.findings),
            thresholds={item.name: float(item.enter) for item in manifest.findings},
        )


class Sink:
    """Where a run goes: override what matters to the sink. All calls come from one thread."""

    def start(self, run: Run) -> None:
        """Before the first block."""

    def block(self, block: Block) -> None:
        """Sound as it arrived, before its events."""

    def events(self, events: Sequence[Event]) -> None:
        """What the session or the source said, in order."""

    def problem(self, text: str) -> None:
        """Something else than the sound went wrong, such as the recording; the run goes on."""

    def finish(self, exam: Exam) -> None:
        """The run ended with an exam."""

    def close(self) -> None:
        """Always the last call, with or without an exam."""


class JsonSink(Sink):
    """One event per line, the exam last; flushed at once. Problems go to `errors`, if given."""

    def __init__(self, out: TextIO, errors: TextIO | None = None) -> None:
        self._out = out
        self._errors = errors

    def problem(self, text: str) -> None:
        """Tell it beside the events."""
        if self._errors is not None:
            print(text, file=self._errors, flush=True)

    def events(self, events: Sequence[Event]) -> None:
        """Write the events."""
        for event in events:
            self._out.write(json_line(event) + "\n")
        self._out.flush()

    def finish(self, exam: Exam) -> None:
        """Write the exam."""
        self._out.write(json_line(exam) + "\n")
        self._out.flush()


class RecordSink(Sink):
    """Feeds a `Recorder`; raises `RecordingError` where it cannot."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def block(self, block: Block) -> None:
        """Write the sound; lost samples are not invented."""
        self._recorder.write(block.pcm)

    def events(self, events: Sequence[Event]) -> None:
        """Write the events."""
        for event in events:
            self._recorder.event(event)

    def finish(self, exam: Exam) -> None:
        """Finish the files, with the exam."""
        self._recorder.close(exam)

    def close(self) -> None:
        """Finish the files of a run that ended without an exam."""
        self._recorder.close()


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exam, and what went wrong beside it."""

    exam: Exam
    problems: tuple[AculaError, ...] = ()


def listen(
    source: Source,
    session: Listener,
    sinks: Sequence[Sink],
    *,
    duration: float | None = None,
) -> Outcome:
    """Listen until the open source ends, `duration` seconds of audio passed, or Ctrl-C or SIGTERM.

    Each of these ends with an exam, and so does an `AculaError` of the source, such as a truncated
    file; a second Ctrl-C raises `KeyboardInterrupt`. A sink that raises `RecordingError` is dropped
    and the others are told; any other error ends the run. Every sink is closed in any case.
    """
    fan, run = _Fan(sinks), Run.of(source, session)
    limit = None if duration is None else max(0, round(duration * source.rate))
    try:
        fan.all(lambda sink: sink.start(run))
        with _interruptible() as stop:
            for item in stop.guard(_until(source.blocks(), limit)):
                _step(item, session, fan)
            fan.events(session.flush())
            if stop.error is not None:
                fan.note(stop.error)
            exam = session.finish()
            fan.all(lambda sink: sink.finish(exam))
        return Outcome(exam, tuple(fan.problems))
    finally:
        fan.close()


def _step(item: Block | Fault, session: Listener, fan: _Fan) -> None:
    if isinstance(item, Fault):
        fan.events([item])
        return
    fan.all(lambda sink: sink.block(item))
    fan.events(session.push(item.pcm, item.lost))


def _until(items: Iterator[Block | Fault], limit: int | None) -> Iterator[Block | Fault]:
    """Items up to `limit` samples of audio time (lost samples count), the last block cut to fit."""
    left = limit
    if left == 0:
        return
    for item in items:
        if left is None or isinstance(item, Fault):
            yield item
            continue
        lost = min(item.lost, left)
        pcm = item.pcm[: left - lost]
        left -= lost + len(pcm)
        yield Block(pcm, item.first_sample, lost)
        if left == 0:
            return


class _Fan:
    """Calls every sink, and drops one whose recording failed."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = list(sinks)
        self.problems: list[AculaError] = []

    def all(self, call: Callable[[Sink], None]) -> None:
        for sink in list(self._sinks):
            try:
                call(sink)
            except RecordingError as error:
                self._drop(sink, error)

    def events(self, events: Sequence[Event]) -> None:
        if events:
            self.all(lambda sink: sink.events(events))

    def close(self) -> None:
        while self._sinks:
            sink = self._sinks.pop()
            try:
                sink.close()
            except RecordingError as error:
                self.problems.append(error)

    def _drop(self, sink: Sink, error: RecordingError) -> None:
        self._sinks.remove(sink)
        with suppress(RecordingError):
            sink.close()
        self.note(error)

    def note(self, error: AculaError) -> None:
        self.problems.append(error)
        self.all(lambda sink: sink.problem(str(error)))


class _Stop:
    """Turns the first Ctrl-C or SIGTERM into the end of the loop, never amid a session's work.

    While the loop waits for sound the wait is interrupted; while it works the flag is seen after.
    """

    def __init__(self) -> None:
        self.error: AculaError | None = None
        self._asked = False
        self._waiting = False

    def __call__(self, *_signal: object) -> None:
        again, self._asked = self._asked, True
        if self._waiting or again:
            raise KeyboardInterrupt

    def guard(self, items: Iterator[Block | Fault]) -> Iterator[Block | Fault]:
        while not self._asked:
            try:
                self._waiting = True
                item = next(items, None)
                self._waiting = False
            except KeyboardInterrupt:
                self._asked, self._waiting = True, False
                return
            except AculaError as error:
                self.error, self._waiting = error, False
                return
            if item is None:
                return
            yield item


@contextmanager
def _interruptible() -> Iterator[_Stop]:
    """Install the stop for this run where that is possible: signals belong to the main thread."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, stop) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
