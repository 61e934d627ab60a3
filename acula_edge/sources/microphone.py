"""A microphone or USB stethoscope as a source that survives being unplugged."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from acula_edge.errors import DeviceError
from acula_edge.events import Fault, FaultKind
from acula_edge.resample import Resampler
from acula_edge.sources.base import Block, Pcm
from acula_edge.sources.capture import Capture, open_capture
from acula_edge.sources.devices import InputDevice, find_device, refresh_devices

_FIRST_RETRY_SECONDS: Final = 0.25
_LONGEST_RETRY_SECONDS: Final = 5.0
# A sleeping sound server takes up to two seconds to hand out its first samples.
_START_SECONDS: Final = 5.0
_SHORTEST_NAP_SECONDS: Final = 0.005
# After the process itself was stopped, a living device calls back within this time.
_SECOND_LOOK_SECONDS: Final = 0.2


class Microphone:
    """Blocks of one channel at the device's own rate; `rate` is known inside `with` and stays.

    A device that falls silent for `watchdog_seconds` is lost: `blocks` yields a DEVICE_LOST fault,
    looks for the same device by its stable id until it is back, and yields DEVICE_BACK. No samples
    exist for the outage, so its length is the one thing here that is measured by the monotonic
    clock: the next block carries it as `lost`, and no fault does, so that it is counted once. A
    device that comes back with another rate is resampled to the original one. Looking for it
    restarts PortAudio, which kills every other stream of the process: listen to one microphone per
    process.

    A consumer may fall behind by `buffer_seconds`; beyond that, samples are lost and counted.
    Opening raises DeviceError or MissingDependencyError.
    """

    def __init__(
        self,
        selector: str | None = None,
        *,
        channel: int = 0,
        block_seconds: float = 0.1,
        watchdog_seconds: float = 1.5,
        buffer_seconds: float = 4.0,
    ) -> None:
        self.name = selector or "default input"
        self.rate = 0
        self._selector = selector
        self._channel = channel
        self._block_seconds = block_seconds
        self._watchdog_seconds = watchdog_seconds
        self._buffer_seconds = buffer_seconds
        self._closing = threading.Event()
        self._position = 0
        self._pending_lost = 0
        self._lost = 0
        self._overflows_told = 0
        self._capture_start = 0

    def __enter__(self) -> Self:
        device = find_device(self._selector)
        capture = self._open(device)
        self.name = device.name
        self.rate = capture.rate
        self._device_id = device.id
        self._adopt(capture)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop at once, ending `blocks` in whichever thread it runs; harmless when repeated."""
        self._closing.set()
        if self.rate:
            self._capture.close()

    @property
    def lag_seconds(self) -> float:
        """Seconds between the newest sound and what `blocks` has handed out; 0 during an outage."""
        if not self.rate or self._closing.is_set():
            return 0.0
        handed = self._position + self._pending_lost - self._capture_start
        return self._capture.clock.lag(time.monotonic(), handed / self.rate)

    @property
    def lost_samples(self) -> int:
        """Samples lost so far, outages included, as far as `blocks` has come."""
        return self._lost

    def blocks(self) -> Iterator[Block | Fault]:
        """Yield blocks of `block_seconds` (shorter only at a loss) and faults, until closed."""
        while not self._closing.is_set():
            yield from self._overflow_faults()
            missing = self._block_size - self._capture.ring.available
            if missing <= 0:
                yield from self._next_blocks()
            elif self._is_gone():
                yield from self._recover()
            else:
                nap = max(_SHORTEST_NAP_SECONDS, missing / self._capture.rate)
                self._closing.wait(min(nap, self._block_seconds))

    def _open(self, device: InputDevice) -> Capture:
        return open_capture(device, channel=self._channel, buffer_seconds=self._buffer_seconds)

    def _adopt(self, capture: Capture) -> None:
        self._capture = capture
        self._block_size = max(1, round(self._block_seconds * capture.rate))
        self._resampler = Resampler(capture.rate, self.rate)
        self._overflows_told = 0
        self._capture_start = self._position + self._pending_lost

    def _next_blocks(self) -> Iterator[Block]:
        chunk = self._capture.ring.read(self._block_size)
        if chunk.lost:
            yield from self._as_block(self._resampler.flush())
            self._lose(round(chunk.lost * self.rate / self._capture.rate))
        yield from self._as_block(self._resampler.push(chunk.pcm))

    def _as_block(self, pcm: Pcm) -> Iterator[Block]:
        if not len(pcm):
            return
        lost, self._pending_lost = self._pending_lost, 0
        first = self._position + lost
        self._position = first + len(pcm)
        yield Block(pcm, first, lost)

    def _lose(self, samples: int) -> None:
        self._pending_lost += samples
        self._lost += samples

    def _overflow_faults(self) -> Iterator[Fault]:
        flags = self._capture.overflow_flags
        if flags > self._overflows_told:
            self._overflows_told = flags
            yield self._fault(FaultKind.OVERFLOW)

    def _fault(self, kind: FaultKind) -> Fault:
        return Fault((self._position + self._pending_lost) / self.rate, kind)

    def _is_gone(self) -> bool:
        """Whether callbacks have ceased. Looks twice: a stopped process resumes with old times."""
        return (
            self._seems_gone()
            and not self._closing.wait(_SECOND_LOOK_SECONDS)
            and (self._seems_gone())
        )

    def _seems_gone(self) -> bool:
        capture = self._capture
        patience = _START_SECONDS if capture.first_at is None else self._watchdog_seconds
        return not capture.active or capture.silent_for() > patience

    def _recover(self) -> Iterator[Block | Fault]:
        gone_at = self._capture.last_at
        yield from self._drain()
        yield self._fault(FaultKind.DEVICE_LOST)
        fresh = self._reopen()
        if fresh is None:
            return
        outage = max(0.0, (fresh.began_at or gone_at) - gone_at)
        self._lose(round(outage * self.rate))
        self._adopt(fresh)
        if self._closing.is_set():
            fresh.close()
            return
        yield self._fault(FaultKind.DEVICE_BACK)

    def _drain(self) -> Iterator[Block]:
        """Hand out all that arrived before the device went."""
        self._capture.close()
        while self._capture.ring.available:
            yield from self._next_blocks()
        yield from self._as_block(self._resampler.flush())
        trailing = self._capture.ring.take_trailing_gap()
        self._lose(round(trailing * self.rate / self._capture.rate))

    def _reopen(self) -> Capture | None:
        """The device again, delivering sound, however long it takes; None once closed."""
        delay = _FIRST_RETRY_SECONDS
        while not self._closing.wait(delay):
            delay = min(2 * delay, _LONGEST_RETRY_SECONDS)
            try:
                refresh_devices()
                capture = self._open(find_device(self._device_id))
            except DeviceError:
                continue
            if self._speaks(capture):
                return capture
            capture.close()
        return None

    def _speaks(self, capture: Capture) -> bool:
        while capture.first_at is None and capture.silent_for() < _START_SECONDS:
            if not capture.active or self._closing.wait(_SHORTEST_NAP_SECONDS):
                return False
        return capture.first_at is not None
