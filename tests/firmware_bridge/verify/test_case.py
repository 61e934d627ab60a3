"""Sounds of a case: files become int16 at the model rate, blocks are odd, gaps stay gaps."""

import numpy as np
import pytest
import soundfile

from acula_edge.errors import AudioFileError, BundleError, UsageError
from firmware_bridge.verify.build import definitions
from firmware_bridge.verify.case import sound_of
from firmware_bridge.verify.script import (
    LONGEST_BLOCK,
    Gap,
    Sound,
    pcm_bytes,
    script_bytes,
    steps_of,
)


def test_a_file_at_the_model_rate_keeps_its_samples(tmp_path):
    pcm = np.random.default_rng(0).integers(-32768, 32768, 5000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", pcm, 4000)
    sound = sound_of(tmp_path / "a.wav", 4000)
    assert sound.name == "a.wav"
    assert sound.pcm.dtype == np.int16 and np.array_equal(sound.pcm, pcm)


def test_a_file_at_another_rate_is_resampled(tmp_path):
    time = np.arange(44100) / 44100
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 100 * time), 44100)
    pcm = sound_of(tmp_path / "a.wav", 4000).pcm
    assert abs(len(pcm) - 4000) <= 1
    expected = 16384 * np.sin(2 * np.pi * 100 * np.arange(1000, 3000) / 4000)
    assert np.max(np.abs(pcm[1000:3000] - expected)) < 20


def test_sound_that_is_none(tmp_path):
    with pytest.raises(UsageError, match="int16"):
        sound_of(np.zeros(5, np.float32), 4000)
    with pytest.raises(AudioFileError, match="does not exist"):
        sound_of(tmp_path / "no.wav", 4000)


def test_steps_cover_every_sample_in_odd_blocks():
    sounds = [
        Sound("a", np.zeros(20_000, np.int16), (Gap(5000, 9), Gap(5000, 2))),
        Sound("b", np.zeros(0, np.int16)),
    ]
    steps = list(steps_of(sounds))
    counts = [step.count for step in steps if step.operation == "push"]
    assert sum(counts) == 20_000 and max(counts) == LONGEST_BLOCK and min(counts) == 1
    kinds = [step.operation for step in steps if step.operation != "push"]
    assert kinds == ["reset", "lost", "lost", "finish", "reset", "finish"]
    first_gap = next(i for i, step in enumerate(steps) if step.operation == "lost")
    assert sum(step.count for step in steps[:first_gap]) == 5000
    assert len(script_bytes(steps)) == 8 * len(steps)
    assert len(pcm_bytes(sounds)) == 40_000


def test_roundings():
    assert definitions("double") == ("-DACULA_ROUNDING=ACULA_ROUNDING_DOUBLE",)
    with pytest.raises(UsageError, match="'half'; choose from float, single, double"):
        definitions("half")


def test_a_golden_sound_that_is_too_short(make_folder, make_case):
    with pytest.raises(BundleError, match="must hold at least 40 hops"):
        make_case(make_folder(hops=39))
