"""What every transport offers: bytes as they arrive."""

from __future__ import annotations

from typing import Final, Protocol

from acula_edge.errors import UsageError

POLL_SECONDS: Final = 0.1
"""How long `read` waits at most, so that a reader can be stopped."""
CHUNK_BYTES: Final = 4096


class Transport(Protocol):
    """A way to a device. `read` is called from one thread, all else from another.

    `datagrams`: what `read` returns is one datagram, and they may overtake one another. `live`: the
    moment of arrival means something, and silence is a loss. `reopens`: a connection that can be
    made anew; otherwise one waits for the device on what is open.
    """

    name: str
    datagrams: bool
    live: bool
    reopens: bool

    def open(self) -> None:
        """Connect. DeviceError, or MissingDependencyError where a library is not installed."""
        ...

    def read(self) -> bytes | None:
        """Bytes, at once when there are some; empty after 0.1 s of none, None at the end.

        DeviceError where the device is gone.
        """
        ...

    def write(self, data: bytes) -> None:
        """Send to the device, if that is possible. DeviceError where it is gone."""
        ...

    def close(self) -> None:
        """Disconnect; harmless when repeated."""
        ...


def host_and_port(scheme: str, text: str) -> tuple[str, int]:
    """`HOST:PORT` or `[IPV6]:PORT`. UsageError for anything else."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UsageError(f"'{scheme}:{text}' should be {scheme}:HOST:PORT, a port below 65536.")
    return host, int(port)
