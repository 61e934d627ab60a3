"""A recording as a device would send it, over a channel with faults: a test stand-in.

`Device` says what is sent and when by its own clock; `Channel` loses, damages and delays it; `play`
sends it on time.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from acula_edge.errors import UsageError
from acula_edge.sources.files import FileSource
from firmware_bridge.link.codec import MOST_SAMPLES, AdpcmEncoder, Samples
from firmware_bridge.link.framing import frame
from firmware_bridge.link.packet import Codec, Packet, PacketType, build
from firmware_bridge.link.payload import DeviceEvent, EventCode, Info, Sync

_PACKET_SECONDS: Final = 0.032
_TICK_RATE: Final = 32_768
_STOPS: Final = 3
DEVICE_ID: Final = 0x5EED0001


@dataclass(frozen=True)
class Timed:
    """A frame, the seconds after the start at which it is sent, and the samples it carries."""

    at: float
    frame: bytes
    samples: int = 0


@dataclass(frozen=True)
class Device:
    """A device that plays int16 `pcm` of shape (n,) at `rate` Hz, sampling `drift_ppm` too fast."""

    pcm: Samples
    rate: int
    name: str = "simulated stethoscope"
    codec: Codec = Codec.PCM16
    drift_ppm: float = 0.0
    id: int = DEVICE_ID

    def frames(self) -> Iterator[Timed]:
        """START and INFO, AUDIO every 32 ms, INFO and SYNC every second, and STOP three times."""
        adpcm = AdpcmEncoder()
        say = _Sender(self)
        info = Info(self.rate, self.codec, self.name)
        yield say(PacketType.EVENT, 0, DeviceEvent(EventCode.START).to_bytes())
        size = min(max(1, round(_PACKET_SECONDS * self.rate)), MOST_SAMPLES[self.codec])
        second = -1
        for start in range(0, len(self.pcm), size):
            if start // self.rate > second:
                second = start // self.rate
                sync = Sync(start * _TICK_RATE // self.rate, _TICK_RATE)
                yield say(PacketType.INFO, start, info.to_bytes())
                yield say(PacketType.SYNC, start, sync.to_bytes())
            part = self.pcm[start : start + size]
            coded = part.astype("<i2").tobytes()
            if self.codec is Codec.ADPCM:
                coded = adpcm.encode(part)
            yield say(PacketType.AUDIO, start, coded, len(part))
        for _ in range(_STOPS):
            stop = DeviceEvent(EventCode.STOP).to_bytes()
            yield say(PacketType.EVENT, len(self.pcm), stop)


class _Sender:
    """Numbers packets and dates them: a packet leaves when its last sample was captured."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._true_rate = device.rate * (1.0 + device.drift_ppm * 1e-6)
        self._sequence = 0

    def __call__(self, kind: PacketType, index: int, payload: bytes, samples: int = 0) -> Timed:
        codec = self._device.codec if kind is PacketType.AUDIO else Codec.NONE
        packet = Packet(kind, codec, self._device.id, self._sequence, index, payload)
        self._sequence += 1
        return Timed((index + samples) / self._true_rate, frame(build(packet)), samples)


@dataclass
class Sent:
    """What a channel did: packets in all, and the packets and samples of sound it dropped."""

    packets: int = 0
    dropped: int = 0
    corrupted: int = 0
    duplicated: int = 0
    samples: int = 0
    samples_dropped: int = 0


@dataclass(frozen=True)
class Channel:
    """Drops, damages, repeats and delays frames, reproducibly by `seed`.

    `loss`, `corrupt` and `duplicate` are probabilities per frame; a damaged one has one to eight
    bits flipped. `jitter_ms` is the longest delay, uniform from 0; a frame never overtakes one
    before it unless the channel `reorders`, as datagrams do.
    """

    loss: float = 0.0
    corrupt: float = 0.0
    duplicate: float = 0.0
    jitter_ms: float = 0.0
    reorders: bool = False
    seed: int = 0
    sent: Sent = field(default_factory=Sent)

    def __post_init__(self) -> None:
        shares = (self.loss, self.corrupt, self.duplicate)
        if not all(0.0 <= share <= 1.0 for share in shares) or self.jitter_ms < 0:
            raise UsageError("Loss and corruption are shares from 0 to 1, and jitter is positive.")

    def carry(self, frames: Iterable[Timed]) -> Iterator[Timed]:
        """What arrives of `frames`, and when, in that order."""
        chance = random.Random(self.seed)
        late: list[tuple[float, int, Timed]] = []
        queued = 0.0
        for number, timed in enumerate(self._surviving(frames, chance)):
            arrival = timed.at + chance.uniform(0.0, self.jitter_ms * 1e-3)
            queued = arrival if self.reorders else max(queued, arrival)
            heapq.heappush(late, (queued, number, Timed(queued, timed.frame, timed.samples)))
            while late and late[0][0] <= timed.at:
                yield heapq.heappop(late)[2]
        while late:
            yield heapq.heappop(late)[2]

    def _surviving(self, frames: Iterable[Timed], chance: random.Random) -> Iterator[Timed]:
        for timed in frames:
            self.sent.packets += 1
            self.sent.samples += timed.samples
            if chance.random() < self.loss:
                self.sent.dropped += 1
                self.sent.samples_dropped += timed.samples
                continue
            damaged = chance.random() < self.corrupt
            self.sent.corrupted += damaged
            yield Timed(timed.at, _flip(timed.frame, chance), timed.samples) if damaged else timed
            if chance.random() < self.duplicate:
                self.sent.duplicated += 1
                yield timed


def _flip(data: bytes, chance: random.Random) -> bytes:
    flipped = bytearray(data)
    for bit in chance.sample(range(8 * len(data)), chance.randint(1, 8)):
        flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


class Port(Protocol):
    """Where a simulated device sends."""

    def wait(self) -> None:
        """Until a host is there."""
        ...

    def send(self, data: bytes) -> None:
        """One frame. BrokenPipeError where the host has left."""
        ...

    def close(self) -> None:
        """Done."""
        ...


def play(frames: Iterable[Timed], port: Port, *, speed: float = 1.0) -> bool:
    """Send frames when they are due, `speed` times as fast. False where the host left before."""
    started = time.monotonic()
    try:
        for timed in frames:
            time.sleep(max(0.0, started + timed.at / speed - time.monotonic()))
            port.send(timed.frame)
    except (BrokenPipeError, ConnectionError):
        return False
    return True


def read_recording(path: Path) -> tuple[Samples, int]:
    """First channel, int16 of shape (n,), and rate in Hz. AudioFileError where it is no audio."""
    with FileSource(path) as source:
        pcm = np.concatenate([block.pcm for block in source.blocks()])
        scaled = np.rint(np.nan_to_num(pcm) * 32768.0)
        return np.clip(scaled, -32768, 32767).astype(np.int16), source.rate
