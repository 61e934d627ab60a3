"""Device-robust augmentation of waveforms, batched: another stethoscope, another room.

All functions take and return (B, n) float tensors and draw from the generator they are given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from export.disturbances import ambient, friction, rms, speech
from export.recipe import Augmentation

RESPONSE_KNOTS = 10


def augment(pcm: Tensor, rate: int, config: Augmentation, generator: torch.Generator) -> Tensor:
    """Random frequency response, band limits, coloured noise, hum, clipping and level, per clip."""
    hz = torch.fft.rfftfreq(pcm.shape[1], 1 / rate)
    gain = torch.ones(pcm.shape[0], len(hz))
    some = partial(_apply, generator=generator)
    gain = some(
        gain,
        config.response,
        lambda g: g * random_response(len(g), hz, config.response_db, generator),
    )
    gain = some(gain, config.band_limit, lambda g: g * random_band_limits(len(g), hz, generator))
    out = torch.fft.irfft(torch.fft.rfft(pcm) * gain, n=pcm.shape[1])
    out = out / out.abs().amax(dim=1, keepdim=True).clamp(min=1e-6)
    out = some(out, config.noise, lambda x: add_noise(x, hz, config.snr_db, generator))
    out = some(out, config.hum, lambda x: add_hum(x, rate, generator))
    for probability, synthesise in (
        (config.friction, friction),
        (config.speech, speech),
        (config.ambient, ambient),
    ):
        out = some(
            out,
            probability,
            lambda x, sound=synthesise: disturb(  # type: ignore[misc]
                x, sound(x.shape, rate, generator), config.disturbance_db, generator
            ),
        )
    out = some(out, config.clip, lambda x: clip_peaks(x, generator))
    level = torch.empty(len(out), 1).uniform_(-30.0, 0.0, generator=generator)
    return out * 10.0 ** (level / 20.0)


def _apply(
    rows: Tensor,
    probability: float,
    change: Callable[[Tensor], Tensor],
    generator: torch.Generator,
) -> Tensor:
    """`change` applied to a random part of the rows."""
    chosen = torch.rand(len(rows), generator=generator) < probability
    if not chosen.any():
        return rows
    result = rows.clone()
    result[chosen] = change(rows[chosen])
    return result


def random_response(batch: int, hz: Tensor, spread_db: float, generator: torch.Generator) -> Tensor:
    """Smooth random gain over log frequency: (batch, bins)."""
    knots = torch.randn(batch, 1, RESPONSE_KNOTS, generator=generator) * (spread_db / 2)
    curve: Tensor = F.interpolate(knots, size=256, mode="linear", align_corners=True)[:, 0]
    position = torch.log2(hz.clamp(min=16.0) / 16.0) / math.log2(float(hz[-1]) / 16.0)
    return 10.0 ** (curve[:, (position * 255).round().long()] / 20.0)


def random_band_limits(batch: int, hz: Tensor, generator: torch.Generator) -> Tensor:
    """A random high-pass (15-120 Hz) and low-pass (350-2000 Hz), of first to sixth order."""
    low = _log_uniform(batch, 15.0, 120.0, generator)
    high = _log_uniform(batch, 350.0, 2000.0, generator)
    order = torch.randint(1, 7, (2, batch, 1), generator=generator)
    high_pass = 1 / torch.sqrt(1 + (low / hz.clamp(min=1.0)) ** (2 * order[0]))
    low_pass = 1 / torch.sqrt(1 + (hz / high) ** (2 * order[1]))
    return high_pass * low_pass


def add_noise(
    pcm: Tensor, hz: Tensor, snr_db: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Stationary noise with a power-law spectrum, exponent 0 (white) to 2 (brown)."""
    batch = pcm.shape[0]
    slope = torch.empty(batch, 1).uniform_(0.0, 1.0, generator=generator)
    white = torch.fft.rfft(torch.randn(pcm.shape, generator=generator))
    noise = torch.fft.irfft(white * hz.clamp(min=20.0) ** -slope, n=pcm.shape[1])
    snr = torch.empty(batch, 1).uniform_(*snr_db, generator=generator)
    noisy: Tensor = pcm + noise * (rms(pcm) / rms(noise)) * 10.0 ** (-snr / 20.0)
    return noisy


def add_hum(pcm: Tensor, rate: int, generator: torch.Generator) -> Tensor:
    """Mains hum, 50 or 60 Hz with two harmonics, 10 to 35 dB under the sound."""
    batch, length = pcm.shape
    base = torch.where(torch.rand(batch, 1, generator=generator) < 0.5, 50.0, 60.0)
    time = torch.arange(length) / rate
    hum = torch.zeros_like(pcm)
    for harmonic in (1, 2, 3):
        level = torch.rand(batch, 1, generator=generator) / harmonic
        phase = torch.rand(batch, 1, generator=generator) * 2 * math.pi
        hum = hum + level * torch.sin(2 * math.pi * harmonic * base * time + phase)
    snr = torch.empty(batch, 1).uniform_(10.0, 35.0, generator=generator)
    return pcm + hum * rms(pcm) / rms(hum) * 10.0 ** (-snr / 20.0)


def disturb(
    pcm: Tensor, sound: Tensor, snr_db: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Add another sound of the same shape, that many dB under the first."""
    snr = torch.empty(len(pcm), 1).uniform_(*snr_db, generator=generator)
    return pcm + sound * (rms(pcm) / rms(sound)) * 10.0 ** (-snr / 20.0)


def clip_peaks(pcm: Tensor, generator: torch.Generator) -> Tensor:
    """Clip at 0.4 to 0.95 of full scale."""
    limits = torch.empty(len(pcm), 1).uniform_(0.4, 0.95, generator=generator)
    return torch.maximum(torch.minimum(pcm, limits), -limits)


def mask_bands(features: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Zero one random stretch of up to a quarter of the channels, in some of the clips."""
    batch, channels, _ = features.shape
    width = torch.randint(1, channels // 4, (batch, 1), generator=generator)
    start = torch.randint(0, channels, (batch, 1), generator=generator)
    index = torch.arange(channels)[None]
    chosen = torch.rand(batch, 1, generator=generator) < probability
    hit = (index >= start) & (index < start + width) & chosen
    return features.masked_fill(hit[:, :, None], 0.0)


def _log_uniform(batch: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    draw = torch.empty(batch, 1).uniform_(math.log(low), math.log(high), generator=generator)
    return draw.exp()
