"""Links as sources: every sample in its place, every loss reported, none invented."""

from __future__ import annotations

import logging
import random
import threading
import time

import numpy as np
import pytest
from scripted_link import GONE, RATE, Scripted, Sender

from acula_edge.errors import DeviceError
from acula_edge.events import Fault, FaultKind, QualityState
from acula_edge.sources.base import Block
from firmware_bridge.link.connection import host_frame
from firmware_bridge.link.framing import frame
from firmware_bridge.link.packet import Codec, Packet, build
from firmware_bridge.link.payload import EventCode, Result, Sync
from firmware_bridge.link.simulate import Channel, Device
from firmware_bridge.link.source import PacketSource


def listen(transport: Scripted, **options: float) -> tuple[PacketSource, list[Block | Fault]]:
    with PacketSource(transport, **options) as source:
        return source, list(source.blocks())


def layout(heard: list[Block | Fault]) -> list[tuple[int, int, int]]:
    return [(b.first_sample, len(b.pcm), b.lost) for b in heard if isinstance(b, Block)]


def faults(heard: list[Block | Fault]) -> list[FaultKind]:
    return [item.kind for item in heard if isinstance(item, Fault)]


def check_every_sample(pcm: np.ndarray, origin: int, heard: list[Block | Fault]) -> int:
    """Each sample that came out is the one of its index; returns the samples reported lost."""
    end = 0
    for block in heard:
        assert isinstance(block, Block)
        assert block.first_sample == end + block.lost
        end = block.first_sample + len(block.pcm)
        sent = pcm[origin + block.first_sample : origin + end]
        assert np.array_equal(block.pcm * 32768, sent)
    assert origin + end == len(pcm)
    return sum(block.lost for block in heard if isinstance(block, Block))


