from __future__ import annotations

import io
import logging
import os
import threading
from typing import BinaryIO, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acula_edge.errors import AudioFileError, UsageError
from acula_edge.sources.stdin import PcmSource


class Dribble(io.RawIOBase):
    """A pipe that gives out a few bytes at a time."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._rest = data
        self._sizes = iter(sizes)

    def readable(self) -> bool:
        return True

    def read(self, limit: int = -1) -> bytes:
        size = min(limit, next(self._sizes, limit))
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def read(data: bytes, sizes: list[int] | None = None, **options: object) -> np.ndarray:
    stream = cast(BinaryIO, Dribble(data, sizes or []))
    with PcmSource(stream, rate=4000, **options) as source:
        blocks = list(source.blocks())
    ends = np.cumsum([len(block.pcm) for block in blocks])
    assert [block.first_sample for block in blocks] == [0, *ends[:-1]]
    assert all(len(block.pcm) <= 400 for block in blocks)
    return np.concatenate([block.pcm for block in blocks])


@pytest.mark.parametrize(
    ("sample_format", "data", "expected"),
    [
        ("u8", bytes([0, 128, 192]), [-1, 0, 0.5]),
        ("s16le", np.array([-32768, 0, 16384], "<i2").tobytes(), [-1, 0, 0.5]),
        ("s24le", b"\x00\x00\x80" + b"\x01\x00\x00" + b"\x00\x00\x40", [-1, 2**-23, 0.5]),
        ("s32le", np.array([-(2**31), 0, 2**30], "<i4").tobytes(), [-1, 0, 0.5]),
        ("f32le", np.array([-2.5, np.nan, 0.1], "<f4").tobytes(), [-2.5, np.nan, 0.1]),
    ],
)
def test_formats(sample_format: str, data: bytes, expected: list[float]) -> None:
    pcm = read(data, sample_format=sample_format)
    assert pcm.dtype == np.float32
    assert np.array_equal(pcm, np.array(expected, np.float32), equal_nan=True)


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(1, 700), max_size=200))
def test_short_reads_change_nothing(sizes: list[int]) -> None:
    frames = np.random.default_rng(3).integers(-(2**15), 2**15, (3000, 3)).astype("<i2")
    pcm = read(frames.tobytes(), sizes, channels=3, channel=1)
    assert np.array_equal(pcm * 32768, frames[:, 1])


def test_an_unfinished_frame_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert len(read(bytes(43), channels=2)) == 10
    assert "3 bytes dropped" in caplog.text


def test_a_pipe_hands_out_what_it_has() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream, PcmSource(stream, rate=4000) as source:
        blocks = source.blocks()
        os.write(writer, bytes(20))
        assert len(next(blocks).pcm) == 10
        threading.Timer(0.05, os.close, [writer]).start()
        assert list(blocks) == []
        assert (source.lag_seconds, source.lost_samples) == (0.0, 0)


def test_a_pipe_without_a_frame_is_an_error() -> None:
    for data in (b"", b"x"):
        with pytest.raises(AudioFileError, match=r"^stdin has no samples\.$"):
            read(data)


def test_a_terminal_is_refused() -> None:
    primary, secondary = os.openpty()
    try:
        with (
            os.fdopen(secondary, "rb") as stream,
            pytest.raises(UsageError, match="is a terminal"),
            PcmSource(stream, rate=4000),
        ):
            pass
    finally:
        os.close(primary)


@pytest.mark.parametrize(
    "options",
    [{"sample_format": "s12be"}, {"rate": 0}, {"channel": 1}, {"channel": -1}, {"channels": 0}],
)
def test_what_cannot_be_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        PcmSource(io.BytesIO(), **({"rate": 4000} | options))
