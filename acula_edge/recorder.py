"""A session on disk that survives a crash: sound, events, parameters and the exam in one folder.

The sound is a 24-bit WAV whose header is kept true after every write, so that a killed process
leaves a file that opens; a clean close turns it into FLAC, compared sample for sample first.
"""

from __future__ import annotations

import errno
import json
import math
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import soundfile

from acula_edge import __version__
from acula_edge.errors import RecordingError
from acula_edge.events import Event, Exam, to_json
from acula_edge.sources.base import Pcm
from acula_edge.wav import PART_BYTES, WavWriter, pcm24, to_flac, write_all

SYNC_SECONDS = 0.5


def json_line(event: Event | Exam, **extra: object) -> str:
    """The event as one line of strict JSON (NaN and infinities become null), without newline."""
    return json.dumps(_finite(to_json(event, **extra)), allow_nan=False, separators=(",", ":"))


class Recorder:
    """Writes one session folder. Not thread-safe.

    `write` and `event` raise `RecordingError` once when the disk is full or fails; from then on
    they do nothing, and what was written stays readable.
    """

    def __init__(
        self,
        folder: Path,
        *,
        rate: int,
        parameters: Mapping[str, object],
        part_bytes: int = PART_BYTES,
    ) -> None:
        self.rate = rate
        self.samples = 0
        self.clamped_samples = 0
        self.failed = False
        self._part_bytes = part_bytes
        self._closed = False
        started = datetime.now(UTC)
        self._parameters = _about(started) | {"rate": rate, **parameters}
        try:
            self.path = _new_folder(folder, started.strftime("%Y%m%dT%H%M%SZ"))
            _write_json(self.path / "parameters.json", self._parameters)
            self._lines = _Lines(self.path / "events.jsonl")
            self._parts = [self._new_part("audio.wav")]
        except OSError as error:
            raise RecordingError(
                f"The recording cannot be started in {folder}: {_reason(error)}."
            ) from error
        self._synced = time.monotonic()

    def write(self, pcm: Pcm) -> None:
        """Append sound of shape (n,) at the recorder's rate."""
        if self.failed or self._closed:
            return
        data, bad = pcm24(pcm)
        try:
            self._append(data)
            self._sync_when_due()
        except OSError as error:
            raise self._failure(error) from error
        self.samples += len(pcm)
        self.clamped_samples += bad

    def event(self, event: Event) -> None:
        """Append one event to `events.jsonl`."""
        if self.failed or self._closed:
            return
        try:
            self._lines.append(json_line(event))
            self._sync_when_due()
        except OSError as error:
            raise self._failure(error) from error

    def close(self, exam: Exam | None = None) -> None:
        """Finish the files; with an exam (a clean end) also `exam.json` and the FLAC.

        Without an exam, or after a failure, the WAV is left as it is. Raises `RecordingError` where
        this does not succeed. Calling it again does nothing.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._lines.close()
            for part in self._parts:
                part.close()
            self._write_ends(exam)
            if exam is not None and not self.failed:
                for part in self._parts:
                    to_flac(part.path)
        except (OSError, soundfile.SoundFileError) as error:
            raise RecordingError(
                f"The recording in {self.path} could not be finished ({_reason(error)}); "
                "the sound written so far is kept as WAV."
            ) from error

    def _append(self, data: bytes) -> None:
        part, room = self._parts[-1], self._parts[-1].room
        part.append(data[:room])
        if len(data) > room:
            part.close()
            self._parts.append(self._new_part(f"audio-{len(self._parts) + 1}.wav"))
            self._append(data[room:])

    def _new_part(self, name: str) -> WavWriter:
        return WavWriter(self.path / name, self.rate, limit=self._part_bytes)

    def _sync_when_due(self) -> None:
        now = time.monotonic()
        if now - self._synced >= SYNC_SECONDS:
            self._parts[-1].sync()
            self._lines.sync()
            self._synced = now

    def _failure(self, error: OSError) -> RecordingError:
        self.failed = True
        self.samples = sum(part.samples for part in self._parts)
        return RecordingError(
            f"The recording stopped because {_reason(error)}; "
            f"the first {self.samples / self.rate:.1f} s are kept in {self.path}."
        )

    def _write_ends(self, exam: Exam | None) -> None:
        ends = {"recorded_samples": self.samples, "clamped_samples": self.clamped_samples}
        try:
            if exam is not None:
                record = _finite(to_json(exam, clamped_samples=self.clamped_samples))
                _write_json(self.path / "exam.json", record)
            _write_json(self.path / "parameters.json", self._parameters | ends)
        except OSError:
            if not self.failed:
                raise


class _Lines:
    """An append-only text file of whole lines."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("xb", buffering=0)

    def append(self, line: str) -> None:
        before = self._file.tell()
        try:
            write_all(self._file, line.encode() + b"\n")
        except OSError:
            self._file.truncate(before)
            raise

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        try:
            self.sync()
        finally:
            self._file.close()


def _about(started: datetime) -> dict[str, object]:
    return {
        "toolkit": "acula-edge",
        "toolkit_version": __version__,
        "started": started.isoformat(timespec="milliseconds"),
    }


def _new_folder(folder: Path, stamp: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while (path := folder / f"{stamp}-{number}").exists():
        number += 1
    path.mkdir()
    return path


def _write_json(path: Path, record: Mapping[str, object]) -> None:
    draft = path.with_suffix(".json.part")
    try:
        with draft.open("w", encoding="utf-8") as file:
            json.dump(_finite(record), file, indent=2, default=str, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    text = error.strerror if isinstance(error, OSError) else None
    return (text or str(error)).rstrip(".").lower()
