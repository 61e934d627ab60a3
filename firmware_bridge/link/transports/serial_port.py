"""Serial ports and USB CDC, by pyserial."""

from __future__ import annotations

import contextlib
import errno
from importlib import import_module
from typing import Any, Final

from acula_edge.errors import DeviceError, MissingDependencyError, UsageError
from firmware_bridge.link.transports.base import CHUNK_BYTES, POLL_SECONDS

# Carries 16-bit sound at 4 kHz (8.9 kB/s with packets of 128 samples); USB ignores it.
_BAUD: Final = 115_200
_WRITE_SECONDS: Final = 1.0


class SerialPort:
    """`PORT` or `PORT@BAUD`: 8 bits, no parity, one stop bit."""

    datagrams = False
    live = True
    reopens = True

    def __init__(self, text: str) -> None:
        self._port, self._baud = _port_and_baud(text)
        self.name = f"serial:{self._port}"
        self._serial: Any = None

    def open(self) -> None:
        """Open the port for this process alone."""
        serial = _load()
        try:
            self._serial = serial.Serial(
                self._port,
                self._baud,
                timeout=POLL_SECONDS,
                write_timeout=_WRITE_SECONDS,
                exclusive=True,
            )
        except (OSError, ValueError) as error:
            raise DeviceError(f"{self.name} cannot be opened: {_reason(error)}.") from error

    def read(self) -> bytes | None:
        """What has arrived."""
        try:
            waiting = min(CHUNK_BYTES, self._serial.in_waiting)
            data: bytes = self._serial.read(max(1, waiting))
        except (OSError, TypeError) as error:  # TypeError: closed under pyserial's hands
            raise DeviceError(f"{self.name} is gone: {_reason(error)}.") from error
        return data

    def write(self, data: bytes) -> None:
        """Send to the device."""
        try:
            self._serial.write(data)
        except (OSError, TypeError) as error:
            raise DeviceError(f"{self.name} is gone: {_reason(error)}.") from error

    def close(self) -> None:
        """Close the port."""
        if self._serial is not None:
            with contextlib.suppress(OSError):
                self._serial.close()


def _load() -> Any:
    try:
        return import_module("serial")
    except ImportError as error:
        raise MissingDependencyError(
            "serial: needs pyserial: pip install 'acula-edge[firmware]'"
        ) from error


def _port_and_baud(text: str) -> tuple[str, int]:
    port, mark, baud = text.rpartition("@")
    if not mark:
        port, baud = text, str(_BAUD)
    if not port or not (baud.isascii() and baud.isdigit() and 0 < int(baud) <= 20_000_000):
        raise UsageError(f"'serial:{text}' should be serial:PORT or serial:PORT@BAUD.")
    return port, int(baud)


def _reason(error: Exception) -> str:
    """The sentence of the operating system where there is one: pyserial's own is a dump."""
    cause = error.__context__ or error
    number, *text = cause.args or (None,)
    if number in (errno.EAGAIN, errno.EBUSY):
        return "it is busy; close the program that is using it"
    if number == errno.EACCES:
        return "permission denied (on Linux, join the group that owns it, often dialout)"
    return str(text[0] if text else error).rstrip(".")
