"""Augmentation changes the device, not the labels: shapes, determinism, and what each part does."""

import numpy as np
import pytest
import torch

from export.augment import add_hum, add_noise, augment, mask_bands, random_band_limits
from export.recipe import Augmentation

PCM = torch.from_numpy(
    (0.1 * np.random.default_rng(0).standard_normal((6, 8000))).astype(np.float32)
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_same_seed_same_sound_other_seed_other_sound():
    config = Augmentation()
    a, b = (augment(PCM, 4000, config, seeded(3)) for _ in "ab")
    torch.testing.assert_close(a, b)
    assert not torch.equal(a, augment(PCM, 4000, config, seeded(4)))


def test_everything_off_only_changes_the_level():
    off = Augmentation(response=0, band_limit=0, noise=0, hum=0, clip=0)
    out = augment(PCM, 4000, off, seeded())
    ratio = out / PCM
    assert float((ratio.std(1) / ratio.mean(1)).max()) < 1e-2


def test_output_is_finite_for_silence():
    out = augment(torch.zeros(4, 8000), 4000, Augmentation(noise=1.0, hum=1.0), seeded())
    assert bool(torch.isfinite(out).all())


@pytest.mark.parametrize("snr", [0.0, 20.0])
def test_noise_has_the_asked_level(snr):
    hz = torch.fft.rfftfreq(8000, 1 / 4000)
    added = add_noise(PCM, hz, (snr, snr + 1e-6), seeded()) - PCM
    measured = 20 * torch.log10(PCM.square().mean(1).sqrt() / added.square().mean(1).sqrt())
    torch.testing.assert_close(measured, torch.full((6,), snr), atol=0.1, rtol=0)


def test_hum_is_at_the_mains():
    spectrum = torch.fft.rfft(add_hum(PCM, 4000, seeded()) - PCM).abs()
    peaks = torch.fft.rfftfreq(8000, 1 / 4000)[spectrum.argmax(1)]
    assert all(float(p % 50) < 1 or float(p % 60) < 1 for p in peaks)


def test_band_limits_pass_the_middle_and_stop_the_ends():
    hz = torch.tensor([1.0, 200.0, 1999.0])
    gain = random_band_limits(200, hz, seeded())
    assert float(gain[:, 1].min()) > 0.5
    assert float(gain[:, 0].mean()) < 0.1
    assert bool((gain <= 1).all())


def test_masking_hits_some_clips_only():
    features = torch.ones(64, 40, 5)
    masked = mask_bands(features, 0.5, seeded())
    hit = (masked == 0).any(dim=2).any(dim=1)
    assert 10 < int(hit.sum()) < 54
    assert int((masked[:, :, 0] == 0).sum(1).max()) <= 10
