"""Damage, hostility, other versions and other devices: counted, announced once, never raised."""

from __future__ import annotations

import logging
import os
import random
import struct
import zlib
from dataclasses import replace

import pytest

from firmware_bridge.link.codec import decode
from firmware_bridge.link.framing import frame
from firmware_bridge.link.packet import HEADER, Packet, PacketType, build
from firmware_bridge.link.payload import DeviceEvent, Info, PayloadError, Result, Sync
from firmware_bridge.link.receiver import Counters, Receiver

# ACULA_FUZZ=1000000 is what the specification quotes; it takes minutes.
COUNT = int(os.environ.get("ACULA_FUZZ", "20000"))
AUDIO = Packet(PacketType.AUDIO, 1, 7, 0, 0, bytes(range(64)))


def stream(*packets: Packet) -> bytes:
    return b"".join(frame(build(packet)) for packet in packets)


def numbered(count: int, **changes: int) -> list[Packet]:
    return [
        replace(AUDIO, sequence=n, sample_index=32 * n, payload=_bytes(n), **changes)
        for n in range(count)
    ]


def _bytes(seed: int) -> bytes:
    return random.Random(seed).randbytes(64)


def damage(data: bytes, chance: random.Random) -> bytes:
    """One fault of a line: bits, a burst, bytes gone, bytes more, a piece moved or zeroed."""
    bad = bytearray(data)
    kind = chance.randrange(6)
    at = chance.randrange(len(bad))
    length = chance.randint(1, 12)
    if kind == 0:
        for bit in chance.sample(range(8 * len(bad)), chance.randint(1, 6)):
            bad[bit // 8] ^= 1 << bit % 8
    elif kind == 1:
        bad[at : at + length] = chance.randbytes(length)
    elif kind == 2:
        del bad[at : at + length]
    elif kind == 3:
        bad[at:at] = chance.randbytes(length)
    elif kind == 4:
        bad[at : at + length] = bytes(length)
    else:
        bad = bad[at:] + bad[:at]
    return bytes(bad)


def undetected(count: int, seed: int) -> tuple[int, int]:
    """How many damaged frames there were, and how many packets came out that nobody sent."""
    chance = random.Random(seed)
    sent = numbered(256)
    frames = [stream(packet) for packet in sent]
    known = set(sent)
    receiver = Receiver("fuzz")
    wrong = damaged = 0
    for n in range(count):
        good = frames[n % 256]
        bad = damage(good, chance)
        damaged += bad != good
        wrong += sum(packet not in known for packet in receiver.push(bad))
    return damaged, wrong


def test_no_damaged_packet_passes() -> None:
    damaged, wrong = undetected(COUNT, seed=1)
    assert damaged > 0.95 * COUNT
    assert wrong == 0


def hostile(chance: random.Random) -> bytes:
    """Bytes that go as deep as an attacker can: right frames and CRCs around wild fields."""
    kind = chance.randrange(4)
    if kind == 0:
        return chance.randbytes(chance.randrange(200))
    if kind == 1:
        return b"\xff" * chance.randrange(3000) + b"\0" * chance.randrange(3)
    edge = (0, 1, 2, 3, 4, 5, 6, 255)
    size = chance.choice((0, 1, 4, 5, 6, 12, 13, 16, 40, 44, 128))
    payload = chance.randbytes(size if chance.random() < 0.99 else 1024)
    if kind == 2:
        payload = payload.translate(EDGES)
    length = chance.choice((len(payload), len(payload), 0, 65535, len(payload) + 1))
    head = HEADER.pack(
        *(chance.choice((1, 1, 1, 0, 2, 255)), chance.choice(edge), chance.choice(edge)),
        *(chance.randrange(256), chance.choice((7, 7, 7, 0, 8)), chance.choice((0, 1, 2**32 - 1))),
        *(chance.choice((0, 2**31, 2**62, 2**63, 2**64 - 1)), length),
    )
    body = (head + payload)[: chance.choice((10_000, 10_000, chance.randrange(60)))]
    return frame(body + struct.pack("<I", zlib.crc32(body)))


EDGES = bytes((0, 1, 88, 89, 255)[n % 5] for n in range(256))
READERS = {1: Info.of, 3: Sync.of, 4: DeviceEvent.of, 5: Result.of}


def test_hostile_bytes_raise_nothing() -> None:
    chance = random.Random(2)
    receiver = Receiver("hostile")
    for _ in range(COUNT):
        for packet in receiver.push(hostile(chance)):
            try:
                if packet.type == PacketType.AUDIO:
                    assert 0 < len(decode(packet.codec, packet.payload)) <= 2040
                elif packet.type in READERS:
                    READERS[packet.type](packet.payload)
            except PayloadError:
                receiver.invalid()
    counters = receiver.counters
    assert min(counters.packets, counters.framing, counters.crc) > 0
    assert min(counters.version, counters.invalid, counters.foreign) > 0


def test_a_clean_stream_counts_nothing_but_packets() -> None:
    receiver = Receiver("clean")
    assert receiver.push(stream(*numbered(300))) == numbered(300)
    assert receiver.counters == Counters(packets=300)


def test_a_cut_packet_costs_itself_alone() -> None:
    packets = numbered(3)
    cut = stream(packets[0])[:-20] + b"\0" + stream(*packets[1:])
    receiver = Receiver("cut")
    assert receiver.push(cut) == packets[1:]
    assert receiver.counters.broken == 1


def test_another_version_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    body = b"\2" + build(AUDIO)[1:-4]
    newer = frame(body + struct.pack("<I", zlib.crc32(body)))
    receiver = Receiver("serial:X")
    with caplog.at_level(logging.WARNING):
        assert receiver.push(3 * newer + stream(AUDIO)) == [AUDIO]
    assert receiver.counters.version == 3
    (text,) = caplog.messages
    assert "serial:X sends packets of version 2, and this host reads version 1" in text


def test_the_first_device_is_kept_and_others_are_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mine, other = numbered(5), numbered(5, device=8)
    mixed = [packet for pair in zip(mine, other, strict=True) for packet in pair]
    receiver = Receiver("udp:X")
    with caplog.at_level(logging.WARNING):
        assert receiver.push(stream(*mixed)) == mine
    assert receiver.counters == Counters(packets=5, foreign=5)
    (text,) = caplog.messages
    assert "second device (00000008); only the first (00000007) is heard" in text


def test_an_echo_of_the_host_is_no_device() -> None:
    receiver = Receiver("echo")
    echo = Packet(PacketType.EVENT, 0, 0, 0, 0, DeviceEvent(1).to_bytes())
    assert receiver.push(stream(echo, AUDIO)) == [AUDIO]


def test_results_and_events_are_heard_once_and_sound_is_left_to_the_source() -> None:
    event = Packet(PacketType.EVENT, 0, 7, 3, 0, DeviceEvent(4).to_bytes())
    later = replace(event, sequence=4)
    receiver = Receiver("twice")
    sound = replace(AUDIO, sequence=5)
    assert receiver.push(stream(event, event, later, event, sound, sound)) == [
        *(event, later, sound, sound)
    ]
    assert receiver.counters.duplicate == 2


def test_missing_packets_are_counted_and_late_ones_taken_back() -> None:
    sent = numbered(20)
    order = [0, 1, 5, 3, 6, 2, 2, 9]
    receiver = Receiver("order")
    receiver.push(stream(*(sent[n] for n in order)))
    assert receiver.counters.missing == 3  # 4, 7, 8


def test_the_sequence_wraps_and_a_device_that_starts_anew_misses_nothing() -> None:
    receiver = Receiver("wrap")
    numbers = [2**32 - 2, 2**32 - 1, 0, 1, 5_000_000, 5_000_001, 0, 1, 2]
    receiver.push(stream(*(replace(AUDIO, sequence=n) for n in numbers)))
    assert receiver.counters == Counters(packets=len(numbers))


def test_a_frame_does_not_go_on_into_the_next_datagram() -> None:
    packets = numbered(4)
    data = stream(*packets[:2])
    receiver = Receiver("udp", datagrams=True)
    assert receiver.push(data[:-5]) == packets[:1]
    assert receiver.push(data[-5:]) == []
    assert receiver.push(stream(*packets[2:])) == packets[2:]
    assert receiver.counters.framing + receiver.counters.crc == 2
