"""TCP, where the host is the client, and UDP, where it listens at the address it was given."""

from __future__ import annotations

import contextlib
import socket
from typing import Final

from acula_edge.errors import DeviceError
from firmware_bridge.link.transports.base import CHUNK_BYTES, POLL_SECONDS, host_and_port

_CONNECT_SECONDS: Final = 5.0
_DATAGRAM_BYTES: Final = 65_536


class TcpClient:
    """`HOST:PORT`: connects, and never listens."""

    datagrams = False
    live = True
    reopens = True

    def __init__(self, text: str) -> None:
        self._address = host_and_port("tcp", text)
        self.name = f"tcp:{text}"
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Connect."""
        try:
            self._socket = socket.create_connection(self._address, _CONNECT_SECONDS)
            self._socket.settimeout(POLL_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise DeviceError(f"{self.name} does not answer: {_reason(error)}.") from error

    def read(self) -> bytes | None:
        """What has arrived."""
        try:
            data = _open(self._socket).recv(CHUNK_BYTES)
        except TimeoutError:
            return b""
        except OSError as error:
            raise DeviceError(f"{self.name} is gone: {_reason(error)}.") from error
        if not data:
            raise DeviceError(f"{self.name} closed the connection.")
        return data

    def write(self, data: bytes) -> None:
        """Send to the device."""
        try:
            _open(self._socket).sendall(data)
        except OSError as error:
            raise DeviceError(f"{self.name} is gone: {_reason(error)}.") from error

    def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            self._socket.close()


class UdpListener:
    """`HOST:PORT` of this computer: datagrams of one or more whole frames each."""

    datagrams = True
    live = True
    reopens = False

    def __init__(self, text: str) -> None:
        self._address = host_and_port("udp", text)
        self.name = f"udp:{text}"
        self._socket: socket.socket | None = None
        self._peer: tuple[object, ...] | None = None

    def open(self) -> None:
        """Bind to the address."""
        host, port = self._address
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(found[0], found[1])
            self._socket.bind(found[4])
            self._socket.settimeout(POLL_SECONDS)
        except OSError as error:
            self.close()
            raise DeviceError(f"{self.name} cannot be listened at: {_reason(error)}.") from error

    def read(self) -> bytes | None:
        """The next datagram."""
        try:
            data, self._peer = _open(self._socket).recvfrom(_DATAGRAM_BYTES)
        except (TimeoutError, ConnectionError):  # the latter: Windows, after a write to nobody
            return b""
        except OSError as error:
            raise DeviceError(f"{self.name} is gone: {_reason(error)}.") from error
        return data

    def write(self, data: bytes) -> None:
        """Send to who was heard last; to nobody before."""
        if self._peer is not None:
            with contextlib.suppress(OSError):
                _open(self._socket).sendto(data, self._peer)

    def close(self) -> None:
        """Listen no more."""
        if self._socket is not None:
            self._socket.close()


def _open(opened: socket.socket | None) -> socket.socket:
    if opened is None:
        raise OSError("it was never opened")
    return opened


def _reason(error: OSError) -> str:
    return str(error.strerror or error).rstrip(".")
