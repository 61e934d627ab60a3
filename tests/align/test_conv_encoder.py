"""The log-mel front end of our own encoders, their windows, and the convolution encoder."""

import numpy as np
import pytest
import torch
import torchaudio

from align.encoders.conv import ConvEncoder
from align.encoders.crops import overlapping_windows
from align.encoders.logmel import CLAMP, CPU_ROWS, FLOOR, SCALE, LogMel

RATE, FRAME, HOP, BANDS = 4000, 256, 64, 32


@pytest.fixture(scope="module")
def logmel():
    return LogMel(RATE, FRAME, HOP, BANDS, 25.0, 2000.0)


def sound(rows=2, samples=HOP * 50, seed=0):
    return torch.randn(rows, samples, generator=torch.Generator().manual_seed(seed)) * 0.1


def oracle(wave):
    """The same in float64 NumPy, frame by frame."""
    filters = torchaudio.functional.melscale_fbanks(
        FRAME // 2 + 1, 25.0, 2000.0, BANDS, RATE, norm="slaney", mel_scale="slaney"
    ).numpy()
    window = np.hanning(FRAME + 1)[:-1]
    padded = np.pad(wave, (FRAME - HOP) // 2)
    frames = [padded[i * HOP : i * HOP + FRAME] * window for i in range(len(wave) // HOP)]
    energies = np.abs(np.fft.rfft(np.array(frames), axis=1)) ** 2 @ filters
    logs = np.log(energies + FLOOR * energies.mean() + 1e-20)
    return np.clip((logs - logs.mean(axis=0)) * SCALE, -CLAMP, CLAMP)


def test_logmel_equals_a_float64_oracle(logmel):
    wave = sound()
    expected = np.stack([oracle(row) for row in wave.double().numpy()])
    assert np.abs(logmel(wave).numpy() - expected).max() < 2e-4


def test_gain_and_a_fixed_response_go(logmel):
    wave = sound(samples=HOP * 200)
    assert torch.allclose(logmel(wave), logmel(wave * 30), atol=1e-3)
    coloured = torchaudio.functional.biquad(wave, 1.0, -0.5, 0.0, 1.0, 0.0, 0.0)
    difference = (logmel(wave) - logmel(coloured))[:, 2:-2].abs()
    assert difference.mean() < 0.05


def test_a_row_does_not_depend_on_the_rows_beside_it(logmel):
    wave = sound(rows=CPU_ROWS + 3)
    assert torch.allclose(logmel(wave)[-1], logmel(wave[-1:])[0], atol=1e-6)


def test_silence_gives_zeros(logmel):
    assert torch.equal(logmel(torch.zeros(1, HOP * 10)), torch.zeros(1, 10, BANDS))


@pytest.mark.parametrize(
    ("samples", "starts"), [(100, [0]), (150, [0, 50]), (170, [0, 50, 70]), (200, [0, 50, 100])]
)
def test_windows_overlap_by_half_and_end_with_the_recording(samples, starts):
    windows = overlapping_windows(torch.arange(samples), 100)
    assert windows[:, 0].tolist() == starts
    assert windows[-1, -1] == samples - 1


def test_a_short_recording_is_repeated_to_one_window():
    assert overlapping_windows(torch.arange(30), 100)[0].tolist() == [i % 30 for i in range(100)]


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return ConvEncoder(width=16, seconds=1.024, blocks=1).eval()


def test_embeddings_do_not_depend_on_the_batch(encoder):
    features = encoder.inputs(sound(5, encoder.crop))
    together = encoder.embed(features)
    assert together.shape == (5, encoder.dim)
    assert torch.allclose(together[3], encoder.embed(features[3:4])[0], atol=1e-5)


def test_cola_is_low_only_when_halves_belong_together(encoder):
    """Distinct recordings: a matched batch loses less than the same halves mixed up."""
    torch.manual_seed(1)
    encoder = ConvEncoder(width=16, seconds=1.024, blocks=1).train()
    time = torch.arange(encoder.crop) / encoder.rate
    wave = torch.stack([torch.sin(2 * torch.pi * hz * time) for hz in range(200, 1800, 200)])
    features = encoder.inputs(wave + sound(8, encoder.crop) * 0.1)
    optimiser = torch.optim.Adam(encoder.parameters(), lr=3e-3)
    generator = torch.Generator()
    for _ in range(30):
        optimiser.zero_grad()
        loss = encoder.ssl_loss(features, generator)
        loss.backward()
        optimiser.step()
    first, second = features.chunk(2, dim=2)
    mixed = torch.cat([first, second.roll(1, dims=0)], dim=2)
    assert loss < 0.5 < encoder.ssl_loss(mixed, generator)


def test_a_shared_pass_gives_gradient_to_embedding_and_ssl(encoder):
    embedding, ssl = encoder.embed_and_ssl(encoder.inputs(sound(4, encoder.crop)), None)
    assert embedding.shape == (4, encoder.dim)
    for value in (embedding.sum(), ssl):
        encoder.zero_grad()
        value.backward(retain_graph=True)
        assert encoder.trunk[0][0].weight.grad.abs().sum() > 0
