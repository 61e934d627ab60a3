"""IMA ADPCM: a published vector's rules, quality, and packets that stand alone."""

from __future__ import annotations

import numpy as np
import pytest
from sounds import heartbeat, noise

from firmware_bridge.link.codec import STEPS, AdpcmEncoder, decode
from firmware_bridge.link.packet import Codec
from firmware_bridge.link.payload import PayloadError


def as_int16(sound: np.ndarray) -> np.ndarray:
    return np.rint(sound * 32767).astype(np.int16)


def test_the_step_table_grows_by_a_tenth() -> None:
    assert len(STEPS) == 89
    ratios = np.array(STEPS[20:-1], float)[1:] / np.array(STEPS[20:-1], float)[:-1]
    assert np.allclose(ratios, 1.1, atol=0.02)
    assert STEPS[0] == 7
    assert STEPS[-1] == 32767


def test_a_step_computed_by_hand() -> None:
    # From rest (step 7), 11: 11 >= 7 (4), left 4 >= 3 (2), left 1 >= 1 (1): code 7,
    # and the predictor becomes 7/8 + 7 + 7/2 + 7/4 = 0 + 7 + 3 + 1 = 11; index 0 + 8.
    payload = AdpcmEncoder().encode(np.array([11, 11], np.int16))
    assert payload[:4] == bytes(4)
    assert payload[4] & 15 == 7
    assert decode(Codec.ADPCM, payload)[0] == 11


# White noise is the worst there is for a codec that predicts.
@pytest.mark.parametrize(("sound", "decibels"), [(heartbeat(4), 25), (noise(2), 14)])
def test_coding_noise_is_far_below_the_sound(sound: np.ndarray, decibels: float) -> None:
    pcm = as_int16(sound)
    heard = decode(Codec.ADPCM, AdpcmEncoder().encode(pcm[:2040]))
    error = heard.astype(float) - pcm[:2040]
    ratio = np.mean(pcm[:2040].astype(float) ** 2) / np.mean(error**2)
    assert 10 * np.log10(ratio) > decibels


def test_packets_stand_alone_and_together_are_one_stream() -> None:
    pcm = as_int16(heartbeat(2))
    whole = decode(Codec.ADPCM, AdpcmEncoder().encode(pcm))
    encoder = AdpcmEncoder()
    packets = [encoder.encode(pcm[start : start + 100]) for start in range(0, len(pcm), 100)]
    for number, packet in enumerate(packets):  # each decoded as if all others were lost
        assert np.array_equal(decode(Codec.ADPCM, packet), whole[100 * number : 100 * number + 100])


@pytest.mark.parametrize("count", [1, 2, 3, 127, 128])
def test_odd_counts_are_exact(count: int) -> None:
    assert len(decode(Codec.ADPCM, AdpcmEncoder().encode(np.ones(count, np.int16)))) == count


def test_full_scale_steps_stay_in_range() -> None:
    pcm = np.repeat(np.tile(np.array([32767, -32768], np.int16), 50), 10)
    heard = decode(Codec.ADPCM, AdpcmEncoder().encode(pcm))
    assert heard.dtype == np.int16
    assert heard.max() == 32767
    assert heard.min() == -32768


def test_pcm16_is_exact() -> None:
    pcm = as_int16(noise(0.1, level=0.3))
    assert np.array_equal(decode(Codec.PCM16, pcm.astype("<i2").tobytes()), pcm)


@pytest.mark.parametrize(
    ("codec", "payload"),
    [
        *((1, b""), (1, b"abc"), (2, b""), (2, bytes(4)), (2, b"\0\0\x59\0\0")),
        *((2, b"\0\0\0\2\0"), (0, b"ab"), (3, b"ab"), (255, b"ab")),
    ],
)
def test_what_is_no_sound_is_refused(codec: int, payload: bytes) -> None:
    with pytest.raises(PayloadError):
        decode(codec, payload)
