"""A transport that is kept alive: its packets as they arrive, and what happened to it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from acula_edge.errors import DeviceError
from firmware_bridge.link.framing import frame
from firmware_bridge.link.packet import Packet, PacketType, build
from firmware_bridge.link.payload import DeviceEvent, EventCode, Info, PayloadError
from firmware_bridge.link.reader import Reader
from firmware_bridge.link.receiver import HOST, Receiver
from firmware_bridge.link.transports.base import POLL_SECONDS, Transport

# INFO comes every second; a board that resets when its port is opened takes one or two to start.
_INFO_SECONDS: Final = 5.0
_FIRST_RETRY_SECONDS: Final = 0.25
_LONGEST_RETRY_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Arrival:
    """A packet and the monotonic second of its arrival."""

    packet: Packet
    at: float


class Change(Enum):
    """The connection itself changed."""

    LOST = "lost"
    BACK = "back"


class Connection:
    """Opens a transport, waits for INFO, and gives out arrivals until the link ends or is closed.

    A live device must say something every second, if only SYNC: after `watchdog_seconds` without
    an intact packet it is lost, and looked for until it is back, however long that takes.
    """

    def __init__(self, transport: Transport, *, watchdog_seconds: float = 3.0) -> None:
        self.receiver = Receiver(transport.name, datagrams=transport.datagrams)
        self._transport = transport
        self._watchdog_seconds = watchdog_seconds
        self._reader: Reader | None = None
        self._closing = threading.Event()
        self._waiting: deque[Arrival] = deque(maxlen=4096)
        self._heard_at = 0.0
        self._ended = False

    def open(self) -> Info:
        """Connect and wait for INFO; packets that came before it are given out later.

        DeviceError where there is no device, or it does not speak this protocol.
        """
        try:
            self._connect()
            return self._wait_for_info()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Say STOP, disconnect, and end `arrivals` in whichever thread it runs."""
        self._closing.set()
        self._disconnect(say_stop=True)

    def arrivals(self) -> Iterator[Arrival | Change]:
        """Packets and changes in order."""
        while not self._closing.is_set():
            while self._waiting:
                yield self._waiting.popleft()
            if self._ended:
                return
            arrivals: list[Arrival] = []
            try:
                arrivals = self._read(POLL_SECONDS)
                # A listener that was slow has packets waiting: that is no silence.
                silent = not arrivals and self._silent_for() > self._watchdog_seconds
                lost = self._transport.live and silent
            except DeviceError:
                if not self._transport.live:
                    raise
                lost = True
            yield from arrivals
            if lost and not self._closing.is_set():
                yield Change.LOST
                if self._recover():
                    yield Change.BACK

    def _wait_for_info(self) -> Info:
        until = time.monotonic() + _INFO_SECONDS
        while not self._ended and (not self._transport.live or time.monotonic() < until):
            arrivals = self._read(POLL_SECONDS)
            self._waiting.extend(arrivals)
            infos = [info for arrival in arrivals if (info := _info(arrival.packet)) is not None]
            if infos:
                return infos[0]
        counters = self.receiver.counters
        raise DeviceError(
            f"{self._transport.name} sent no INFO packet of an AcuLa link "
            f"({counters.packets} other packets, {counters.broken} broken, "
            f"{counters.version} of another version)."
        )

    def _connect(self) -> None:
        self._transport.open()
        self.receiver.restart()
        self._heard_at = time.monotonic()
        self._reader = Reader(self._transport)
        with contextlib.suppress(DeviceError):
            self._transport.write(host_frame(EventCode.START))

    def _disconnect(self, *, say_stop: bool) -> None:
        reader, self._reader = self._reader, None
        if reader is None:
            return
        reader.close()
        if say_stop:
            with contextlib.suppress(DeviceError):
                self._transport.write(host_frame(EventCode.STOP))
        self._transport.close()

    def _read(self, seconds: float) -> list[Arrival]:
        """Packets of the next bytes; none after `seconds` without any."""
        chunk = None if self._reader is None else self._reader.get(seconds)
        if chunk is None:
            return []
        if chunk.data is None:
            self._ended = True
            return []
        arrivals = [Arrival(packet, chunk.at) for packet in self.receiver.push(chunk.data)]
        if arrivals:
            self._heard_at = chunk.at
        return arrivals

    def _silent_for(self) -> float:
        return time.monotonic() - self._heard_at

    def _recover(self) -> bool:
        """Look for the device until it speaks; False once closed."""
        delay = 0.0 if not self._transport.reopens else _FIRST_RETRY_SECONDS
        while not self._closing.wait(delay):
            with contextlib.suppress(DeviceError):
                if self._transport.reopens:
                    self._disconnect(say_stop=False)
                    self._connect()
                if self._speaks():
                    return True
            if self._transport.reopens:
                delay = min(2 * delay, _LONGEST_RETRY_SECONDS)
        self._disconnect(say_stop=True)  # what was opened while another thread closed
        return False

    def _speaks(self) -> bool:
        """Whether a packet comes within the watchdog's time; it is kept."""
        until = time.monotonic() + self._watchdog_seconds
        while time.monotonic() < until and not self._closing.is_set():
            self._waiting.extend(self._read(POLL_SECONDS))
            if self._waiting:
                return True
        return False


def host_frame(code: EventCode) -> bytes:
    """What the host says: START after connecting, STOP before it leaves. Always the same bytes."""
    return frame(build(Packet(PacketType.EVENT, 0, HOST, 0, 0, DeviceEvent(code).to_bytes())))


def _info(packet: Packet) -> Info | None:
    with contextlib.suppress(PayloadError):
        return Info.of(packet.payload) if packet.type == PacketType.INFO else None
    return None
