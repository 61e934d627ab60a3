"""OPERA's preprocessing: trim silence, pad by repetition, 64-band log-mel scaled to [0, 1].

Facts from OPERA's released benchmark (arXiv 2406.16148), restated in tests/data/opera/README.md.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from align.encoders.base import EncoderError

RATE = 16_000  # Hz
FRAME = 1024  # samples of a spectrum
HOP = 512  # samples between spectra
BANDS = 64
LOW_HZ, HIGH_HZ = 50.0, 8000.0
RANGE_DB = 80.0  # below the loudest band of the clip
POWER_FLOOR = 1e-10
TRIM_FRAME, TRIM_HOP, TRIM_DB = 1600, 800, 60.0


def frames_of(samples: int) -> int:
    """Log-mel frames of a wave of that many samples."""
    return 1 + samples // HOP


def trim_silence(wave: Tensor) -> Tensor:
    """A recording (n,) without the leading and trailing frames 60 dB below its loudest one.

    A recording of nothing but silence is returned whole, as librosa's `effects.trim` does.

    Raises:
        EncoderError: no samples, or more than one axis.
    """
    _check_recording(wave)
    frames = F.pad(wave.double(), (TRIM_HOP, TRIM_HOP)).unfold(0, TRIM_FRAME, TRIM_HOP)
    power = frames.square().mean(dim=1).clamp(min=POWER_FLOOR)
    sounding = torch.nonzero(power > power.max() * 10.0 ** (-TRIM_DB / 10)).flatten()
    start, end = int(sounding[0]) * TRIM_HOP, (int(sounding[-1]) + 1) * TRIM_HOP
    return wave[start:end]


def repeat_pad(wave: Tensor, samples: int) -> Tensor:
    """A recording (n,) repeated backwards until it is `samples` long; a longer one is unchanged.

    The recording stands at the end of the result and its repetitions before it.

    Raises:
        EncoderError: no samples, or more than one axis.
    """
    _check_recording(wave)
    if len(wave) >= samples:
        return wave
    return wave[torch.arange(-samples, 0, device=wave.device) % len(wave)]


def zero_pad(wave: Tensor, samples: int) -> Tensor:
    """A recording (n,) at the start of `samples`, then zeros; a longer one is unchanged.

    A recording under half of `samples` is repeated from the start while a whole copy fits with room
    to spare (a copy that would end exactly at the end is left out). OPERA-CT's rule for one corpus.

    Raises:
        EncoderError: no samples, or more than one axis.
    """
    _check_recording(wave)
    copies = max(1, (samples - 1) // len(wave)) if len(wave) < samples / 2 else 1
    laid = wave.repeat(copies)
    return F.pad(laid, (0, max(0, samples - len(laid))))


def half_overlapping(wave: Tensor, samples: int) -> Tensor:
    """A recording (n,) as windows (count, samples), each half a window after the one before.

    After the windows that fit there is always one more: the tail, at the end of a window whose
    front is filled with the last samples of the recording. A recording of at most `samples` is one
    window, padded as in `repeat_pad`. OPERA-GT's rule.

    Raises:
        EncoderError: no samples, or more than one axis.
    """
    _check_recording(wave)
    if len(wave) <= samples:
        return repeat_pad(wave, samples)[None]
    whole = wave.unfold(0, samples, samples // 2)
    tail = wave[len(whole) * (samples // 2) :]
    last = torch.cat([wave[len(tail) - samples :], tail])
    return torch.cat([whole, last[None]])


@torch.no_grad()
def log_mel(wave: Tensor) -> Tensor:
    """Waves (B, n) at 16 kHz to features (B, 1 + n // 512, 64), each row scaled to [0, 1].

    Periodic Hann, frames centred with zero padding, power spectrum, area-normalised Slaney bands,
    dB below the row's maximum down to -80, then min-max over the row; silence becomes zeros.
    Computed where the wave lives, in its precision but at least float32, autocast or not.
    """
    wave = wave if wave.dtype == torch.float64 else wave.float()
    window, filters = _window_and_filters(wave.device, wave.dtype)
    with torch.autocast(wave.device.type, enabled=False):
        spectrum = torch.stft(
            wave, FRAME, HOP, window=window, center=True, pad_mode="constant", return_complex=True
        )
        power = filters @ torch.view_as_real(spectrum).square().sum(dim=-1)
        decibels = 10.0 * torch.log10(power.clamp(min=POWER_FLOOR))
        top = decibels.amax(dim=(1, 2), keepdim=True)
        decibels = torch.maximum(decibels, top - RANGE_DB)
        low = decibels.amin(dim=(1, 2), keepdim=True)
        scaled = (decibels - low) / (top - low).clamp(min=1e-9)
    return scaled.transpose(1, 2).contiguous()


def slaney_filters() -> Tensor:
    """Triangles of unit area on Slaney's mel scale, float64 (64, 513).

    The scale is linear below 1 kHz (200/3 Hz per mel) and logarithmic above (27 mel per factor
    6.4), as in Slaney's Auditory Toolbox (1998); a triangle's height is 2 / its width in Hz.
    """
    low, high = _mel(LOW_HZ), _mel(HIGH_HZ)
    edges = [_hertz(low + (high - low) * i / (BANDS + 1)) for i in range(BANDS + 2)]
    hertz = torch.tensor(edges, dtype=torch.float64)[:, None]
    left, centre, right = hertz[:-2], hertz[1:-1], hertz[2:]
    bins = torch.arange(FRAME // 2 + 1, dtype=torch.float64) * (RATE / FRAME)
    rise, fall = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return torch.minimum(rise, fall).clamp(min=0.0) * (2.0 / (right - left))


def _mel(hertz: float) -> float:
    if hertz < 1000.0:
        return hertz * 3.0 / 200.0
    return 15.0 + 27.0 * math.log(hertz / 1000.0) / math.log(6.4)


def _hertz(mel: float) -> float:
    if mel < 15.0:
        return mel * 200.0 / 3.0
    return 1000.0 * math.exp((mel - 15.0) * math.log(6.4) / 27.0)


@lru_cache(maxsize=8)
def _window_and_filters(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Kept apart from any module, so that a model moved to bfloat16 keeps exact filters."""
    window = torch.hann_window(FRAME, periodic=True, dtype=torch.float64)
    return window.to(device, dtype), slaney_filters().to(device, dtype)


def _check_recording(wave: Tensor) -> None:
    if wave.ndim != 1 or not len(wave):
        raise EncoderError(
            f"a recording must be a row of at least one sample, not of shape {tuple(wave.shape)}"
        )
