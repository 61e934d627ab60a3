from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from acula_edge.errors import UsageError
from acula_edge.events import Fault, FaultKind
from acula_edge.sources.base import Block
from acula_edge.sources.files import FileSource
from acula_edge.sources.link import AudioPacket, LinkSource
from acula_edge.sources.open import open_source


class MemoryLink(LinkSource):
    def __init__(self, *sent: AudioPacket | Fault) -> None:
        super().__init__("memory")
        self.sent = sent
        self.is_open = False

    def open_link(self) -> int:
        self.is_open = True
        return 100

    def close_link(self) -> None:
        self.is_open = False

    def packets(self) -> Iterator[AudioPacket | Fault]:
        return iter(self.sent)


def packet(start: int, count: int = 10) -> AudioPacket:
    """Samples that tell their own index."""
    return AudioPacket(start, np.arange(start, start + count, dtype=np.float32))


def listen(*sent: AudioPacket | Fault) -> tuple[MemoryLink, list[Block | Fault]]:
    with MemoryLink(*sent) as link:
        assert link.is_open
        assert link.rate == 100
        heard = list(link.blocks())
    assert not link.is_open
    return link, heard


def layout(heard: list[Block | Fault]) -> list[tuple[int, int, int]]:
    return [(b.first_sample, len(b.pcm), b.lost) for b in heard if isinstance(b, Block)]


def counts(link: MemoryLink) -> tuple[int, int, int]:
    return link.lost_samples, link.duplicate_packets, link.late_packets


def test_a_perfect_link_starts_at_zero_wherever_the_device_counts() -> None:
    link, heard = listen(packet(7000), packet(7010), packet(7020, 3))
    assert layout(heard) == [(0, 10, 0), (10, 10, 0), (20, 3, 0)]
    assert counts(link) == (0, 0, 0)


def test_a_gap_is_exact() -> None:
    link, heard = listen(packet(0), packet(37), packet(47))
    assert layout(heard) == [(0, 10, 0), (37, 10, 27), (47, 10, 0)]
    assert counts(link) == (27, 0, 0)


def test_duplicates_are_dropped() -> None:
    link, heard = listen(packet(0), packet(0), packet(10), packet(0), packet(10))
    assert layout(heard) == [(0, 10, 0), (10, 10, 0)]
    assert counts(link) == (0, 3, 0)


def test_a_reordered_packet_is_late_and_its_place_stays_lost() -> None:
    link, heard = listen(packet(0), packet(20), packet(10), packet(30))
    assert layout(heard) == [(0, 10, 0), (20, 10, 10), (30, 10, 0)]
    assert counts(link) == (10, 0, 1)


def test_an_overlap_gives_only_what_is_new() -> None:
    link, heard = listen(packet(0), packet(6))
    assert layout(heard) == [(0, 10, 0), (10, 6, 0)]
    assert isinstance(heard[1], Block)
    assert heard[1].pcm.tolist() == [10, 11, 12, 13, 14, 15]
    assert counts(link) == (0, 0, 0)


def test_a_device_that_counts_anew_goes_on() -> None:
    link, heard = listen(*(packet(s) for s in range(0, 500, 10)), packet(0), packet(10))
    assert layout(heard)[-3:] == [(490, 10, 0), (500, 10, 0), (510, 10, 0)]
    assert [f for f in heard if isinstance(f, Fault)] == [Fault(5.0, FaultKind.DEVICE_BACK)]
    assert counts(link) == (0, 0, 0)


def test_faults_of_the_transport_and_empty_packets_pass() -> None:
    fault = Fault(0.1, FaultKind.DEVICE_LOST)
    link, heard = listen(packet(0), fault, packet(10, 0), packet(10))
    assert heard[1] is fault
    assert layout(heard) == [(0, 10, 0), (10, 10, 0)]
    assert counts(link) == (0, 0, 0)


def test_any_order_of_packets_places_every_sample_at_its_index() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        starts = np.concatenate([[0], 10 * np.clip(np.arange(40) + rng.integers(-4, 5, 40), 0, 99)])
        link, heard = listen(*(packet(int(start)) for start in starts))
        blocks = [block for block in heard if isinstance(block, Block)]
        end = 0
        for block in blocks:
            assert block.first_sample == end + block.lost
            assert block.pcm[0] == block.first_sample
            end = block.first_sample + len(block.pcm)
        assert sum(block.lost for block in blocks) == link.lost_samples
        assert len(blocks) + link.duplicate_packets + link.late_packets == len(starts)


def test_other_specs() -> None:
    from acula_edge.sources.microphone import Microphone

    assert isinstance(open_source(None, device="usb"), Microphone)
    for path in ("a.wav", "some/dir/a.wav", "C:\\sounds\\a.wav"):
        assert isinstance(open_source(path), FileSource)
    with pytest.raises(UsageError, match="--rate"):
        open_source("-")
    with pytest.raises(UsageError, match="not both"):
        open_source("a.wav", device="usb")


def test_a_file_with_a_colon_is_a_file(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "take:one.wav").touch()
    assert isinstance(open_source("take:one.wav"), FileSource)
