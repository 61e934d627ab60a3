"""The front end against a float64 oracle, and the invariances that device robustness rests on."""

import numpy as np
import pytest
import torch

from export.frontend import CausalMean, LogMel, hz_to_mel, mel_filters, mel_to_hz
from export.recipe import FrontEnd

HOP = 768
CONFIG = FrontEnd(short_frame=64)


def oracle(pcm, config):
    """Plain float64 numpy, frame by frame, written from the docstring."""
    frame, step, rate = config.frame, config.frame_hop, config.rate
    padded = np.concatenate([np.zeros(frame - step), pcm])
    count = len(pcm) // step

    def energies(size, hop, bands, offset):
        window = np.hanning(size + 1)[:size]
        window = window / window.sum()
        filters = mel_filters(rate, size, bands, config.low_hz, config.high_hz).numpy()
        frames = np.stack(
            [padded[offset + i * hop : offset + i * hop + size] for i in range(len(pcm) // hop)]
        )
        return (np.abs(np.fft.rfft(frames * window)) ** 2) @ filters.T

    def running(x, seconds):
        decay = np.exp(-1 / (seconds * rate / step))
        total, weight, out = np.zeros(x.shape[1]), 0.0, []
        for row in x:
            total, weight = decay * total + row, decay * weight + 1
            out.append(total / weight)
        return np.array(out)

    long = energies(frame, step, config.bands, 0)
    level = running(long.mean(1, keepdims=True), config.level_seconds)
    both = [long]
    if config.short_frame:
        offset = frame - step - config.short_frame + step // 4
        short = energies(config.short_frame, step // 4, config.short_bands, offset)
        short = short.reshape(count, 4, -1).transpose(0, 2, 1).reshape(count, -1)
        both.append(short)
    logs = np.log(np.concatenate(both, 1) + 10 ** (config.floor_db / 10) * level + 1e-10)
    return np.clip((logs - running(logs, config.mean_seconds)) * 0.5, -4, 4).T


def zero_state(front_end, batch=1):
    return [torch.zeros(batch, *shape) for shape in front_end.state_shapes]


def sound(hops, seed=0):
    random = np.random.default_rng(seed)
    size = hops * HOP
    tone = np.sin(2 * np.pi * 300 * np.arange(size) / 4000) * (random.random(size) > 0.2)
    return (0.1 * random.standard_normal(size) + 0.2 * tone).astype(np.float32)


@pytest.mark.parametrize("config", [FrontEnd(), CONFIG], ids=["one frame", "two frames"])
def test_against_float64(config):
    front_end = LogMel(config, HOP)
    pcm = sound(6)
    features, _ = front_end(torch.from_numpy(pcm)[None], zero_state(front_end))
    expected = oracle(pcm.astype(np.float64), config)
    assert features.shape[1] == expected.shape[0]
    np.testing.assert_allclose(features[0].numpy(), expected, atol=2e-3)


def test_stream_equals_one_long_pass():
    front_end = LogMel(CONFIG, HOP)
    pcm = torch.from_numpy(sound(10))[None]
    whole, _ = front_end(pcm, zero_state(front_end))
    state, parts = zero_state(front_end), []
    for hop in pcm.split(HOP, dim=1):
        part, state = front_end(hop, state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 2), whole, atol=2e-5, rtol=0)


@pytest.mark.parametrize("gain", [0.1, 10.0])
def test_gain_cancels(gain):
    front_end = LogMel(CONFIG, HOP)
    pcm = torch.from_numpy(sound(6))[None]
    plain, _ = front_end(pcm, zero_state(front_end))
    louder, _ = front_end(pcm * gain, zero_state(front_end))
    torch.testing.assert_close(plain, louder, atol=5e-3, rtol=0)


def test_a_fixed_band_gain_cancels():
    """A stethoscope's frequency response is a constant per band in the log domain."""
    front_end = LogMel(FrontEnd(mean_seconds=1.0), HOP)
    random = np.random.default_rng(1)
    pcm = 0.1 * random.standard_normal(40 * HOP)
    spectrum = np.fft.rfft(pcm)
    hz = np.fft.rfftfreq(len(pcm), 1 / 4000)
    coloured = np.fft.irfft(spectrum * 10 ** (-6 * (hz / 2000) / 20), n=len(pcm))
    state = zero_state(front_end)
    a, _ = front_end(torch.from_numpy(pcm.astype(np.float32))[None], state)
    b, _ = front_end(torch.from_numpy(coloured.astype(np.float32))[None], state)
    difference = (a - b)[:, :, 24:].abs().mean()
    assert float(difference) < 0.03 < float(a.abs().mean())


def test_digital_silence_inside_sound_stays_finite():
    front_end = LogMel(CONFIG, HOP)
    pcm = np.concatenate([np.zeros(4 * HOP), sound(4), np.zeros(4 * HOP), sound(4)])
    features, _ = front_end(torch.from_numpy(pcm.astype(np.float32))[None], zero_state(front_end))
    assert bool(torch.isfinite(features).all())


def test_causal_mean_is_the_running_mean_at_first():
    mean = CausalMean(1, seconds=1e6, frame_rate=62.5, frames_per_hop=12)
    x = torch.arange(24.0)[None, None]
    value, _ = mean(x, torch.zeros(1, 2))
    torch.testing.assert_close(value[0, 0], torch.arange(24.0) / 2, atol=1e-3, rtol=1e-4)


def test_mel_scale_round_trip_and_filters():
    assert mel_to_hz(hz_to_mel(440.0)) == pytest.approx(440.0)
    filters = mel_filters(4000, 64, 8, 25.0, 2000.0)
    torch.testing.assert_close(filters.sum(1), torch.ones(8, dtype=torch.float64))
    assert bool((filters >= 0).all())


def test_a_tone_lands_in_its_band():
    front_end = LogMel(FrontEnd(), HOP)
    for hz in (100.0, 400.0, 1200.0):
        pcm = torch.sin(2 * torch.pi * hz * torch.arange(4 * HOP) / 4000)[None]
        energies = front_end.long(torch.cat([torch.zeros(1, front_end.history), pcm], 1))
        band = int(energies[0, :, -1].argmax())
        low, high = hz_to_mel(25.0), hz_to_mel(2000.0)
        centre = mel_to_hz(low + (high - low) * (band + 1) / 65)
        assert abs(centre - hz) < 32


@pytest.mark.parametrize("gain_db", [-40.0, 40.0])
def test_gain_cancels_for_quiet_and_loud_sound(gain_db):
    front_end = LogMel(FrontEnd(short_frame=64), 768)
    random = np.random.default_rng(0)
    pcm = torch.from_numpy((0.01 * random.standard_normal((1, 768 * 20))).astype(np.float32))
    state = [torch.zeros(1, *shape) for shape in front_end.state_shapes]
    plain, _ = front_end(pcm, state)
    moved, _ = front_end(pcm * 10 ** (gain_db / 20), state)
    torch.testing.assert_close(moved, plain, atol=1e-3, rtol=0)


def test_digital_silence_is_finite():
    front_end = LogMel(FrontEnd(short_frame=64), 768)
    state = [torch.zeros(1, *shape) for shape in front_end.state_shapes]
    features, after = front_end(torch.zeros(1, 768 * 4), state)
    assert bool(torch.isfinite(features).all())
    assert all(bool(torch.isfinite(part).all()) for part in after)
