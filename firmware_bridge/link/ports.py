"""Where a simulated device sends: a pseudo-terminal, TCP, UDP or a file."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from pathlib import Path
from typing import Final

from acula_edge.errors import DeviceError

_PARTNER_SECONDS: Final = 300.0
_PATIENCE_SECONDS: Final = 5.0


class PtyPort:
    """A pseudo-terminal that looks like a serial port; `path` is what a host opens."""

    def __init__(self) -> None:
        try:
            import pty  # noqa: PLC0415 - not on Windows
            import tty  # noqa: PLC0415
        except ImportError as error:
            raise DeviceError("This system has no pseudo-terminals; use --tcp.") from error
        self._device, self._host = pty.openpty()
        tty.setraw(self._host)
        os.set_blocking(self._device, False)
        self.path = os.ttyname(self._host)

    def wait(self) -> None:
        """Until a host says START: a pseudo-terminal does not tell who opened it."""
        if not select.select([self._device], [], [], _PARTNER_SECONDS)[0]:
            raise DeviceError(f"Nobody opened {self.path} within {_PARTNER_SECONDS:.0f} s.")
        os.read(self._device, 4096)

    def send(self, data: bytes) -> None:
        """Write, also against a host that reads slowly; one that reads nothing has left."""
        while data:
            if not select.select([], [self._device], [], _PATIENCE_SECONDS)[1]:
                raise BrokenPipeError
            data = data[os.write(self._device, data) :]

    def close(self) -> None:
        """Let the host read what is left, and vanish."""
        time.sleep(0.2)
        for end in (self._device, self._host):
            with contextlib.suppress(OSError):
                os.close(end)


class TcpPort:
    """A TCP server on this computer alone, for one host."""

    def __init__(self, port: int) -> None:
        try:
            self._server = socket.create_server(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise DeviceError(f"TCP port {port} cannot be listened at: {why}.") from error
        self.number = int(self._server.getsockname()[1])
        self._host: socket.socket | None = None

    def wait(self) -> None:
        """Until a host connects."""
        self._server.settimeout(_PARTNER_SECONDS)
        try:
            self._host = self._server.accept()[0]
        except TimeoutError as error:
            raise DeviceError(f"Nobody connected within {_PARTNER_SECONDS:.0f} s.") from error
        self._host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        """Send to the host."""
        if self._host is not None:
            self._host.sendall(data)

    def close(self) -> None:
        """Hang up."""
        for end in (self._host, self._server):
            if end is not None:
                end.close()


class UdpPort:
    """Datagrams to a host that listens; nobody knows whether it does."""

    def __init__(self, host: str, port: int) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(found[0], found[1])
            self._socket.connect(found[4])
        except OSError as error:
            raise DeviceError(f"udp:{host}:{port} cannot be reached: {error.strerror}.") from error

    def wait(self) -> None:
        """There is nothing to wait for."""

    def send(self, data: bytes) -> None:
        """One frame, one datagram; lost where nobody listens."""
        with contextlib.suppress(ConnectionError):
            self._socket.send(data)

    def close(self) -> None:
        """Done."""
        self._socket.close()


class FilePort:
    """A file for `--input replay:FILE`. DeviceError where it cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise self._refused(error) from error

    def wait(self) -> None:
        """There is nothing to wait for."""

    def send(self, data: bytes) -> None:
        """Append."""
        try:
            self._file.write(data)
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _refused(self, error: OSError) -> DeviceError:
        return DeviceError(f"{self._path} cannot be written: {error.strerror}.")
