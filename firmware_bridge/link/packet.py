"""One packet: a header of 22 bytes, a payload, a CRC-32. All fields are little-endian."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

VERSION: Final = 1
# Half a second of 16-bit sound at 1 kHz; with header and framing it fits one Ethernet datagram.
MAX_PAYLOAD: Final = 1024
HEADER: Final = struct.Struct("<BBBBIIQH")
CRC: Final = struct.Struct("<I")
MAX_PACKET: Final = HEADER.size + MAX_PAYLOAD + CRC.size
# An index beyond this is no count of samples; it leaves room for sums in signed 64 bits.
_INDEX_LIMIT: Final = 2**62


class PacketType(IntEnum):
    """What a packet carries. Receivers ignore types they do not know."""

    INFO = 1
    AUDIO = 2
    SYNC = 3
    EVENT = 4
    RESULT = 5


class Codec(IntEnum):
    """How AUDIO is coded; NONE in all other packets."""

    NONE = 0
    PCM16 = 1
    ADPCM = 2


class Drop(Enum):
    """Why bytes were not taken as a packet."""

    FRAMING = "framing"
    CRC = "crc"
    VERSION = "version"
    INVALID = "invalid"


@dataclass(frozen=True)
class Packet:
    """A packet whose CRC and version were right; the payload is not looked into yet.

    `sample_index` counts the device's samples since it started: the first sample of AUDIO, the
    number of samples captured so far in all other types.
    """

    type: int
    codec: int
    device: int
    sequence: int
    sample_index: int
    payload: bytes
    flags: int = 0


def build(packet: Packet) -> bytes:
    """The packet's bytes with its CRC, not yet framed. ValueError where the payload is too long."""
    if len(packet.payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload has at most {MAX_PAYLOAD} bytes, not {len(packet.payload)}")
    head = HEADER.pack(
        *(VERSION, packet.type, packet.codec, packet.flags, packet.device),
        *(packet.sequence, packet.sample_index, len(packet.payload)),
    )
    body = head + packet.payload
    return body + CRC.pack(zlib.crc32(body))


def parse(data: bytes) -> Packet | Drop:
    """The packet in unframed `data`, or why it is none; never raises.

    The CRC comes first: the version is always the first byte and the CRC the last four, whatever a
    later version puts between, so that an unknown version is told from damage.
    """
    if not 1 + CRC.size <= len(data) <= MAX_PACKET:
        return Drop.FRAMING
    body = memoryview(data)[: -CRC.size]
    if zlib.crc32(body) != CRC.unpack(data[-CRC.size :])[0]:
        return Drop.CRC
    if data[0] != VERSION:
        return Drop.VERSION
    if len(body) < HEADER.size:
        return Drop.INVALID
    _, kind, codec, flags, device, sequence, index, length = HEADER.unpack_from(data)
    if length != len(body) - HEADER.size or index > _INDEX_LIMIT:
        return Drop.INVALID
    return Packet(kind, codec, device, sequence, index, bytes(body[HEADER.size :]), flags)
