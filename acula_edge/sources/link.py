"""Packet links (serial, BLE, TCP): what every transport shares once its packets are decoded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from acula_edge.events import Fault, FaultKind
from acula_edge.sources.base import Block, Pcm

_GAPS_REMEMBERED: Final = 64
# No link holds a packet back for longer: an index farther behind is a device that counts anew.
_RESTART_SECONDS: Final = 2.0


@dataclass(frozen=True)
class AudioPacket:
    """Decoded mono sound, float32 of shape (n,), and the device's own index of its first sample.

    The index does not wrap: transports widen the counter of the wire.
    """

    sample_index: int
    pcm: Pcm


class LinkSource(ABC):
    """Blocks from packets, in order, with exact gaps.

    A missing stretch becomes `lost` on the next block. A packet that arrives after its place was
    declared lost is dropped and counted in `late_packets`; one whose samples were given out
    already, in `duplicate_packets`. A device that restarts its count goes on where the source was,
    after a DEVICE_BACK fault. Transports implement `open_link`, `close_link` and `packets`, raising
    DeviceError.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.rate = 0
        self.duplicate_packets = 0
        self.late_packets = 0
        self._lost = 0
        self._origin: int | None = None
        self._position = 0
        self._gaps: deque[range] = deque(maxlen=_GAPS_REMEMBERED)

    @abstractmethod
    def open_link(self) -> int:
        """Connect, and return the rate in Hz at which the device sends."""

    @abstractmethod
    def close_link(self) -> None:
        """Disconnect; must be harmless when repeated."""

    @abstractmethod
    def packets(self) -> Iterator[AudioPacket | Fault]:
        """Packets as they arrive until the link ends; faults pass through to the listener."""

    def __enter__(self) -> Self:
        self.rate = self.open_link()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close_link()

    @property
    def lag_seconds(self) -> float:
        """0 unless a transport with a capture clock knows better."""
        return 0.0

    @property
    def lost_samples(self) -> int:
        """Samples of all gaps so far; a late packet does not take its gap back."""
        return self._lost

    def blocks(self) -> Iterator[Block | Fault]:
        """Yield what is new in each packet, and faults."""
        for packet in self.packets():
            if isinstance(packet, Fault):
                yield packet
            else:
                yield from self._accept(packet)

    def _accept(self, packet: AudioPacket) -> Iterator[Block | Fault]:
        start = self._place(packet)
        if start < self._position - _RESTART_SECONDS * self.rate:
            self._origin = packet.sample_index - self._position
            self._gaps.clear()
            yield Fault(self._position / self.rate, FaultKind.DEVICE_BACK)
            start = self._position
        known = max(0, self._position - start)
        if known >= len(packet.pcm):
            self._count_old(start, len(packet.pcm))
            return
        yield self._block(start + known, packet.pcm[known:])

    def _place(self, packet: AudioPacket) -> int:
        """Index of the packet's first sample in this source, which begins with the first packet."""
        if self._origin is None:
            self._origin = packet.sample_index
        return packet.sample_index - self._origin

    def _count_old(self, start: int, count: int) -> None:
        if not count:
            return
        if any(start < gap.stop and gap.start < start + count for gap in self._gaps):
            self.late_packets += 1
        else:
            self.duplicate_packets += 1

    def _block(self, start: int, pcm: Pcm) -> Block:
        lost = start - self._position
        if lost:
            self._lost += lost
            self._gaps.append(range(self._position, start))
        self._position = start + len(pcm)
        return Block(pcm, start, lost)