def recording(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(-32768, 32768, int(seconds * RATE)).astype(np.int16)


def test_a_perfect_link() -> None:
    pcm = recording(3)
    frames = [timed.frame for timed in Device(pcm, RATE).frames()]
    source, heard = listen(Scripted(frames))
    assert source.rate == RATE
    assert source.name == "simulated stethoscope (scripted:)"
    assert check_every_sample(pcm, 0, heard) == source.lost_samples == 0
    assert source.counters.broken == source.counters.missing == 0


@pytest.mark.parametrize("seed", range(5))
def test_at_5_percent_loss_the_index_is_exact_and_every_lost_sample_is_reported(seed: int) -> None:
    pcm = recording(120, seed)
    device = Device(pcm, RATE)
    frames = list(device.frames())
    channel = Channel(loss=0.05, seed=seed)
    arrived = list(channel.carry(frames))
    source, heard = listen(Scripted([timed.frame for timed in arrived]))
    # The sound begins with the first packet heard; what was dropped before it was never missed.
    kept = {timed.frame for timed in arrived}
    first = next(n for n, timed in enumerate(frames) if timed.frame in kept)
    origin = sum(timed.samples for timed in frames[:first])
    truth = channel.sent.samples_dropped - origin
    assert truth > 15_000
    assert check_every_sample(pcm, origin, heard) == truth
    assert source.lost_samples == truth
    assert source.counters.missing == sum(t.frame not in kept for t in frames[first:])


def test_damaged_packets_are_lost_samples_too() -> None:
    pcm = recording(60)
    channel = Channel(corrupt=0.03, seed=4)
    arrived = list(channel.carry(Device(pcm, RATE).frames()))
    source, heard = listen(Scripted([timed.frame for timed in arrived]))
    lost = check_every_sample(pcm, 0, heard)
    assert lost == source.lost_samples
    assert channel.sent.corrupted > 40
    assert source.counters.broken >= 0.9 * channel.sent.corrupted
    assert lost >= 128 * 0.8 * channel.sent.corrupted


def test_duplicates_and_overtaking_datagrams_cost_nothing() -> None:
    pcm = recording(60)
    # Up to 60 ms late, a packet is overtaken by at most two.
    channel = Channel(duplicate=0.1, jitter_ms=60.0, reorders=True, seed=1)
    frames = [timed.frame for timed in channel.carry(Device(pcm, RATE).frames())]
    source, heard = listen(Scripted(frames, datagrams=True))
    assert check_every_sample(pcm, 0, heard) == 0
    assert channel.sent.duplicated > 100
    assert source.duplicate_packets > 80
    assert source.late_packets == 0


def test_on_a_stream_a_late_packet_is_dropped_and_counted() -> None:
    send = Sender()
    a, b, c, d = send.info(), *(send.audio(100 * n) for n in range(3))
    source, heard = listen(Scripted([a, b, d, c]))
    assert layout(heard)[:2] == [(0, 100, 0), (200, 100, 100)]
    assert (source.late_packets, source.lost_samples) == (1, 100)


def test_adpcm_loses_only_what_was_lost() -> None:
    pcm = (8000 * np.sin(np.arange(20 * RATE) / 20)).astype(np.int16)
    frames = list(Device(pcm, RATE, codec=Codec.ADPCM).frames())
    _, clean = listen(Scripted([timed.frame for timed in frames]))
    whole = np.concatenate([block.pcm for block in clean if isinstance(block, Block)])
    assert np.abs(whole * 32768 - pcm).mean() < 200
    arrived = Channel(loss=0.1, seed=3).carry(frames)
    _, heard = listen(Scripted([timed.frame for timed in arrived]))
    for block in heard:
        assert isinstance(block, Block)
        assert np.array_equal(block.pcm, whole[block.first_sample :][: len(block.pcm)])


def test_packets_before_the_first_info_are_not_lost() -> None:
    send = Sender()
    steps = [send.audio(5000), send.audio(5100), send.info(5200), send.audio(5200)]
    source, heard = listen(Scripted([b"".join(steps)]))
    assert layout(heard) == [(0, 100, 0), (100, 100, 0), (200, 100, 0)]
    assert source.lost_samples == 0


def test_what_is_lost_at_either_end_is_reported() -> None:
    send = Sender()
    steps = [send.info(1000), send.audio(1200), send.event(1700, EventCode.STOP)]
    source, heard = listen(Scripted(steps))
    assert layout(heard) == [(200, 100, 200), (700, 0, 400)]
    assert source.lost_samples == 600


def test_stop_ends_the_source_and_the_host_says_start_and_stop() -> None:
    send = Sender()
    transport = Scripted(
        [send.info(), send.audio(0), send.event(100, EventCode.STOP), send.audio(100)], live=True
    )
    _, heard = listen(transport)
    assert layout(heard) == [(0, 100, 0)]
    assert transport.written == [host_frame(EventCode.START), host_frame(EventCode.STOP)]


def test_a_device_that_counts_anew_goes_on_without_invented_loss() -> None:
    send = Sender()
    before = [send.info(), *(send.audio(100 * n) for n in range(200))]
    send.sequence = 0
    after = [send.info(0), send.audio(0), send.audio(200)]
    source, heard = listen(Scripted(before + after))
    assert faults(heard) == [FaultKind.DEVICE_BACK]
    assert layout(heard)[-2:] == [(20_000, 100, 0), (20_200, 100, 100)]
    assert source.lost_samples == 100


def test_a_wild_index_is_not_years_of_lost_sound() -> None:
    send = Sender()
    wild = send.audio(2**61)
    source, heard = listen(Scripted([send.info(), send.audio(0), wild, send.audio(2**61 + 150)]))
    assert layout(heard) == [(0, 100, 0), (100, 100, 0), (250, 100, 50)]
    assert faults(heard) == [FaultKind.DEVICE_BACK]
    send = Sender()
    stop = send.event(2**61, EventCode.STOP)
    source, heard = listen(Scripted([send.info(), send.audio(0), stop]))
    assert source.lost_samples == 0


def test_packets_that_make_no_sense_are_counted_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    send = Sender()
    odd = [send(2, 100, b"abc", 1), send(2, 100, b"abcd", 9), send(3, 0, b"x"), send(77, 0, b"")]
    with caplog.at_level(logging.WARNING):
        source, heard = listen(Scripted([send.info(), send.audio(0), *odd, send.audio(100)]))
    assert layout(heard) == [(0, 100, 0), (100, 100, 0)]
    assert source.counters.invalid == 4
    assert source.counters.packets == 3
    assert len(caplog.messages) == 1


def test_a_device_that_changes_its_rate_is_refused() -> None:
    send = Sender()
    with pytest.raises(DeviceError, match="changed its rate from 4000 to 8000 Hz"):
        listen(Scripted([send.info(), send.audio(0), send.info(100, rate=8000)]))


@pytest.mark.parametrize("junk", [b"", b"hello\0world\0" * 50, b"\0" * 100])
def test_what_is_no_link_is_one_sentence(junk: bytes) -> None:
    with pytest.raises(DeviceError, match=r"scripted: sent no INFO packet of an AcuLa link \("):
        listen(Scripted([junk] if junk else []))


def test_a_link_that_breaks_is_opened_again_and_its_outage_counted() -> None:
    send = Sender()
    first = [send.info(), send.audio(0), GONE]
    second = [send.audio(900), send.event(1000, EventCode.STOP)]
    transport = Scripted(first, [GONE], second, live=True)
    source, heard = listen(transport)
    assert transport.opened == 3
    assert faults(heard) == [FaultKind.DEVICE_LOST, FaultKind.DEVICE_BACK]
    assert layout(heard) == [(0, 100, 0), (900, 100, 800)]
    assert source.lost_samples == 800


def test_silence_is_a_lost_device_too() -> None:
    send = Sender()
    first = [send.info(), send.audio(0)]
    second = [send.audio(500), send.event(600, EventCode.STOP)]
    started = time.monotonic()
    _, heard = listen(Scripted(first, second, live=True), watchdog_seconds=0.4)
    assert faults(heard) == [FaultKind.DEVICE_LOST, FaultKind.DEVICE_BACK]
    assert layout(heard) == [(0, 100, 0), (500, 100, 400)]
    assert 0.4 < time.monotonic() - started < 3.0


def test_a_listener_that_is_slow_has_lost_no_device() -> None:
    send = Sender()
    frames = [send.info(), *(send.audio(100 * n) for n in range(10))]
    stop = [0.7, send.event(1000, EventCode.STOP)]
    with PacketSource(Scripted(frames + stop, live=True), watchdog_seconds=0.5) as source:
        heard = []
        for item in source.blocks():
            if not heard:
                time.sleep(1.2)
            heard.append(item)
    assert faults(heard) == []
    assert source.lost_samples == 0


def test_a_device_that_reboots_says_so_once() -> None:
    send = Sender()
    first = [send.info(), *(send.audio(100 * n) for n in range(200)), GONE]
    second = [send.info(0), send.audio(0), send.event(100, EventCode.STOP)]
    source, heard = listen(Scripted(first, second, live=True))
    assert faults(heard) == [FaultKind.DEVICE_LOST, FaultKind.DEVICE_BACK]
    assert source.lost_samples == 0
    assert layout(heard)[-1] == (20_000, 100, 0)


def test_a_device_that_breaks_off_while_it_is_awaited_is_closed() -> None:
    transport = Scripted([b"\0", GONE], live=True)
    before = threading.active_count()
    with pytest.raises(DeviceError, match="is gone"):
        listen(transport)
    assert threading.active_count() == before


def test_closing_from_another_thread_ends_a_search_for_the_device() -> None:
    send = Sender()
    with PacketSource(Scripted([send.info(), send.audio(0), GONE], live=True)) as source:
        threading.Timer(0.5, source.close_link).start()
        heard = list(source.blocks())
    assert faults(heard) == [FaultKind.DEVICE_LOST]


def test_results_and_all_packets_reach_those_who_want_them() -> None:
    send = Sender()
    result = Result(3, (0.5, 0.25), (0,), QualityState.OK)
    seen: list[Packet] = []
    sync = Sync(8, 8000).to_bytes()
    steps = [send.info(), send(5, 0, result.to_bytes()), send(3, 4, sync), send.audio(0)]
    with PacketSource(Scripted(steps), on_packet=seen.append) as source:
        list(source.blocks())
        assert source.last_result == result
    assert [packet.type for packet in seen] == [1, 5, 3, 2]


def hostile_frames(count: int, seed: int) -> list[bytes]:
    chance = random.Random(seed)
    edges = (0, 1, 99, 10**4, 2**31, 2**62, 2**63, 2**64 - 1)
    return [
        frame(
            build(
                Packet(
                    *(chance.choice((1, 2, 2, 3, 4, 5, 6)), chance.choice((0, 1, 2, 3)), 7),
                    *(chance.randrange(2**32), chance.choice(edges) % 2**64),
                    chance.randbytes(chance.choice((0, 2, 5, 12, 20, 40, 100))),
                )
            )
        )
        for _ in range(count)
    ]


def test_a_hostile_device_cannot_break_the_numbering() -> None:
    """Right CRCs around wild fields: no exception, ascending blocks, no more loss than an hour."""
    for seed in range(5):
        send = Sender()
        _, heard = listen(Scripted([send.info(), *hostile_frames(2000, seed)]))
        end = 0
        for item in heard:
            if isinstance(item, Block):
                assert item.first_sample == end + item.lost
                assert 0 <= item.lost <= 3600 * RATE
                end = item.first_sample + len(item.pcm)


def test_a_wrong_rate_is_measured_and_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PDM microphone at 0.775 % above nominal, delivered with 10 ms of jitter, in no time."""
    from firmware_bridge.link import reader

    pcm = (8000 * np.sin(2 * np.pi * 200 * np.arange(60 * 4031) / 4031)).astype(np.int16)
    channel = Channel(jitter_ms=10.0)
    frames = list(channel.carry(Device(pcm, RATE, drift_ppm=7750.0).frames()))

    class Timeline(Scripted):
        now = 1000.0

        def read(self) -> bytes | None:
            item = next(self._script, None)
            if item is None:
                return super().read()
            Timeline.now = 1000.0 + item.at
            return item.frame

    class FakeTime:
        @staticmethod
        def monotonic() -> float:
            return Timeline.now

    monkeypatch.setattr(reader, "time", FakeTime)
    transport = Timeline(frames, live=True)
    with PacketSource(transport, watchdog_seconds=1e9) as source:
        blocks = [item for item in source.blocks() if isinstance(item, Block)]
        assert source.ppm == pytest.approx(7750.0, abs=5.0)
    assert sum(block.lost for block in blocks) == 0
    heard = np.concatenate([block.pcm for block in blocks])
    late = heard[40 * RATE : 50 * RATE] * np.hanning(10 * RATE)
    tone = np.argmax(np.abs(np.fft.rfft(late))) / 10
    assert tone == pytest.approx(200.0, abs=0.11)  # 201.55 Hz by the nominal rate


def test_the_lag_is_what_waits_in_the_host() -> None:
    send = Sender()
    frames = [send.info(), *(send.audio(100 * n) for n in range(40))]
    with PacketSource(Scripted(frames, live=True)) as source:
        blocks = source.blocks()
        for _ in range(40):
            next(blocks)
        assert source.lag_seconds < 0.2
        time.sleep(0.5)
        assert source.lag_seconds == pytest.approx(0.5, abs=0.2)
