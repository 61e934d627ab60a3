"""AUDIO payloads: 16-bit PCM, and IMA ADPCM whose every packet can be decoded alone.

IMA ADPCM: "Recommended practices for enhancing digital audio compatibility in multimedia systems",
Interactive Multimedia Association, revision 3.00 (1992). `c/acula_link.c` computes the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.link.packet import MAX_PAYLOAD, Codec
from firmware_bridge.link.payload import PayloadError

Samples = NDArray[np.int16]

# Predictor, step index, and 1 where the last nibble is padding.
_HEAD: Final = struct.Struct("<hBB")
_STEP_TEXT: Final = (
    "7 8 9 10 11 12 13 14 16 17 19 21 23 25 28 31 34 37 41 45 50 55 60 66 73 80 88 97 107 118 130 "
    "143 157 173 190 209 230 253 279 307 337 371 408 449 494 544 598 658 724 796 876 963 1060 1166 "
    "1282 1411 1552 1707 1878 2066 2272 2499 2749 3024 3327 3660 4026 4428 4871 5358 5894 6484 "
    "7132 7845 8630 9493 10442 11487 12635 13899 15289 16818 18500 20350 22385 24623 27086 29794 "
    "32767"
)
STEPS: Final = tuple(int(step) for step in _STEP_TEXT.split())
_MOVES: Final = (-1, -1, -1, -1, 2, 4, 6, 8)
MOST_SAMPLES: Final = {
    Codec.PCM16: MAX_PAYLOAD // 2,
    Codec.ADPCM: 2 * (MAX_PAYLOAD - _HEAD.size),
}


class AdpcmEncoder:
    """IMA ADPCM at 4 bits a sample. The state goes on from packet to packet and opens each."""

    def __init__(self) -> None:
        self._predictor = 0
        self._index = 0

    def encode(self, pcm: Samples) -> bytes:
        """The payload of int16 `pcm` of shape (n,)."""
        head = _HEAD.pack(self._predictor, self._index, len(pcm) % 2)
        codes = [self._code(sample) for sample in pcm.tolist()]
        codes += [0] * (len(codes) % 2)
        pairs = zip(codes[::2], codes[1::2], strict=True)
        return head + bytes(low | high << 4 for low, high in pairs)

    def _code(self, sample: int) -> int:
        step = STEPS[self._index]
        left = sample - self._predictor
        code = 8 if left < 0 else 0
        left = abs(left)
        for bit in (4, 2, 1):
            if left >= step:
                code |= bit
                left -= step
            step >>= 1
        self._predictor, self._index = _follow(code, self._predictor, self._index)
        return code


def decode(codec: int, payload: bytes) -> Samples:
    """Samples of an AUDIO payload, int16 of shape (n,), n >= 1.

    Raises:
        PayloadError: another codec, no whole samples, or a state that cannot be.
    """
    if codec == Codec.PCM16:
        if not payload or len(payload) % 2:
            raise PayloadError("PCM16 has no whole samples")
        return np.frombuffer(payload, "<i2").astype(np.int16)
    if codec == Codec.ADPCM:
        return _decode_adpcm(payload)
    raise PayloadError("AUDIO has a codec that does not exist")


def _decode_adpcm(payload: bytes) -> Samples:
    if len(payload) <= _HEAD.size:
        raise PayloadError("ADPCM has no samples")
    predictor, index, padding = _HEAD.unpack_from(payload)
    if index >= len(STEPS) or padding > 1:
        raise PayloadError("ADPCM has a state that cannot be")
    packed = payload[_HEAD.size :]
    codes = [code for pair in packed for code in (pair & 15, pair >> 4)]
    return np.array(_decoded(codes[: len(codes) - padding], predictor, index), np.int16)


def _decoded(codes: Sequence[int], predictor: int, index: int) -> list[int]:
    samples = []
    for code in codes:
        predictor, index = _follow(code, predictor, index)
        samples.append(predictor)
    return samples


def _follow(code: int, predictor: int, index: int) -> tuple[int, int]:
    """What a decoder's state becomes; the encoder keeps the same, so that both stay together."""
    step = STEPS[index]
    change = step >> 3
    if code & 4:
        change += step
    if code & 2:
        change += step >> 1
    if code & 1:
        change += step >> 2
    predictor += -change if code & 8 else change
    index += _MOVES[code & 7]
    return max(-32768, min(32767, predictor)), max(0, min(88, index))
