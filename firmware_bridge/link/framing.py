"""Frames: a packet in COBS, ended by one zero byte.

COBS: Cheshire and Baker, "Consistent overhead byte stuffing", IEEE/ACM Transactions on Networking
7(2), 1999: no byte of a frame is zero, so that a receiver finds the next frame after any damage.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, Final

from acula_edge.errors import MissingDependencyError
from firmware_bridge.link.packet import MAX_PACKET, Drop

DELIMITER: Final = b"\0"
# One code byte per 254 bytes.
MAX_FRAME: Final = MAX_PACKET + MAX_PACKET // 254 + 1


@cache
def _cobs() -> Any:
    try:
        return import_module("cobs.cobs")
    except ImportError as error:
        raise MissingDependencyError(
            "Links need the cobs package: pip install 'acula-edge[firmware]'"
        ) from error


def frame(packet: bytes) -> bytes:
    """The frame of a packet's bytes, with its delimiter."""
    encoded: bytes = _cobs().encode(packet)
    return encoded + DELIMITER


class Deframer:
    """Packets' bytes from a stream of frames; holds at most one longest frame."""

    def __init__(self) -> None:
        self._rest = b""
        self._cobs = _cobs()

    def push(self, data: bytes) -> list[bytes | Drop]:
        """What `data` completes, in order: the bytes of a packet, or that a frame was broken."""
        *whole, rest = (self._rest + data).split(DELIMITER)
        # One byte too many is kept of what is too long already, so that it is still known to be.
        self._rest = rest[: MAX_FRAME + 1]
        return [self._open(piece) for piece in whole if piece]

    def end(self) -> list[bytes | Drop]:
        """The end of a datagram, beyond which no frame goes on."""
        broken, self._rest = bool(self._rest), b""
        return [Drop.FRAMING] if broken else []

    def _open(self, piece: bytes) -> bytes | Drop:
        if len(piece) > MAX_FRAME:
            return Drop.FRAMING
        try:
            packet: bytes = self._cobs.decode(piece)
        except self._cobs.DecodeError:
            return Drop.FRAMING
        return packet
