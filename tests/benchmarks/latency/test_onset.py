"""Planted sounds are told where they were planted, and only then."""

from dataclasses import replace

import numpy as np
import pytest

from acula_edge.bundle import load_bundle
from acula_edge.events import Detection, HeartSound
from benchmarks.latency.onset import latency_of, measure_onsets
from benchmarks.latency.settings import QUICK, Clock
from benchmarks.latency.sounds import PLANTS, endless_blocks, heart

FEW = replace(QUICK, onset_trials=1)


@pytest.mark.parametrize("rate", [4000, 44_100])
def test_a_heart_is_silent_until_it_starts(rate):
    planted = heart(4.0, rate, np.random.default_rng(0), start=2.5)
    assert planted.onsets == pytest.approx((2.5, 3.3))
    assert np.abs(planted.sound[: round(2.5 * rate)]).max() < 0.02
    first = planted.sound[round(2.5 * rate) : round(2.7 * rate)]
    assert np.abs(first).max() > 0.3


def test_blocks_never_end_and_keep_the_beat():
    blocks = endless_blocks(44_100, 0.1)
    sound = np.concatenate([next(blocks) for _ in range(400)])
    assert len(sound) == 40 * 44_100
    np.testing.assert_array_equal(sound[: 16 * 44_100], sound[16 * 44_100 : 32 * 44_100])


@pytest.mark.parametrize("name", PLANTS)
def test_onsets_lie_within_their_sound(name):
    _, plant = PLANTS[name]
    planted = plant(8000, np.random.default_rng(1))
    assert planted.sound.dtype == np.float32
    assert np.isfinite(planted.sound).all()
    assert planted.onsets
    assert all(2 < at < len(planted.sound) / 8000 - 2 for at in planted.onsets)


def test_a_heart_sound_is_told_at_its_place():
    told = [
        (4.0, 0.001, HeartSound(3.9, "S2", 0.9)),
        (4.2, 0.002, HeartSound(3.95, "S1", 0.9)),
        (4.9, 0.003, HeartSound(4.02, "S1", 0.9)),
    ]
    assert latency_of("heart_sound", 3.9, told) == pytest.approx((300, 2))
    assert latency_of("heart_sound", 4.0, told) == pytest.approx((200, 2))
    assert latency_of("heart_sound", 5.0, told) is None
    assert latency_of("murmur", 3.9, told) is None


def test_a_finding_is_told_when_it_switches_on_afterwards():
    told = [
        (2.0, 0.001, Detection(2.0, "wheeze", True, 0.9)),
        (6.0, 0.002, Detection(6.0, "wheeze", False, 0.1)),
        (7.0, 0.003, Detection(7.0, "murmur", True, 0.9)),
        (8.0, 0.004, Detection(8.0, "wheeze", True, 0.9)),
    ]
    assert latency_of("wheeze", 5.0, told) == pytest.approx((3000, 4))
    assert latency_of("wheeze", 8.0, told) is None


def test_the_shipped_bundle_tells_planted_hearts():
    found = {o.finding: o for o in measure_onsets(load_bundle("heart-lung"), "cpu-int8", "cpu",
                                                  FEW, Clock())}  # fmt: skip
    assert set(found) == {"heart_sound", "murmur", "crackle", "wheeze"}
    hearts = found["heart_sound"]
    assert hearts.trials == 9
    assert hearts.detected >= 7
    # it is told once 0.4 s of later sound agree, in chunks of 0.5 s
    assert 400 < hearts.audio_ms.p50.value < 1500
    assert hearts.compute_ms.p50.value > 0
    for onset in found.values():
        assert 0 <= onset.detected <= onset.trials
        assert (onset.audio_ms is None) == (onset.detected == 0)


def test_a_bundle_without_findings_that_can_be_planted_has_no_onsets(tmp_path):
    from bundle_factory import finding, make_bundle, manifest

    wanted = replace(manifest(), findings=(finding("rub", "heart"), finding("gallop", "heart")))
    bundle = load_bundle(make_bundle(tmp_path / "other", wanted))
    assert measure_onsets(bundle, "fp32", "cpu", FEW, Clock()) == ()
