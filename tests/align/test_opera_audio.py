"""OPERA's preprocessing: a float64 oracle, the released pipeline's numbers, its odd edges."""

import numpy as np
import pytest
import torch
from opera_fill import fixture_arrays, waveform

from align.encoders.base import EncoderError
from align.encoders.opera_audio import (
    frames_of,
    half_overlapping,
    log_mel,
    repeat_pad,
    slaney_filters,
    trim_silence,
    zero_pad,
)

SECOND = 16_000


@pytest.fixture(scope="module")
def ct():
    return fixture_arrays("ct")


@pytest.fixture(scope="module")
def gt():
    return fixture_arrays("gt")


def sound(samples):
    return torch.from_numpy(waveform(samples))


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def mel_oracle(wave):
    """Float64 numpy, frame by frame, from the docstring of `log_mel`."""
    filters = slaney_filters().numpy()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    padded = np.concatenate([np.zeros(512), wave, np.zeros(512)])
    frames = [padded[i : i + 1024] for i in range(0, len(wave) + 1, 512)]
    power = np.stack([filters @ np.abs(np.fft.rfft(frame * window)) ** 2 for frame in frames])
    decibels = 10 * np.log10(np.maximum(power, 1e-10))
    decibels = np.maximum(decibels, decibels.max() - 80)
    return (decibels - decibels.min()) / (decibels.max() - decibels.min())


def test_the_sound_is_that_of_the_fixtures(ct):
    assert np.abs(waveform(131_200)[ct["wave_8s2_idx"]] - ct["wave_8s2_val"]).max() < 1e-6


def test_log_mel_is_that_of_the_docstring():
    waves = noise(3, 5000) * torch.tensor([[1.0], [1e-3], [30.0]])
    for row, features in zip(waves, log_mel(waves), strict=True):
        np.testing.assert_allclose(features.numpy(), mel_oracle(row.numpy()), atol=1e-10)


def test_filters_have_unit_area_between_50_and_8000_hz():
    filters = slaney_filters()
    hertz = torch.arange(513) * 15.625
    assert not filters[:, hertz <= 50].any()
    # Wide enough bands: the sum over bins is the area to within their sampling.
    area = filters[40:].sum(1) * 15.625
    torch.testing.assert_close(area, torch.ones_like(area), atol=5e-3, rtol=0)


def test_filters_are_even_below_1_khz_and_geometric_above():
    # 64 bands between 50 Hz (0.75 mel) and 8 kHz (45.25 mel): 44.5 / 65 mel apart.
    filters, spacing = slaney_filters(), 44.5 / 65
    hertz = torch.arange(513, dtype=torch.float64) * 15.625
    centres = (filters * hertz).sum(1) / filters.sum(1)
    mels = torch.tensor([0.75 + spacing * (band + 1) for band in range(64)]).double()
    expected = torch.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    assert ((centres - expected).abs() / expected).max() < 0.06


@pytest.mark.parametrize("name", ["ct", "ce"])
def test_log_mel_equals_the_released_pipeline(name):
    stored = fixture_arrays(name)["mel_8s2"]
    found = log_mel(sound(131_200)[None])[0].numpy()
    assert found.shape == stored.shape == (257, 64)
    assert np.abs(found - stored).max() < 1e-4


def test_log_mel_of_a_long_clip_is_scaled_by_the_whole_clip(ct):
    found = log_mel(sound(800_000)[None])[0]
    assert len(found) == frames_of(800_000) == ct["mel_50s_frames"]
    assert np.abs(found[::16].numpy() - ct["mel_50s_every16"]).max() < 1e-4


def test_each_row_of_a_batch_is_scaled_by_itself():
    loud, quiet = noise(1, 4096), 1e-3 * noise(1, 4096, seed=1)
    both = log_mel(torch.cat([loud, quiet]))
    torch.testing.assert_close(both[0], log_mel(loud)[0])
    torch.testing.assert_close(both[1], log_mel(quiet)[0])
    assert both.amax((1, 2)).tolist() == [1.0, 1.0]


def test_log_mel_does_not_hear_the_gain():
    wave = noise(1, 8000)
    torch.testing.assert_close(log_mel(wave), log_mel(0.01 * wave), atol=1e-9, rtol=0)


def test_silence_is_zeros():
    assert not log_mel(torch.zeros(2, 2000)).any()


