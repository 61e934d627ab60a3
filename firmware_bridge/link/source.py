"""A stethoscope behind a link as a source of `acula-edge listen`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from acula_edge.errors import DeviceError
from acula_edge.events import Fault, FaultKind
from acula_edge.sources.base import Block
from acula_edge.sources.capture import LagClock
from acula_edge.sources.link import AudioPacket, LinkSource
from firmware_bridge.link.clock import DeviceClock
from firmware_bridge.link.codec import decode
from firmware_bridge.link.connection import Arrival, Change, Connection
from firmware_bridge.link.packet import Packet, PacketType
from firmware_bridge.link.payload import DeviceEvent, EventCode, Info, PayloadError, Result, Sync
from firmware_bridge.link.rate import PLAUSIBLE_PPM, RateCorrection
from firmware_bridge.link.receiver import Counters
from firmware_bridge.link.reorder import Reorder
from firmware_bridge.link.transports.base import Transport

# A device that was out of range for longer counts anew as far as we are concerned: a wild index
# must not become years of lost sound.
_LONGEST_GAP_SECONDS: Final = 3600.0
_NONE: Final = np.empty(0, np.float32)


class PacketSource(LinkSource):
    """Blocks of one device at its nominal rate; see `LinkSource` for gaps and restarts.

    The sound begins with the first packet heard, of any type, and ends with the device's STOP, the
    end of a replay, or `close_link`. A link that breaks or falls silent is a DEVICE_LOST fault and
    is opened again until the device is back. The rate is corrected where the device's differs by
    more than 500 ppm (`rate.py`), and `lost_samples` counts at the device's rate.

    `on_packet` is called with every intact packet, in the thread of `blocks`. Opening raises
    DeviceError or MissingDependencyError; a device that changes its rate, DeviceError.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        on_packet: Callable[[Packet], None] | None = None,
        watchdog_seconds: float = 3.0,
    ) -> None:
        super().__init__(transport.name)
        self.info: Info | None = None
        self.last_result: Result | None = None
        self.stopped_at: int | None = None
        self._transport = transport
        self._on_packet = on_packet
        self._connection = Connection(transport, watchdog_seconds=watchdog_seconds)
        self._receiver = self._connection.receiver
        self._reorder = Reorder() if transport.datagrams else Reorder(0)
        self._lag_clock = LagClock()

    @property
    def counters(self) -> Counters:
        """What was dropped below the level of sound."""
        return self._receiver.counters

    @property
    def lag_seconds(self) -> float:
        """Seconds between the newest sound and what `blocks` has handed out; 0 for a replay."""
        if not self.rate or not self._transport.live:
            return 0.0
        return self._lag_clock.lag(time.monotonic(), self._position / self.rate)

    @property
    def ppm(self) -> float | None:
        """How much faster than nominal the device samples, by this host; None while not known."""
        return self.clock.ppm if self._transport.live and self.rate else None

    def open_link(self) -> int:
        """Connect and learn the rate from INFO."""
        self.info = self._connection.open()
        self.clock = DeviceClock(self.info.rate)
        if self.info.name:
            self.name = f"{self.info.name} ({self._transport.name})"
        return self.info.rate

    def close_link(self) -> None:
        """Disconnect."""
        self._connection.close()

    def blocks(self) -> Iterator[Block | Fault]:
        """Blocks and faults in order; at a device's STOP, what was lost just before it."""
        correction = RateCorrection(self.rate)
        told: Fault | None = None
        for item in super().blocks():
            if isinstance(item, Fault):
                if item != told:  # the link came back, and so did a device that counts anew
                    yield item
                told = item
                continue
            self._correct(correction)
            yield from correction.push(item)
        yield from correction.push(self._unheard_end())
        yield from correction.flush()

    def packets(self) -> Iterator[AudioPacket | Fault]:
        """Sound and faults as they arrive."""
        for arrival in self._connection.arrivals():
            if isinstance(arrival, Change):
                yield from self._changed(arrival)
                continue
            if self._on_packet is not None:
                self._on_packet(arrival.packet)
            try:
                audio = self._take(arrival)
            except PayloadError:
                self._receiver.invalid()
                continue
            for packet in audio:
                yield from self._far_ahead(packet)
                yield packet
            if audio:
                self._lag_clock.arrived(arrival.at, self._position / self.rate)
            if self.stopped_at is not None:
                break
        yield from self._reorder.flush()

    def _take(self, arrival: Arrival) -> list[AudioPacket]:
        """Sound that is due now. PayloadError where the packet makes no sense."""
        packet = arrival.packet
        if packet.type == PacketType.AUDIO:
            pcm = decode(packet.codec, packet.payload).astype(np.float32) / np.float32(32768)
            self.clock.audio(packet.sample_index + len(pcm), arrival.at)
            return self._reorder.push(AudioPacket(packet.sample_index, pcm))
        if packet.type == PacketType.INFO:
            self._check(Info.of(packet.payload))
        elif packet.type == PacketType.SYNC:
            sync = Sync.of(packet.payload)
            self.clock.sync(packet.sample_index, arrival.at, sync.ticks, sync.tick_rate)
        elif packet.type == PacketType.RESULT:
            self.last_result = Result.of(packet.payload)
        elif packet.type == PacketType.EVENT:
            if DeviceEvent.of(packet.payload).code == EventCode.STOP:
                self.stopped_at = packet.sample_index
        else:
            raise PayloadError("the type is not known")
        # An empty packet marks where the sound begins, and is nothing thereafter.
        return [AudioPacket(packet.sample_index, _NONE)] if self._origin is None else []

    def _check(self, info: Info) -> None:
        if info.rate != self.rate:
            raise DeviceError(
                f"{self.name} changed its rate from {self.rate} to {info.rate} Hz; listen anew."
            )

    def _changed(self, change: Change) -> Iterator[AudioPacket | Fault]:
        if change is Change.LOST:
            yield from self._reorder.flush()
            yield Fault(self._position / self.rate, FaultKind.DEVICE_LOST)
            return
        self.clock.reset()
        self._lag_clock = LagClock()
        yield Fault(self._position / self.rate, FaultKind.DEVICE_BACK)

    def _far_ahead(self, packet: AudioPacket) -> Iterator[Fault]:
        """Go on where the source was where an index is beyond any gap."""
        if self._origin is None:
            return
        ahead = packet.sample_index - self._origin - self._position
        if ahead > _LONGEST_GAP_SECONDS * self.rate:
            self._origin += ahead
            self._gaps.clear()
            yield Fault(self._position / self.rate, FaultKind.DEVICE_BACK)

    def _correct(self, correction: RateCorrection) -> None:
        ppm = self.ppm
        if ppm is None:
            return
        if abs(ppm) > PLAUSIBLE_PPM:
            self._receiver.warn(
                "rate", f"says {self.rate} Hz, but sends {1 + ppm * 1e-6:.2f} times as many samples"
            )
        correction.update(ppm, self.clock.seconds)

    def _unheard_end(self) -> Block:
        """An empty block that carries what the device sent after the last sound heard."""
        lost = 0
        if self.stopped_at is not None and self._origin is not None:
            lost = max(0, self.stopped_at - self._origin - self._position)
            lost = lost if lost <= _LONGEST_GAP_SECONDS * self.rate else 0
        self._position += lost
        self._lost += lost
        return Block(_NONE, self._position, lost)
