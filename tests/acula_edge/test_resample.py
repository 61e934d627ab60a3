from __future__ import annotations

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from acula_edge.resample import Resampler

RATES = [(44100, 4000), (48000, 4000), (48000, 16000), (4000, 16000), (16124, 4000), (4000, 4000)]


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(count).astype(np.float32)


def run(resampler: Resampler, pcm: np.ndarray, cuts: list[int]) -> np.ndarray:
    parts = [resampler.push(part) for part in np.split(pcm, cuts)]
    return np.concatenate([*parts, resampler.flush()])


@pytest.mark.parametrize(("source", "target"), RATES)
@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 30_000), max_size=40))
def test_every_split_gives_the_same_bits(source: int, target: int, cuts: list[int]) -> None:
    pcm = noise(30_000)
    whole = run(Resampler(source, target), pcm, [])
    split = run(Resampler(source, target), pcm, sorted(cuts))
    assert whole.dtype == split.dtype == np.float32
    assert np.array_equal(whole, split)


def test_single_samples_give_the_same_bits() -> None:
    pcm = noise(5000)
    resampler = Resampler(44100, 4000)
    whole = run(resampler, pcm, [])
    assert np.array_equal(run(resampler, pcm, list(range(1, 5000))), whole)


@pytest.mark.parametrize(("source", "target"), RATES[:-1])
def test_stream_equals_soxr_in_one_pass(source: int, target: int) -> None:
    pcm = noise(2 * source)
    expected = soxr.resample(pcm.astype(np.float64), source, target, quality="HQ")
    out = run(Resampler(source, target), pcm, [1000, 1001, 9000])
    assert len(out) == len(expected) == 2 * target
    assert np.max(np.abs(out - expected)) < 1e-5


def test_a_tone_keeps_its_frequency_amplitude_and_phase() -> None:
    pcm = np.sin(2 * np.pi * 200 * np.arange(44100) / 44100).astype(np.float32)
    out = run(Resampler(44100, 4000), pcm, list(range(441, 44100, 441)))
    expected = np.sin(2 * np.pi * 200 * np.arange(4000) / 4000)
    assert np.max(np.abs(out - expected)[400:-400]) < 1e-4


def test_what_lies_above_half_the_target_rate_goes() -> None:
    pcm = np.sin(2 * np.pi * 2500 * np.arange(44100) / 44100).astype(np.float32)
    out = run(Resampler(44100, 4000), pcm, [])
    assert np.max(np.abs(out[400:-400])) < 1e-4


def test_flush_and_reset_start_a_new_stream() -> None:
    pcm = noise(9999)
    resampler = Resampler(44100, 4000)
    first = run(resampler, pcm, [17])
    resampler.push(noise(5000))
    resampler.reset()
    assert np.array_equal(run(resampler, pcm, [5000]), first)


def test_the_caller_may_reuse_its_buffer() -> None:
    pcm, buffer = noise(4410), np.empty(441, np.float32)
    whole = run(Resampler(44100, 4000), pcm, [])
    resampler = Resampler(44100, 4000)
    parts = []
    for part in pcm.reshape(-1, 441):
        buffer[:] = part
        parts.append(resampler.push(buffer))
    assert np.array_equal(np.concatenate([*parts, resampler.flush()]), whole)


def test_equal_rates_pass_through_untouched() -> None:
    pcm = noise(100)
    resampler = Resampler(4000, 4000)
    assert resampler.push(pcm) is pcm
    assert len(resampler.flush()) == 0


@pytest.mark.parametrize("rates", [(0, 4000), (4000, 0), (-1, 4000)])
def test_rates_must_be_positive(rates: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="positive"):
        Resampler(*rates)
