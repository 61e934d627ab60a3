"""A transport that delivers what a test wrote down."""

from __future__ import annotations

import time
from collections.abc import Iterable

from acula_edge.errors import DeviceError
from firmware_bridge.link.framing import frame
from firmware_bridge.link.packet import Codec, Packet, PacketType, build
from firmware_bridge.link.payload import DeviceEvent, EventCode, Info

RATE = 4000
ID = 7
GONE = DeviceError("scripted: is gone.")
Step = bytes | DeviceError | float


class Scripted:
    """Each opening plays the next script: bytes, an error to raise, or seconds of silence.

    A script that is exhausted says no more, or ends the link where `ends`. An opening for which
    there is no script fails.
    """

    name = "scripted:"
    reopens = True

    def __init__(
        self, *scripts: Iterable[Step], datagrams: bool = False, live: bool = False
    ) -> None:
        self.datagrams = datagrams
        self.live = live
        self.opened = 0
        self.written: list[bytes] = []
        self._scripts = [iter(script) for script in scripts]

    def open(self) -> None:
        self.opened += 1
        if self.opened > len(self._scripts):
            raise GONE
        self._script = self._scripts[self.opened - 1]

    def read(self) -> bytes | None:
        step = next(self._script, None)
        if isinstance(step, DeviceError):
            raise step
        if isinstance(step, float):
            time.sleep(step)
            return b""
        if step is None and self.live:
            time.sleep(0.01)
            return b""
        return step

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None: ...


class Sender:
    """Builds the frames of one device; the sequence goes on by itself."""

    def __init__(self, device: int = ID) -> None:
        self.device = device
        self.sequence = 0

    def __call__(self, kind: int, index: int, payload: bytes, codec: int = 0) -> bytes:
        packet = Packet(kind, codec, self.device, self.sequence, index, payload)
        self.sequence += 1
        return frame(build(packet))

    def info(self, index: int = 0, rate: int = RATE) -> bytes:
        return self(PacketType.INFO, index, Info(rate, Codec.PCM16, "test device").to_bytes())

    def audio(self, index: int, count: int = 100) -> bytes:
        """Samples that tell their own index, modulo 2^15."""
        samples = b"".join(((index + n) % 2**15).to_bytes(2, "little") for n in range(count))
        return self(PacketType.AUDIO, index, samples, Codec.PCM16)

    def event(self, index: int, code: EventCode) -> bytes:
        return self(PacketType.EVENT, index, DeviceEvent(code).to_bytes())
