"""A session on disk that survives a crash: sound, events, parameters and the exam in one folder.

The sound is a 24-bit WAV whose header is kept true after every write, so that a killed process
leaves a file that opens; a clean close turns it into FLAC, compared sample for sample first.
"""

from __future__ import annotations

import errno
import json
import math
import os
import struct
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from acula_edge import __version__
from acula_edge.errors import RecordingError
from acula_edge.events import Event, Exam, to_json
from acula_edge.sources.base import Pcm

FULL_SCALE = 2**23
BYTES_PER_SAMPLE = 3
HEADER_BYTES = 44
SYNC_SECONDS = 0.5
PART_BYTES = 2**32 - 2**20
"""A WAV counts its bytes in 32 bits; sound beyond this goes to the next file."""
COPY_SAMPLES = 1 << 18


def json_line(event: Event | Exam, **extra: object) -> str:
    """The event as one line of strict JSON (NaN and infinities become null), without newline."""
    return json.dumps(_finite(to_json(event, **extra)), allow_nan=False, separators=(",", ":"))


def pcm24(pcm: Pcm) -> tuple[bytes, int]:
    """Little-endian 24-bit samples of float sound (n,), and how many did not fit into [-1, 1].

    NaN and infinities become 0; -1.0 is the lowest code and 1.0 the highest.
    """
    sound = np.asarray(pcm, dtype=np.float64)
    finite = np.isfinite(sound)
    sound = np.where(finite, sound, 0.0)
    bad = int(np.count_nonzero(~finite | (np.abs(sound) > 1.0)))
    codes = np.clip(np.rint(sound * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype("<i4")
    return codes.view(np.uint8).reshape(-1, 4)[:, :BYTES_PER_SAMPLE].tobytes(), bad


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
            self._parts = [_WavPart(self.path / "audio.wav", rate)]
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
                    _to_flac(part.path)
        except (OSError, soundfile.SoundFileError) as error:
            raise RecordingError(
                f"The recording in {self.path} could not be finished ({_reason(error)}); "
                "the sound written so far is kept as WAV."
            ) from error

    def _append(self, data: bytes) -> None:
        part = self._parts[-1]
        room = (self._part_bytes - HEADER_BYTES - part.bytes) // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE
        part.append(data[:room])
        if len(data) > room:
            part.close()
            number = len(self._parts) + 1
            self._parts.append(_WavPart(self.path / f"audio-{number}.wav", self.rate))
            self._append(data[room:])

    def _sync_when_due(self) -> None:
        now = time.monotonic()
        if now - self._synced >= SYNC_SECONDS:
            self._parts[-1].sync()
            self._lines.sync()
            self._synced = now

    def _failure(self, error: OSError) -> RecordingError:
        self.failed = True
        self.samples = sum(part.bytes // BYTES_PER_SAMPLE for part in self._parts)
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


class _WavPart:
    """One 24-bit mono WAV, unbuffered, whose header is true after every append."""

    def __init__(self, path: Path, rate: int) -> None:
        self.path = path
        self.bytes = 0
        self._rate = rate
        self._file: BinaryIO = path.open("xb", buffering=0)
        self._write_header()

    def append(self, data: bytes) -> None:
        before = self._file.tell()
        try:
            _write_all(self._file, data)
        finally:
            self.bytes += self._file.tell() - before
            self._write_header()

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Drop a torn last sample, and end on an even byte as RIFF wants."""
        if self._file.closed:
            return
        try:
            whole = self.bytes // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE
            self._file.truncate(HEADER_BYTES + whole + whole % 2)
            self.sync()
        finally:
            self._file.close()

    def _write_header(self) -> None:
        data = self.bytes // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE
        header = struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            *(b"RIFF", HEADER_BYTES - 8 + data + data % 2, b"WAVE"),
            *(b"fmt ", 16, 1, 1, self._rate, self._rate * BYTES_PER_SAMPLE, BYTES_PER_SAMPLE, 24),
            *(b"data", data),
        )
        self._file.seek(0)
        self._file.write(header)
        self._file.seek(0, os.SEEK_END)


class _Lines:
    """An append-only text file of whole lines."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("xb", buffering=0)

    def append(self, line: str) -> None:
        before = self._file.tell()
        try:
            _write_all(self._file, line.encode() + b"\n")
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


def _write_all(file: BinaryIO, data: bytes) -> None:
    """Write everything: an unbuffered file may take less at a time, as it does near a limit."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


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


def _to_flac(wav: Path) -> None:
    """Replace the WAV by a FLAC of the same samples; on any doubt the WAV stays."""
    draft = wav.with_suffix(".flac.part")
    if soundfile.info(wav).frames == 0:
        return
    try:
        with (
            soundfile.SoundFile(wav) as old,
            soundfile.SoundFile(draft, "w", old.samplerate, 1, "PCM_24", format="FLAC") as new,
        ):
            for block in old.blocks(COPY_SAMPLES, dtype="int32"):
                new.write(block)
        if not _same_samples(wav, draft):
            raise soundfile.SoundFileError("the FLAC differs from the WAV")
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(wav.with_suffix(".flac"))
        wav.unlink()
    finally:
        draft.unlink(missing_ok=True)


def _same_samples(one: Path, other: Path) -> bool:
    with soundfile.SoundFile(one) as left, soundfile.SoundFile(other) as right:
        if left.frames != right.frames:
            return False
        pairs = zip(
            left.blocks(COPY_SAMPLES, dtype="int32"),
            right.blocks(COPY_SAMPLES, dtype="int32"),
            strict=True,
        )
        return all(np.array_equal(a, b) for a, b in pairs)


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
