"""Payloads of all types but AUDIO, to and from bytes. What cannot be is a `PayloadError`."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from acula_edge.events import QualityState, Reason
from firmware_bridge.link.packet import MAX_PAYLOAD, Codec

_INFO: Final = struct.Struct("<IHBB32s")
_SYNC: Final = struct.Struct("<QI")
_EVENT: Final = struct.Struct("<BI")
_RESULT: Final = struct.Struct("<IIHBB")
_MAX_NAME: Final = 63
_MAX_FINDINGS: Final = 32
_LOWEST_RATE: Final = 500
_HIGHEST_RATE: Final = 384_000
_QUALITY: Final = (QualityState.OK, QualityState.WARN, QualityState.REFUSE)
# The wire's own order: a reason that is added to the events gets the next bit.
REASON_BITS: Final = (
    *(Reason.NO_CONTACT, Reason.STUCK, Reason.CLIPPED, Reason.FRICTION, Reason.SPEECH),
    *(Reason.AMBIENT, Reason.HUM, Reason.NO_HEARTBEAT, Reason.PROCESSED_INPUT, Reason.WRONG_RATE),
    *(Reason.INVALID_SAMPLES, Reason.GAP, Reason.CLOCK_DRIFT, Reason.TOO_SHORT),
)


class PayloadError(ValueError):
    """The payload of an intact packet makes no sense."""


class EventCode(IntEnum):
    """What an EVENT says. START and STOP also go from host to device."""

    START = 1
    STOP = 2
    OVERRUN = 3
    BUTTON = 4
    BATTERY = 5


@dataclass(frozen=True)
class Info:
    """The device: nominal rate in Hz, codec of its AUDIO, and the model it runs.

    `hop` is in samples and 0 without a model; `model` is the SHA-256 (32 bytes) of the ONNX file
    the firmware was made from, zeros without one; `findings` is how many probabilities a RESULT
    has. `name` has at most 63 bytes of UTF-8.
    """

    rate: int
    codec: Codec
    name: str
    hop: int = 0
    findings: int = 0
    model: bytes = bytes(32)

    def to_bytes(self) -> bytes:
        """The payload of an INFO packet."""
        head = _INFO.pack(self.rate, self.hop, self.codec, self.findings, self.model)
        return head + self.name.encode()[:_MAX_NAME]

    @classmethod
    def of(cls, payload: bytes) -> Info:
        """Read an INFO payload; characters that cannot be shown become U+FFFD."""
        if not _INFO.size <= len(payload) <= _INFO.size + _MAX_NAME:
            raise PayloadError("INFO has the wrong length")
        rate, hop, codec, findings, model = _INFO.unpack_from(payload)
        if not _LOWEST_RATE <= rate <= _HIGHEST_RATE or codec not in (Codec.PCM16, Codec.ADPCM):
            raise PayloadError("INFO has a rate or codec that does not exist")
        name = payload[_INFO.size :].decode(errors="replace")
        shown = "".join(char if char.isprintable() else "\ufffd" for char in name)
        return cls(rate, Codec(codec), shown, hop, findings, model)


@dataclass(frozen=True)
class Sync:
    """The device's clock, `ticks` of `tick_rate` Hz, when `sample_index` samples were captured."""

    ticks: int
    tick_rate: int

    def to_bytes(self) -> bytes:
        """The payload of a SYNC packet."""
        return _SYNC.pack(self.ticks, self.tick_rate)

    @classmethod
    def of(cls, payload: bytes) -> Sync:
        """Read a SYNC payload."""
        if len(payload) != _SYNC.size:
            raise PayloadError("SYNC has the wrong length")
        ticks, tick_rate = _SYNC.unpack(payload)
        if not tick_rate:
            raise PayloadError("SYNC has a clock that stands still")
        return cls(ticks, tick_rate)


@dataclass(frozen=True)
class DeviceEvent:
    """Something happened on the device; what `value` is depends on the code (README)."""

    code: int
    value: int = 0

    def to_bytes(self) -> bytes:
        """The payload of an EVENT packet."""
        return _EVENT.pack(self.code, self.value)

    @classmethod
    def of(cls, payload: bytes) -> DeviceEvent:
        """Read an EVENT payload; codes that are not known pass."""
        if len(payload) != _EVENT.size:
            raise PayloadError("EVENT has the wrong length")
        return cls(*_EVENT.unpack(payload))


@dataclass(frozen=True)
class Result:
    """What the model on the device said of one hop.

    `probabilities` are (K,) smoothed probabilities in the order of the model's findings, exact
    float32 values; `active` are the indices of the findings that are on.
    """

    hop: int
    probabilities: tuple[float, ...]
    active: tuple[int, ...]
    quality: QualityState
    reasons: tuple[Reason, ...] = ()

    def to_bytes(self) -> bytes:
        """The payload of a RESULT packet."""
        active = sum(1 << index for index in self.active)
        reasons = sum(1 << REASON_BITS.index(reason) for reason in self.reasons)
        count = len(self.probabilities)
        head = _RESULT.pack(self.hop, active, reasons, _QUALITY.index(self.quality), count)
        return head + struct.pack(f"<{count}f", *self.probabilities)

    @classmethod
    def of(cls, payload: bytes) -> Result:
        """Read a RESULT payload."""
        if not _RESULT.size <= len(payload) <= MAX_PAYLOAD:
            raise PayloadError("RESULT has the wrong length")
        hop, active, reasons, quality, count = _RESULT.unpack_from(payload)
        if count > _MAX_FINDINGS or len(payload) != _RESULT.size + 4 * count:
            raise PayloadError("RESULT has the wrong length")
        values = struct.unpack_from(f"<{count}f", payload, _RESULT.size)
        if quality >= len(_QUALITY) or reasons >> len(REASON_BITS) or active >> count:
            raise PayloadError("RESULT has a quality, reason or finding that does not exist")
        if not all(math.isfinite(value) and 0.0 <= value <= 1.0 for value in values):
            raise PayloadError("RESULT has a value that is no probability")
        named = tuple(r for bit, r in enumerate(REASON_BITS) if reasons >> bit & 1)
        on = tuple(index for index in range(count) if active >> index & 1)
        return cls(hop, values, on, _QUALITY[quality], named)
