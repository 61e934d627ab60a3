"""Rate correction: untouched where it does not matter, in tune and in place where it does."""

from __future__ import annotations

import numpy as np
import pytest

from acula_edge.sources.base import Block
from firmware_bridge.link.rate import CORRECTED_PPM, RateCorrection

RATE = 4000


def blocks(pcm: np.ndarray, size: int = 128) -> list[Block]:
    return [Block(pcm[start : start + size], start) for start in range(0, len(pcm), size)]


def through(correction: RateCorrection, given: list[Block]) -> list[Block]:
    out = [made for block in given for made in correction.push(block)]
    return out + list(correction.flush())


def check_numbering(out: list[Block]) -> int:
    end = 0
    for block in out:
        assert block.first_sample == end + block.lost
        end = block.first_sample + len(block.pcm)
    return end


@pytest.mark.parametrize("ppm", [0.0, 100.0, -CORRECTED_PPM])
def test_small_skew_leaves_every_sample_alone(ppm: float) -> None:
    correction = RateCorrection(RATE)
    correction.update(ppm, 60.0)
    given = blocks(np.random.default_rng(0).normal(size=5000).astype(np.float32))
    given[3] = Block(given[3].pcm, given[3].first_sample, 0)
    out = through(correction, given)
    assert len(out) == len(given)
    assert all(mine.pcm is block.pcm for mine, block in zip(out, given, strict=True))


def test_neither_an_early_nor_an_absurd_estimate_counts() -> None:
    correction = RateCorrection(RATE)
    correction.update(7750.0, 20.0)
    correction.update(9e6, 60.0)
    list(correction.push(Block(np.zeros(100, np.float32), 0)))
    assert correction.ppm == 0.0


@pytest.mark.parametrize("ppm", [7750.0, -2000.0])
def test_a_tone_comes_out_in_tune_and_as_long_as_it_was(ppm: float) -> None:
    seconds, true = 20, RATE * (1 + ppm * 1e-6)
    given = np.sin(2 * np.pi * 200.0 * np.arange(int(seconds * true)) / true).astype(np.float32)
    correction = RateCorrection(RATE)
    correction.update(ppm, 60.0)
    out = through(correction, blocks(given))
    end = check_numbering(out)
    assert end == pytest.approx(seconds * RATE, abs=2)
    heard = np.concatenate([block.pcm for block in out])
    expected = np.sin(2 * np.pi * 200.0 * np.arange(len(heard)) / RATE)
    inner = slice(400, len(heard) - 400)
    assert np.abs(heard[inner] - expected[inner]).max() < 1e-3
    assert sum(block.lost for block in out) == 0


def test_gaps_stay_where_they_are() -> None:
    ppm = 7750.0
    correction = RateCorrection(RATE)
    correction.update(ppm, 60.0)
    pcm = np.ones(128, np.float32)
    given, first, lost_in = [], 0, 0
    for number in range(200):
        lost = 128 * 3 if number % 20 == 10 else 0
        first += lost
        lost_in += lost
        given.append(Block(pcm, first, lost))
        first += 128
    out = through(correction, given)
    assert check_numbering(out) == pytest.approx(first / (1 + ppm * 1e-6), abs=1)
    lost_out = sum(block.lost for block in out)
    assert lost_out == pytest.approx(lost_in / (1 + ppm * 1e-6), abs=10)  # half a sample a gap
    assert sum(block.lost > 0 for block in out) == 10


def test_gaps_are_exact_without_correction_and_at_the_very_end() -> None:
    correction = RateCorrection(RATE)
    none = np.empty(0, np.float32)
    given = [Block(none, 5, 5), Block(np.ones(3, np.float32), 5), Block(none, 18, 10)]
    out = through(correction, given)
    assert [(b.first_sample, len(b.pcm), b.lost) for b in out] == [
        (5, 0, 5),
        (5, 3, 0),
        (18, 0, 10),
    ]


def test_turning_it_on_amid_the_sound_invents_no_loss() -> None:
    correction = RateCorrection(RATE)
    given = blocks(np.ones(40_000, np.float32))
    out = []
    for number, block in enumerate(given):
        if number == 100:
            correction.update(3000.0, 60.0)
        if number == 200:
            correction.update(3400.0, 90.0)  # moved by less than 500: kept
        out += list(correction.push(block))
    out += list(correction.flush())
    assert correction.ppm == 3000.0
    check_numbering(out)
    assert sum(block.lost for block in out) == 0
