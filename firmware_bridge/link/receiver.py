"""From bytes to the packets of one device, with everything that was dropped counted.

receiver = Receiver("serial:/dev/ttyACM0")
for packet in receiver.push(data):
    ...
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import Final

from firmware_bridge.link.framing import Deframer
from firmware_bridge.link.packet import VERSION, Drop, Packet, PacketType, parse

HOST: Final = 0
"""The device id of what a host sends."""
_log = logging.getLogger(__name__)
_REMEMBERED: Final = 64
# Far more than any burst of losses; a count this far off is a device that counts anew.
_LARGEST_JUMP: Final = 2**20


@dataclass
class Counters:
    """Packets that were taken, and all that was dropped, since the link was opened.

    `framing`: no frame, too long or too short; `crc`: damaged; `version`: of another version;
    `invalid`: intact, but its fields make no sense, or of a type or codec that is not known;
    `foreign`: of another device than the first; `duplicate`: an EVENT or RESULT heard before;
    `missing`: sequence numbers that never came. AUDIO that came twice or late is counted by the
    source, in `duplicate_packets` and `late_packets`.
    """

    packets: int = 0
    framing: int = 0
    crc: int = 0
    version: int = 0
    invalid: int = 0
    foreign: int = 0
    duplicate: int = 0
    missing: int = 0

    def drop(self, why: Drop) -> None:
        """Count one that was dropped."""
        setattr(self, why.value, getattr(self, why.value) + 1)

    @property
    def broken(self) -> int:
        """Frames that arrived damaged."""
        return self.framing + self.crc


class Receiver:
    """Keeps the device that is heard first. What a person should know is logged once, as a warning.

    `datagrams`: every push is one datagram, and no frame goes on into the next.
    """

    def __init__(self, name: str, *, datagrams: bool = False) -> None:
        self.name = name
        self.counters = Counters()
        self.device: int | None = None
        self._datagrams = datagrams
        self._deframer = Deframer()
        self._next_sequence: int | None = None
        self._recent: deque[tuple[int, int, bytes]] = deque(maxlen=_REMEMBERED)
        self._skipped: deque[int] = deque(maxlen=_REMEMBERED)
        self._told: set[str] = set()

    def push(self, data: bytes) -> list[Packet]:
        """Packets of the kept device that `data` completes, in order of arrival; never raises."""
        pieces = self._deframer.push(data)
        if self._datagrams:
            pieces += self._deframer.end()
        packets = []
        for piece in pieces:
            packet = piece if isinstance(piece, Drop) else parse(piece)
            if isinstance(packet, Drop):
                self._drop(packet, piece)
            elif self._is_ours(packet) and self._is_new(packet):
                self.counters.packets += 1
                packets.append(packet)
        return packets

    def restart(self) -> None:
        """The link was opened anew: half a frame from before is forgotten, the device is not."""
        self._deframer = Deframer()

    def invalid(self) -> None:
        """Count a packet that was taken but whose payload makes no sense."""
        self.counters.packets -= 1
        self.counters.drop(Drop.INVALID)
        self.warn("invalid", "sends packets that make no sense; they are dropped and counted")

    def warn(self, what: str, text: str) -> None:
        """Log the sentence `text` about the link, the first time that `what` happens."""
        if what not in self._told:
            self._told.add(what)
            _log.warning("%s %s.", self.name, text)

    def _drop(self, why: Drop, piece: bytes | Drop) -> None:
        self.counters.drop(why)
        if why is Drop.VERSION and isinstance(piece, bytes):
            self.warn(
                "version",
                f"sends packets of version {piece[0]}, and this host reads version {VERSION}; "
                "they are dropped: update the older side",
            )

    def _is_ours(self, packet: Packet) -> bool:
        if self.device is None and packet.device != HOST:
            self.device = packet.device
        if packet.device == self.device:
            return True
        self.counters.foreign += 1
        if packet.device == HOST:
            return False  # an echo of what this host said
        self.warn(
            "foreign",
            f"carries a second device ({packet.device:08x}); "
            f"only the first ({self.device:08x}) is heard",
        )
        return False

    def _is_new(self, packet: Packet) -> bool:
        """Follow the sequence; only EVENT and RESULT repeat harmfully and are looked up."""
        if packet.type in (PacketType.EVENT, PacketType.RESULT):
            key = (packet.sequence, packet.sample_index, packet.payload)
            if key in self._recent:
                self.counters.duplicate += 1
                return False
            self._recent.append(key)
        self._follow(packet.sequence)
        return True

    def _follow(self, sequence: int) -> None:
        """Count the numbers that were skipped, and take back those that come late."""
        expected = sequence if self._next_sequence is None else self._next_sequence
        ahead = (sequence - expected) % 2**32
        if sequence in self._skipped:
            self._skipped.remove(sequence)
            self.counters.missing -= 1
            return
        if 2**32 - ahead <= _REMEMBERED:
            return  # heard before
        if ahead < _LARGEST_JUMP:
            self.counters.missing += ahead
            newest = range(max(expected, sequence - _REMEMBERED), sequence)
            self._skipped.extend(newest)
        self._next_sequence = (sequence + 1) % 2**32
