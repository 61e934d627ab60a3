"""From `scheme:rest`, as typed after `--input`, to a source. The runtime finds this by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from firmware_bridge.link.source import PacketSource
from firmware_bridge.link.transports.base import Transport
from firmware_bridge.link.transports.ble import Ble
from firmware_bridge.link.transports.replay import Replay
from firmware_bridge.link.transports.serial_port import SerialPort
from firmware_bridge.link.transports.sockets import TcpClient, UdpListener

TRANSPORTS: Final[dict[str, Callable[[str], Transport]]] = {
    "serial": SerialPort,
    "ble": Ble,
    "tcp": TcpClient,
    "udp": UdpListener,
    "replay": Replay,
}


def open_link(scheme: str, rest: str) -> PacketSource:
    """The source for `scheme:rest`, not yet entered.

    Raises:
        UsageError: `rest` is no address of this kind.
        MissingDependencyError: no link works without the cobs package.
    """
    return PacketSource(TRANSPORTS[scheme](rest))
