"""Raw PCM from a pipe: `arecord -t raw | acula-edge listen -`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Final, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import AudioFileError, UsageError
from acula_edge.sources.base import Block, Pcm

SampleFormat = Literal["u8", "s16le", "s24le", "s32le", "f32le"]

_BYTES: Final[dict[str, int]] = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4}
_log = logging.getLogger(__name__)


class PcmSource:
    """One channel of interleaved raw PCM at `rate` Hz, in blocks as they arrive.

    Integers are scaled to [-1, 1); floats pass as they are. UsageError for a format, rate or
    channel that cannot be; AudioFileError where the pipe ends without one whole frame or breaks.
    Bytes of an unfinished frame at the end are logged as a warning. The caller owns `stream`.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        rate: int,
        channels: int = 1,
        channel: int = 0,
        sample_format: str = "s16le",
        block_seconds: float = 0.1,
        name: str = "stdin",
    ) -> None:
        _check(rate, channels, channel, sample_format)
        self.name = name
        self.rate = rate
        self._stream = stream
        self._channels = channels
        self._channel = channel
        self._format = sample_format
        self._frame_bytes = channels * _BYTES[sample_format]
        self._block_bytes = max(1, round(block_seconds * rate)) * self._frame_bytes

    def __enter__(self) -> Self:
        if self._stream.isatty():
            raise UsageError(f"{self.name} is a terminal; pipe raw {self._format} sound into it.")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    @property
    def lag_seconds(self) -> float:
        """Always 0: a pipe has no clock."""
        return 0.0

    @property
    def lost_samples(self) -> int:
        """Always 0: a pipe makes its writer wait."""
        return 0

    def blocks(self) -> Iterator[Block]:
        """Yield blocks of at most `block_seconds` until the pipe ends."""
        position = 0
        carry = b""
        while data := self._read(self._block_bytes - len(carry)):
            data = carry + data
            whole = len(data) - len(data) % self._frame_bytes
            carry = data[whole:]
            if whole:
                pcm = self._decode(data[:whole])
                yield Block(pcm, position)
                position += len(pcm)
        if not position:
            raise AudioFileError(f"{self.name} has no samples.")
        if carry:
            _log.warning("%s ended inside a frame: %d bytes dropped", self.name, len(carry))

    def _read(self, limit: int) -> bytes:
        """At least one byte, as soon as there is one; empty at the end."""
        read = getattr(self._stream, "read1", self._stream.read)
        try:
            data: bytes = read(limit)
        except (OSError, ValueError) as error:
            raise AudioFileError(f"{self.name} cannot be read: {error}.") from error
        return data

    def _decode(self, data: bytes) -> Pcm:
        """Whole frames to the chosen channel, float32 of shape (n,)."""
        if self._format == "s24le":
            wide = np.zeros((len(data) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            return self._pick(wide.view("<i4")[:, 0]) / np.float32(2**31)
        if self._format == "f32le":
            return self._pick(np.frombuffer(data, "<f4"))
        if self._format == "u8":
            return (self._pick(np.frombuffer(data, np.uint8)) - np.float32(128)) / np.float32(128)
        bits = 8 * _BYTES[self._format]
        integers = np.frombuffer(data, f"<i{bits // 8}")
        return self._pick(integers) / np.float32(2 ** (bits - 1))

    def _pick(self, interleaved: NDArray[np.generic]) -> Pcm:
        return interleaved[self._channel :: self._channels].astype(np.float32)


def _check(rate: int, channels: int, channel: int, sample_format: str) -> None:
    if sample_format not in get_args(SampleFormat):
        known = ", ".join(get_args(SampleFormat))
        raise UsageError(f"Unknown sample format '{sample_format}'; there are: {known}.")
    if rate <= 0:
        raise UsageError(f"The sample rate must be positive, not {rate}.")
    if not 0 <= channel < channels:
        raise UsageError(f"There is no channel {channel} among {channels}, numbered from 0.")
