"""Sounds that reach a stethoscope and are not the patient's, synthesised: no recording is needed.

All return (B, n) float tensors of about unit level and draw from the generator they are given.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

VOICE_HZ = (85.0, 300.0)  # fundamental of adult and child speech
FORMANTS = ((500.0, 90.0), (1500.0, 150.0))  # Hz, bandwidth; a neutral vowel (Fant 1960)
HARMONICS = 12


def friction(shape: torch.Size, rate: int, generator: torch.Generator) -> Tensor:
    """The chest piece rubs over skin or cloth: short bursts of low, rough noise."""
    batch, length = shape
    seconds = length / rate
    time = torch.arange(length) / rate
    envelope = torch.zeros(batch, length)
    for _ in range(4):
        start = torch.rand(batch, 1, generator=generator) * seconds
        lasting = torch.empty(batch, 1).uniform_(0.05, 0.6, generator=generator)
        inside = ((time - start) / lasting).clamp(0.0, 1.0)
        envelope = torch.maximum(envelope, torch.sin(math.pi * inside))
    roughness = 1 + 0.8 * _slow(batch, length, rate, 40.0, generator)
    return envelope * roughness * _coloured(shape, rate, 1.0, generator)


def speech(shape: torch.Size, rate: int, generator: torch.Generator) -> Tensor:
    """Someone talks: gliding harmonics under two formants, in syllables of three to six a second.

    Through the chest a voice arrives without its consonants, so none are made.
    """
    batch, length = shape
    glide = _slow(batch, length, rate, 2.0, generator)
    low, high = (math.log(value) for value in VOICE_HZ)
    base = torch.empty(batch, 1).uniform_(low, high, generator=generator).exp()
    phase = torch.cumsum(base * (1 + 0.15 * glide) / rate, dim=1)
    voice = torch.zeros(batch, length)
    for harmonic in range(1, HARMONICS + 1):
        hz = base * harmonic
        gain = sum(1 / (1 + ((hz - centre) / width) ** 2) for centre, width in FORMANTS)
        audible = (hz < 0.45 * rate).float()
        voice = voice + gain * audible * torch.sin(2 * math.pi * harmonic * phase)
    beat = torch.empty(batch, 1).uniform_(3.0, 6.0, generator=generator)
    start = torch.rand(batch, 1, generator=generator)
    time = torch.arange(length) / rate
    syllables = torch.sin(2 * math.pi * (beat * time + start)).clamp(min=0.0)
    talking = (_slow(batch, length, rate, 0.7, generator) > -0.2).float()
    return voice * syllables * talking + 1e-3 * _coloured(shape, rate, 0.5, generator)


def ambient(shape: torch.Size, rate: int, generator: torch.Generator) -> Tensor:
    """A room: pink noise whose level drifts, with a few knocks."""
    batch, length = shape
    room = _coloured(shape, rate, 0.5, generator)
    room = room * 10.0 ** (0.3 * _slow(batch, length, rate, 0.5, generator))
    time = torch.arange(length) / rate
    for _ in range(2):
        at = torch.rand(batch, 1, generator=generator) * length / rate
        hz = torch.empty(batch, 1).uniform_(80.0, 900.0, generator=generator)
        since = (time - at).clamp(min=0.0)
        knock = torch.exp(-since / 0.03) * torch.sin(2 * math.pi * hz * since)
        room = room + 3.0 * torch.rand(batch, 1, generator=generator) * knock
    return room


def rms(pcm: Tensor) -> Tensor:
    """Root mean square (B, 1), at least 1e-6."""
    return pcm.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-6)


def _coloured(shape: torch.Size, rate: int, slope: float, generator: torch.Generator) -> Tensor:
    """Noise of unit level with amplitude falling as frequency to the power of `slope`."""
    hz = torch.fft.rfftfreq(shape[1], 1 / rate).clamp(min=20.0)
    white = torch.fft.rfft(torch.randn(shape, generator=generator))
    noise: Tensor = torch.fft.irfft(white * hz**-slope, n=shape[1])
    return noise / rms(noise)


def _slow(batch: int, length: int, rate: int, hz: float, generator: torch.Generator) -> Tensor:
    """A smooth random curve in about [-1, 1] that turns `hz` times a second: (batch, length)."""
    knots = max(2, round(length / rate * hz) + 1)
    drawn = torch.empty(batch, 1, knots).uniform_(-1.0, 1.0, generator=generator)
    curve: Tensor = F.interpolate(drawn, size=length, mode="linear", align_corners=True)
    return curve[:, 0]
