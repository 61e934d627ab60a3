"""One open PortAudio input: a callback that only copies, and the clock it is measured by."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import DeviceError
from acula_edge.sources.devices import InputDevice, load_portaudio, quiet_stderr, reason
from acula_edge.sources.ring import Ring

_FALLBACK_RATES: Final = (48000, 44100, 32000, 16000, 8000, 4000)
# Sound servers announce 32 or more channels, and mix a mono or stereo input when asked for them.
_MOST_REAL_CHANNELS: Final = 8
# Some 40 callbacks a second: cheap on a Raspberry Pi, and far below what a listener notices.
_LATENCY_SECONDS: Final = 0.1
_DEVICE_UNAVAILABLE: Final = -9985
# Twice what the worst pair of sound card and computer clocks drift apart.
_DRIFT: Final = 5e-4


class LagClock:
    """How far processing is behind the sound, from arrival times alone.

    `offset = now - seconds of sound arrived` is constant but for jitter, which only adds to it: its
    smallest value is the moment of capture. Sound queued by a server or a slow consumer raises what
    was handed out above that. The smallest value may rise by 0.5 ms per second, so that a device
    clock slower than the computer's is no lag.
    """

    def __init__(self) -> None:
        self._baseline: float | None = None
        self._updated = 0.0

    def arrived(self, now: float, seconds: float) -> None:
        """`seconds` of sound have arrived in all, at the monotonic time `now`."""
        offset = now - seconds
        if self._baseline is not None:
            offset = min(offset, self._baseline + _DRIFT * (now - self._updated))
        self._baseline = offset
        self._updated = now

    def lag(self, now: float, seconds: float) -> float:
        """Seconds between the sound of `now` and the `seconds` of sound that were handed out."""
        return 0.0 if self._baseline is None else max(0.0, now - seconds - self._baseline)


class Capture:
    """A started input stream of one channel; the constructor raises sounddevice's PortAudioError.

    Lost samples are those that did not fit into `ring`; `overflow_flags` counts the times PortAudio
    itself reported a loss, of unknown size.
    """

    def __init__(
        self, device: InputDevice, rate: int, *, channels: int, channel: int, buffer_seconds: float
    ) -> None:
        self.rate = rate
        self.ring = Ring(max(1, round(buffer_seconds * rate)))
        self.clock = LagClock()
        self.overflow_flags = 0
        self.first_at: float | None = None
        self.received = 0
        self.last_at = time.monotonic()
        self._first_seconds = 0.0
        self._channel = channel
        self._closing = threading.Lock()
        self._stream: Any = load_portaudio().InputStream(
            samplerate=rate,
            device=device.index,
            channels=channels,
            dtype="float32",
            latency=_LATENCY_SECONDS,
            callback=self._on_audio,
        )
        try:
            self._stream.start()
        except BaseException:
            self.close()
            raise

    @property
    def began_at(self) -> float | None:
        """Monotonic time of the first sample; None before the first callback."""
        return None if self.first_at is None else self.first_at - self._first_seconds

    @property
    def active(self) -> bool:
        """Whether PortAudio still runs the stream."""
        return self._stream is not None and bool(self._stream.active)

    def silent_for(self) -> float:
        """Seconds since the last callback, or since opening."""
        return time.monotonic() - self.last_at

    def close(self) -> None:
        """Stop at once; harmless when repeated or called from another thread."""
        with self._closing:
            stream, self._stream = self._stream, None
            if stream is not None:
                with quiet_stderr(), contextlib.suppress(Exception):
                    stream.close(ignore_errors=True)

    def _on_audio(
        self, sound: NDArray[np.float32], frames: int, _times: object, status: Any
    ) -> None:
        now = time.monotonic()
        if status and status.input_overflow:
            self.overflow_flags += 1
        self.ring.write(sound[:, self._channel])
        self.received += frames
        self.clock.arrived(now, self.received / self.rate)
        self.last_at = now
        if self.first_at is None:
            self._first_seconds = frames / self.rate
            self.first_at = now


def open_capture(device: InputDevice, *, channel: int, buffer_seconds: float) -> Capture:
    """Open `device` at its own rate, or at the first usual rate it accepts.

    DeviceError where the channel does not exist, the device is busy, or it refuses every rate.
    """
    if not 0 <= channel < device.channels:
        raise DeviceError(
            f"{device.name} has {device.channels} input channels, numbered from 0; "
            f"there is no channel {channel}."
        )
    sounddevice = load_portaudio()
    refusal = ""
    for rate, channels in _attempts(device, channel):
        try:
            with quiet_stderr():
                return Capture(
                    device,
                    rate,
                    channels=channels,
                    channel=channel,
                    buffer_seconds=buffer_seconds,
                )
        except sounddevice.PortAudioError as error:
            _raise_if_busy(device, error)
            refusal = refusal or reason(error)
    raise DeviceError(f"{device.name} cannot be opened at any usual rate: {refusal}.")


def _attempts(device: InputDevice, channel: int) -> Iterator[tuple[int, int]]:
    """Rates and channel counts to try.

    A device is opened with all its channels: many systems fold them into fewer by averaging.
    """
    real = device.channels <= _MOST_REAL_CHANNELS
    wide = device.channels if real else max(2, channel + 1)
    for rate in dict.fromkeys((device.default_rate, *_FALLBACK_RATES)):
        for channels in dict.fromkeys((wide, channel + 1)):
            yield rate, channels


def _raise_if_busy(device: InputDevice, error: Exception) -> None:
    if len(error.args) > 1 and error.args[1] == _DEVICE_UNAVAILABLE:
        raise DeviceError(
            f"{device.name} is busy: close the program that is using it, or choose another device."
        ) from error
