"""The wire: fixed bytes, payloads that survive the trip, and what is refused."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import pytest

from acula_edge.events import QualityState, Reason
from firmware_bridge.link.framing import MAX_FRAME, Deframer, frame
from firmware_bridge.link.packet import MAX_PACKET, MAX_PAYLOAD, Drop, Packet, build, parse
from firmware_bridge.link.payload import (
    REASON_BITS,
    Codec,
    DeviceEvent,
    Info,
    PayloadError,
    Result,
    Sync,
)

PACKET = Packet(3, 0, 0x12345678, 5, 2**40, b"\0\1\2")


def with_crc(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


def test_the_bytes_of_a_packet_are_those_of_the_specification() -> None:
    assert build(PACKET).hex(" ") == (
        "01 03 00 00 78 56 34 12 05 00 00 00 00 00 00 00 00 01 00 00 03 00 00 01 02 "
        + struct.pack("<I", zlib.crc32(build(PACKET)[:-4])).hex(" ")
    )
    assert parse(build(PACKET)) == PACKET


def test_the_longest_packet_passes_and_a_longer_one_cannot_be_built() -> None:
    longest = replace(PACKET, payload=bytes(range(1, 256)) * 4 + b"\xff" * 4)
    assert len(longest.payload) == MAX_PAYLOAD
    assert len(frame(build(longest))) <= MAX_FRAME + 1
    (piece,) = Deframer().push(frame(build(longest)))
    assert isinstance(piece, bytes)
    assert parse(piece) == longest
    with pytest.raises(ValueError, match="1024"):
        build(replace(PACKET, payload=bytes(MAX_PAYLOAD + 1)))


@pytest.mark.parametrize("length", [0, 2, 4, 1024, 65535])
def test_a_length_that_lies_is_invalid_even_with_a_right_crc(length: int) -> None:
    body = bytearray(build(PACKET)[:-4])
    body[20:22] = struct.pack("<H", length)
    assert parse(with_crc(bytes(body))) is Drop.INVALID


def test_what_is_no_packet_is_named() -> None:
    good = build(PACKET)
    assert parse(b"") is Drop.FRAMING
    assert parse(bytes(4)) is Drop.FRAMING
    assert parse(bytes(MAX_PACKET + 1)) is Drop.FRAMING
    assert parse(good[:-1]) is Drop.CRC
    assert parse(good[:-5] + bytes([good[-5] ^ 1]) + good[-4:]) is Drop.CRC
    assert parse(with_crc(b"\2" + good[1:-4])) is Drop.VERSION
    assert parse(with_crc(b"\2")) is Drop.VERSION
    assert parse(with_crc(b"\1")) is Drop.INVALID
    assert parse(build(replace(PACKET, sample_index=2**64 - 1))) is Drop.INVALID


def test_every_single_and_double_bit_error_in_a_packet_is_found() -> None:
    good = build(PACKET)
    bits = 8 * len(good)
    for first in range(bits):
        for second in range(first, bits):
            bad = bytearray(good)
            bad[first // 8] ^= 1 << first % 8
            if second > first:
                bad[second // 8] ^= 1 << second % 8
            assert isinstance(parse(bytes(bad)), Drop)


def test_frames_are_found_wherever_the_stream_is_cut() -> None:
    stream = b"".join(frame(build(replace(PACKET, sequence=n))) for n in range(20))
    for cut in range(1, 60):
        deframer, pieces = Deframer(), []
        for start in range(0, len(stream), cut):
            pieces += deframer.push(stream[start : start + cut])
        assert [parse(piece).sequence for piece in pieces] == list(range(20))


def test_a_stream_without_a_delimiter_is_not_collected() -> None:
    deframer = Deframer()
    for _ in range(1000):
        assert deframer.push(b"\xff" * 4096) == []
        assert len(deframer._rest) <= MAX_FRAME + 1
    assert deframer.push(b"\0") == [Drop.FRAMING]
    assert deframer.push(frame(build(PACKET))) == [build(PACKET)]


PAYLOADS = (
    Info(4000, Codec.ADPCM, "Stéthoscope 2", 768, 3, bytes(range(32))),
    Info(16_124, Codec.PCM16, ""),
    Sync(2**63, 32_768),
    DeviceEvent(4, 2**32 - 1),
    Result(7, (0.5, 0.25, 1.0), (0, 2), QualityState.WARN, (Reason.HUM, Reason.TOO_SHORT)),
    Result(0, (), (), QualityState.OK),
)


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda item: type(item).__name__)
def test_payloads_survive_the_trip_and_no_other_length_passes(payload) -> None:
    data = payload.to_bytes()
    assert type(payload).of(data) == payload
    for length in range(len(data)):
        if isinstance(payload, Info) and length >= 40:
            continue  # a shorter name
        with pytest.raises(PayloadError):
            type(payload).of(data[:length])
    with pytest.raises(PayloadError):
        type(payload).of(data + bytes(64))


def test_payloads_that_make_no_sense_are_refused() -> None:
    info = Info(4000, Codec.PCM16, "x")
    for bad in (replace(info, rate=0), replace(info, rate=2**32 - 1)):
        with pytest.raises(PayloadError):
            Info.of(bad.to_bytes())
    with pytest.raises(PayloadError):
        Sync.of(Sync(1, 0).to_bytes())
    for values in ((float("nan"),), (1.5,), (-0.1,)):
        with pytest.raises(PayloadError):
            Result.of(Result(0, values, (), QualityState.OK).to_bytes())
    with pytest.raises(PayloadError):  # a finding that does not exist is on
        Result.of(Result(0, (0.5,), (1,), QualityState.OK).to_bytes())


def test_a_name_from_the_air_cannot_control_the_terminal() -> None:
    name = Info.of(Info(4000, Codec.PCM16, "a\x1b[2Jb\nc").to_bytes()).name
    assert name == "a\ufffd[2Jb\ufffdc"


def test_every_reason_has_its_bit() -> None:
    assert set(REASON_BITS) == set(Reason)
    assert len(REASON_BITS) <= 16
