"""Recordings as a source: streamed, never loaded whole, and honest about where they break off."""

from __future__ import annotations

import os
import stat
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from acula_edge.errors import AudioFileError
from acula_edge.sources.base import Block, Pcm

# Writers that cannot seek back, such as ffmpeg and sox in a pipe, leave a length near the maximum.
_UNKNOWN_LENGTH: Final = 0x7FFF0000
# Samples of all channels: a damaged header may claim any rate.
_LARGEST_BUFFER: Final = 2**20


class FileSource:
    """One channel of a WAV, FLAC, OGG or MP3 file at its own rate; `rate` is known inside `with`.

    `realtime` paces the blocks as a microphone would, each at the moment its last sample is due.
    Samples are float32 as decoded; NaN and infinity pass through. AudioFileError where the file is
    missing, unreadable, empty or not audio, and where it breaks off: what decodes is given out
    first.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        channel: int = 0,
        realtime: bool = False,
        block_seconds: float = 0.1,
    ) -> None:
        self.path = Path(path)
        self.name = str(path)
        self.rate = 0
        self._channel = channel
        self._realtime = realtime
        self._block_seconds = block_seconds
        self._closing = threading.Event()
        self._file: Any = None
        self._position = 0
        self._started_at: float | None = None

    def __enter__(self) -> Self:
        self._expected = _declared_frames(self.path)
        self._file = _open(self.path)
        try:
            self._check()
        except AudioFileError:
            self.close()
            raise
        self.rate = int(self._file.samplerate)
        self._expected = max(self._expected, int(self._file.frames))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End `blocks`, also while it waits; harmless when repeated."""
        self._closing.set()
        if self._file is not None:
            self._file.close()

    @property
    def lag_seconds(self) -> float:
        """How far a real-time reader is behind; 0 for files read as fast as possible."""
        if self._started_at is None or not self._realtime:
            return 0.0
        return max(0.0, time.monotonic() - self._started_at - self._position / self.rate)

    @property
    def lost_samples(self) -> int:
        """Always 0: a file waits for its reader."""
        return 0

    def blocks(self) -> Iterator[Block]:
        """Yield blocks of `block_seconds`, the last shorter; then AudioFileError if truncated."""
        channels = int(self._file.channels)
        size = min(round(self._block_seconds * self.rate), _LARGEST_BUFFER // channels)
        buffer = np.empty((max(1, size), channels), np.float32)
        self._started_at = time.monotonic()
        broken = False
        while not broken:
            pcm, broken = self._read(buffer)
            if not len(pcm) or not self._wait_for(self._position + len(pcm)):
                break
            first = self._position
            self._position += len(pcm)
            yield Block(pcm, first)
        if broken or (self._position < self._expected and not self._closing.is_set()):
            seconds = self._position / self.rate
            raise AudioFileError(f"{self.path} is truncated after {seconds:.2f} s.")

    def _read(self, buffer: NDArray[np.float32]) -> tuple[Pcm, bool]:
        """The next samples of the channel, shape (n,), and whether decoding broke after them."""
        if self._closing.is_set():
            return np.empty(0, np.float32), False
        try:
            count, broken = len(self._file.read(out=buffer)), False
        except soundfile.LibsndfileError:
            # What was decoded before the error is in the buffer, and only `tell` knows how much.
            count, broken = self._file.tell() - self._position, True
        return buffer[: max(0, count), self._channel].copy(), broken

    def _wait_for(self, sample: int) -> bool:
        """Wait until `sample` is due; False once closed."""
        if not self._realtime or self._started_at is None:
            return not self._closing.is_set()
        due = self._started_at + sample / self.rate
        return not self._closing.wait(max(0.0, due - time.monotonic()))

    def _check(self) -> None:
        if self._file.frames == 0:
            raise AudioFileError(f"{self.path} has no samples.")
        if not 0 <= self._channel < self._file.channels:
            raise AudioFileError(
                f"{self.path} has {self._file.channels} channels, numbered from 0; "
                f"there is no channel {self._channel}."
            )


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A file that soundfile does not seek in after every read, which garbles MP3."""

    def seekable(self) -> bool:
        return False


def _open(path: Path) -> Any:
    try:
        return _Forward(path)
    except (soundfile.SoundFileError, TypeError) as error:
        why = getattr(error, "error_string", str(error)).rstrip(".")
        raise AudioFileError(f"{path} cannot be read as audio: {why}.") from error


def _declared_frames(path: Path) -> int:
    """The frames that a WAV header promises, which libsndfile quietly corrects; 0 where unknown.

    AudioFileError where there is no readable, ordinary, non-empty file.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise AudioFileError(f"{path} is a directory, not a recording.")
        if not stat.S_ISREG(mode):
            raise AudioFileError(f"{path} is not an ordinary file; pipe raw PCM in with '-'.")
        with path.open("rb") as file:
            if not file.read(1):
                raise AudioFileError(f"{path} is empty.")
            file.seek(0)
            return _wav_frames(file)
    except FileNotFoundError as error:
        raise AudioFileError(f"{path} does not exist.") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise AudioFileError(f"{path} cannot be opened: {why}.") from error


def _wav_frames(file: BinaryIO) -> int:
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return 0
    frame_bytes = 0
    while len(header := file.read(8)) == 8:
        name, size = header[:4], struct.unpack("<I", header[4:])[0]
        if name == b"data":
            return size // frame_bytes if frame_bytes and size < _UNKNOWN_LENGTH else 0
        body_end = file.tell() + size + size % 2
        if name == b"fmt ":
            frame_bytes = _frame_bytes(file.read(min(size, 16)))
        file.seek(body_end)
    return 0


def _frame_bytes(fmt: bytes) -> int:
    """Bytes per frame of PCM or float; 0 for codecs, whose frames have no fixed size."""
    if len(fmt) < 16:
        return 0
    tag, align = struct.unpack("<H10xH2x", fmt)
    return align if tag in (1, 3, 0xFFFE) else 0
