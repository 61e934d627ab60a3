"""Log-mel features of whole batches, computed where the wave lives."""

from __future__ import annotations

import math

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F

FLOOR = 1e-7  # of the window's mean energy: 70 dB below it nothing is heard
SCALE = 0.5  # brings log energies to about unit deviation
CLAMP = 6.0
CPU_ROWS = 16  # waves at a time on a processor: their frames then stay in its cache


class LogMel(nn.Module):
    """(B, n) waves at `rate` Hz -> (B, n // hop, bands), in float32 whatever the autocast.

    Each band's mean over the window is removed: a stethoscope's frequency response and the gain are
    constants in the log domain, and go. The Slaney scale with area normalisation, a periodic Hann
    window of `frame` samples, power spectrum.
    """

    def __init__(self, rate: int, frame: int, hop: int, bands: int, low_hz: float, high_hz: float):
        super().__init__()
        filters = torchaudio.functional.melscale_fbanks(
            frame // 2 + 1, low_hz, high_hz, bands, rate, norm="slaney", mel_scale="slaney"
        )
        self.frame, self.hop = frame, hop
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(frame), persistent=False)

    @torch.no_grad()
    def forward(self, wave: Tensor) -> Tensor:
        """Frame i is centred on the middle of hop i."""
        if wave.device.type == "cpu" and len(wave) > CPU_ROWS:
            return torch.cat([self._features(part) for part in torch.split(wave, CPU_ROWS)])
        return self._features(wave)

    def _features(self, wave: Tensor) -> Tensor:
        with torch.autocast(wave.device.type, enabled=False):
            margin = self.frame - self.hop
            padded = F.pad(wave.float(), (math.ceil(margin / 2), margin // 2))
            frames = padded.unfold(1, self.frame, self.hop) * self.get_buffer("window")
            spectrum = torch.view_as_real(torch.fft.rfft(frames)).square().sum(dim=-1)
            energies = spectrum @ self.get_buffer("filters")
            level = energies.mean(dim=(1, 2), keepdim=True)
            logs = torch.log(energies + FLOOR * level + 1e-20)
            centred = (logs - logs.mean(dim=1, keepdim=True)) * SCALE
            return centred.clamp(-CLAMP, CLAMP)
