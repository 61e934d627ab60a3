"""Bytes of a link that were captured in a file, as fast as they are read."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from acula_edge.errors import DeviceError
from firmware_bridge.link.transports.base import CHUNK_BYTES


class Replay:
    """A file of frames, such as `cat /dev/ttyACM0 > FILE` or `firmware simulate --out FILE`."""

    datagrams = False
    live = False
    reopens = False

    def __init__(self, text: str) -> None:
        self.name = f"replay:{text}"
        self._path = Path(text)
        self._file: BinaryIO | None = None

    def open(self) -> None:
        """Open the file."""
        try:
            self._file = self._path.open("rb")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise DeviceError(f"{self.name} cannot be opened: {why}.") from error

    def read(self) -> bytes | None:
        """The next bytes."""
        try:
            return (self._file.read(CHUNK_BYTES) if self._file else b"") or None
        except (OSError, ValueError) as error:
            raise DeviceError(f"{self.name} cannot be read: {error}.") from error

    def write(self, data: bytes) -> None:
        """A file hears nothing."""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
