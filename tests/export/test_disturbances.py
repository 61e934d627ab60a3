"""Synthesised disturbances have the character of what they stand for."""

import pytest
import torch

from export.augment import augment, disturb
from export.disturbances import ambient, friction, rms, speech
from export.recipe import Augmentation

RATE = 4000
SHAPE = torch.Size((16, 5 * RATE))
KINDS = {"friction": friction, "speech": speech, "ambient": ambient}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def flatness(pcm):
    """Geometric over arithmetic mean of the spectrum: low for harmonics, high for noise."""
    power = torch.fft.rfft(pcm).abs().square() + 1e-9
    return (power.log().mean(1).exp() / power.mean(1)).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_and_the_sound_is_finite(kind):
    first, again, other = (KINDS[kind](SHAPE, RATE, seeded(s)) for s in (1, 1, 2))
    torch.testing.assert_close(first, again)
    assert not torch.equal(first, other)
    assert first.shape == SHAPE and bool(torch.isfinite(first).all())
    assert float(rms(first).min()) > 1e-3


def test_speech_is_harmonic_and_comes_in_syllables():
    voice = speech(SHAPE, RATE, seeded())
    assert flatness(voice) < 0.3 * flatness(ambient(SHAPE, RATE, seeded()))
    loud = voice.unfold(1, 80, 80).square().mean(2)
    quiet = (loud < 0.01 * loud.amax(1, keepdim=True)).float().mean(1)
    assert float(quiet.min()) > 0.2


def test_friction_comes_in_bursts_and_a_room_does_not_stop():
    def silent(pcm):
        level = pcm.unfold(1, 400, 400).square().mean(2)
        return (level < 1e-3 * level.amax(1, keepdim=True)).float().mean()

    assert silent(friction(SHAPE, RATE, seeded())) > 0.3
    assert silent(ambient(SHAPE, RATE, seeded())) < 0.05


def test_a_disturbance_has_the_asked_level():
    pcm = 0.1 * torch.randn(SHAPE, generator=seeded(5))
    added = disturb(pcm, ambient(SHAPE, RATE, seeded()), (12.0, 12.0), seeded()) - pcm
    ratio = 20 * torch.log10(rms(pcm) / rms(added))
    torch.testing.assert_close(ratio, torch.full_like(ratio, 12.0), atol=0.05, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_recipe_turns_each_on(kind):
    off = Augmentation(response=0, band_limit=0, noise=0, hum=0, clip=0)
    on = Augmentation(response=0, band_limit=0, noise=0, hum=0, clip=0, **{kind: 1.0})
    pcm = 0.1 * torch.randn(SHAPE, generator=seeded(5))
    assert not torch.allclose(augment(pcm, RATE, off, seeded()), augment(pcm, RATE, on, seeded()))
