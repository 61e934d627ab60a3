"""Sound on disk that survives a crash: a 24-bit WAV with a true header, and its exact FLAC."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from acula_edge.sources.base import Pcm

FULL_SCALE = 2**23
BYTES_PER_SAMPLE = 3
HEADER_BYTES = 44
PART_BYTES = 2**32 - 2**20
"""A WAV counts its bytes in 32 bits; sound beyond this goes to the next file."""
COPY_SAMPLES = 1 << 18


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


class WavWriter:
    """One 24-bit mono WAV, unbuffered, whose header is true after every append.

    Raises OSError; after it, `samples` says how many whole samples are in the file.
    """

    def __init__(self, path: Path, rate: int, *, limit: int = PART_BYTES) -> None:
        self.path = path
        self._rate = rate
        self._limit = limit
        self._bytes = 0
        self._file: BinaryIO = path.open("xb", buffering=0)
        self._write_header()

    @property
    def samples(self) -> int:
        """Whole samples written."""
        return self._bytes // BYTES_PER_SAMPLE

    @property
    def room(self) -> int:
        """Bytes of whole samples that still fit below the limit."""
        free = self._limit - HEADER_BYTES - self._bytes
        return free // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE

    def append(self, data: bytes) -> None:
        """Write samples as `pcm24` makes them."""
        before = self._file.tell()
        try:
            write_all(self._file, data)
        finally:
            self._bytes += self._file.tell() - before
            self._write_header()

    def sync(self) -> None:
        """Make sure that what was written outlives a power cut."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Drop a torn last sample, and end on an even byte as RIFF wants."""
        if self._file.closed:
            return
        try:
            whole = self.samples * BYTES_PER_SAMPLE
            self._file.truncate(HEADER_BYTES + whole + whole % 2)
            self.sync()
        finally:
            self._file.close()

    def _write_header(self) -> None:
        data = self.samples * BYTES_PER_SAMPLE
        header = struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            *(b"RIFF", HEADER_BYTES - 8 + data + data % 2, b"WAVE"),
            *(b"fmt ", 16, 1, 1, self._rate, self._rate * BYTES_PER_SAMPLE, BYTES_PER_SAMPLE, 24),
            *(b"data", data),
        )
        self._file.seek(0)
        self._file.write(header)
        self._file.seek(0, os.SEEK_END)


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write everything: an unbuffered file may take less at a time, as it does near a limit."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def to_flac(wav: Path) -> None:
    """Replace the WAV by a FLAC of the same samples; on any doubt the WAV stays.

    An empty WAV stays too. Raises OSError or `soundfile.SoundFileError`.
    """
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
        if not same_samples(wav, draft):
            raise soundfile.SoundFileError("the FLAC differs from the WAV")
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(wav.with_suffix(".flac"))
        wav.unlink()
    finally:
        draft.unlink(missing_ok=True)


def same_samples(one: Path, other: Path) -> bool:
    """Whether two mono files hold the same samples."""
    with soundfile.SoundFile(one) as left, soundfile.SoundFile(other) as right:
        if left.frames != right.frames:
            return False
        pairs = zip(
            left.blocks(COPY_SAMPLES, dtype="int32"),
            right.blocks(COPY_SAMPLES, dtype="int32"),
            strict=True,
        )
        return all(np.array_equal(a, b) for a, b in pairs)