def test_log_mel_keeps_full_precision_under_autocast():
    wave = sound(20_000)[None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = log_mel(wave)
    assert found.dtype == torch.float32
    assert torch.equal(found, log_mel(wave))


def test_trim_cuts_the_silence_around_a_sound(ct):
    wave = torch.cat([torch.zeros(8000), sound(131_200), torch.zeros(11_200)])
    trimmed = trim_silence(wave)
    start, end = ct["trim_start_end"]
    assert torch.equal(trimmed, wave[int(start) : int(end)])
    assert np.abs(log_mel(trimmed[None])[0, ::8].numpy() - ct["mel_trim_every8"]).max() < 1e-4


@pytest.mark.parametrize(("decibels", "kept"), [(-56, 9600), (-61, 1600)])
def test_trim_cuts_what_is_60_db_below_the_loudest_frame(decibels, kept):
    # The first frame is half outside the recording, so 3 dB down.
    wave = torch.cat([torch.full((8000,), 10.0 ** (decibels / 20)), torch.ones(1600)])
    assert len(trim_silence(wave)) == kept


def test_trim_returns_silence_whole():
    assert len(trim_silence(torch.zeros(5000))) == 5000


def test_trim_does_not_cut_a_pause_in_the_middle():
    wave = torch.cat([sound(16_000)[4000:], torch.zeros(40_000), sound(16_000)[4000:]])
    assert len(trim_silence(wave)) > 60_000


@pytest.mark.parametrize(
    ("case", "samples", "seconds"),
    [("1s_in8", 16_000, 8), ("1s_in2", 16_000, 2), ("1s3_in8", 20_800, 8)],
)
def test_short_clips_are_repeated_in_front(ct, case, samples, seconds):
    padded = repeat_pad(sound(samples), seconds * SECOND)
    assert len(padded) == ct[f"pad_{case}_len"]
    assert np.abs(padded.numpy()[::97] - ct[f"pad_{case}_wave_every97"]).max() < 1e-6
    assert torch.equal(padded[-samples:], sound(samples))
    assert np.abs(log_mel(padded[None])[0].numpy() - ct[f"mel_{case}"]).max() < 1e-4


def test_a_clip_that_is_long_enough_is_not_padded():
    wave = sound(100)
    assert repeat_pad(wave, 100) is wave
    assert repeat_pad(wave, 99) is wave
    assert torch.equal(zero_pad(wave, 99), wave)


def test_zero_padding_ends_with_a_silent_second_where_a_last_copy_would_just_fit(ct):
    padded = zero_pad(sound(SECOND), 20 * SECOND)
    assert len(padded) == ct["pad_1s_in20_pad0_len"]
    assert np.abs(padded.numpy()[::97] - ct["pad_1s_in20_pad0_wave_every97"]).max() < 1e-6
    assert not padded[-SECOND:].any()
    assert padded[-SECOND - 100 : -SECOND].any()


@pytest.mark.parametrize(("samples", "copies"), [(50, 1), (49, 2), (33, 3), (25, 3), (30, 3)])
def test_zero_padding_repeats_only_clips_under_half_the_target(samples, copies):
    padded = zero_pad(torch.ones(samples), 100)
    assert len(padded) == 100
    assert int(padded.sum()) == copies * samples


def test_windows_of_a_long_clip_end_with_a_tail_after_the_end_of_the_recording(gt):
    windows = half_overlapping(sound(320_000), 130_880)
    assert len(windows) == gt["n_windows_20s"]
    assert np.abs(windows.numpy()[:, ::997] - gt["wave_20s_windows_every997"]).max() < 1e-6
    assert np.abs(log_mel(windows)[-1].numpy() - gt["mel_20s_last_window"]).max() < 1e-4


@pytest.mark.parametrize(
    ("samples", "count"), [(9, 1), (10, 1), (11, 2), (14, 2), (15, 3), (20, 4)]
)
def test_window_counts(samples, count):
    wave = torch.arange(samples)
    windows = half_overlapping(wave, 10)
    assert windows.shape == (count, 10)
    assert windows[-1, -1] == samples - 1
    if count > 1:
        tail = samples - 5 * (count - 1)
        front = 10 - tail
        assert torch.equal(windows[-1], torch.cat([wave[-front:], wave[-tail:]]))


@pytest.mark.parametrize(
    "function",
    [
        trim_silence,
        lambda wave: repeat_pad(wave, 10),
        lambda wave: zero_pad(wave, 10),
        lambda wave: half_overlapping(wave, 10),
    ],
)
@pytest.mark.parametrize("wave", [torch.zeros(0), torch.zeros(2, 5)])
def test_no_samples_or_two_axes_are_refused(function, wave):
    with pytest.raises(EncoderError, match="a row of at least one sample"):
        function(wave)
