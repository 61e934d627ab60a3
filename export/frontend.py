"""Waveform to normalised log-mel frames, causal, gain-invariant and expressible in plain ONNX ops.

Every class takes and returns its history explicitly, so that one definition serves training
(zero history, long input) and streaming (carried history, one hop).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.recipe import FrontEnd

POWER_FLOOR = 1e-16  # keeps digital silence finite, far below any sound
CLAMP = 4.0


def hz_to_mel(hz: float) -> float:
    """Frequency in Hz to mel, HTK formula."""
    return 2595.0 * math.log10(1.0 + hz / 700.0)


def mel_to_hz(mel: float) -> float:
    """Mel to Hz, inverse of `hz_to_mel`."""
    return 700.0 * (math.pow(10.0, mel / 2595.0) - 1.0)


def mel_filters(rate: int, frame: int, bands: int, low_hz: float, high_hz: float) -> Tensor:
    """Triangular mel filters, float64 of shape (bands, frame // 2 + 1), each summing to 1.

    A triangle narrower than the bin spacing is widened to one bin, so that no band is empty.
    """
    low, high = hz_to_mel(low_hz), hz_to_mel(high_hz)
    edges = [mel_to_hz(low + (high - low) * i / (bands + 1)) for i in range(bands + 2)]
    bins = torch.arange(frame // 2 + 1, dtype=torch.float64) * rate / frame
    spacing = rate / frame
    filters = []
    for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
        rise = (bins - centre) / max(centre - left, spacing)
        fall = (centre - bins) / max(right - centre, spacing)
        weights = (1.0 + torch.minimum(rise, fall)).clamp(min=0.0)
        filters.append(weights / weights.sum())
    return torch.stack(filters)


class BandEnergies(nn.Module):
    """Mel band energies by a convolution with windowed sines: (B, n) -> (B, bands, n / step)."""

    def __init__(self, rate: int, frame: int, step: int, bands: int, low_hz: float, high_hz: float):
        super().__init__()
        filters = mel_filters(rate, frame, bands, low_hz, high_hz)
        used = torch.nonzero(filters.sum(0) > 0).flatten()
        window = torch.hann_window(frame, periodic=True, dtype=torch.float64)
        phase = 2 * math.pi * used[:, None] * torch.arange(frame)[None, :] / frame
        rows = torch.cat([torch.cos(phase), torch.sin(phase)]) * (window / window.sum())
        self.step = step
        self.history = frame - step
        self.bins, self.window = used, window / window.sum()
        self.register_buffer("rows", rows.float()[:, None, :], persistent=False)
        self.register_buffer("filters", filters[:, used].float(), persistent=False)

    def forward(self, pcm: Tensor) -> Tensor:
        """`pcm` is (B, history + n): the history comes first."""
        spectrum = F.conv1d(pcm[:, None, :], self.get_buffer("rows"), stride=self.step)
        real, imaginary = spectrum.chunk(2, dim=1)
        return self.get_buffer("filters") @ (real * real + imaginary * imaginary)


class CausalMean(nn.Module):
    """Exponential mean over time with exact start-up correction.

    `s[t] = d s[t-1] + x[t]`, `w[t] = d w[t-1] + 1`, `mean[t] = s[t] / w[t]`: the plain running mean
    at first, exponential later. The weight travels as one more channel of the state. Computed in
    chunks of one hop, so that a long pass adds in the same order as a stream of hops.
    """

    def __init__(self, channels: int, seconds: float, frame_rate: float, frames_per_hop: int):
        super().__init__()
        self.size = channels + 1
        self.frames = frames_per_hop
        self.decay = math.exp(-1.0 / (seconds * frame_rate))
        steps = torch.arange(frames_per_hop, dtype=torch.float64)
        lag = steps[None, :] - steps[:, None]
        within = torch.where(lag >= 0, self.decay**lag, torch.zeros_like(lag))
        self.register_buffer("within", within.float(), persistent=False)
        self.register_buffer("carry", (self.decay ** (steps + 1)).float(), persistent=False)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """`x` (B, C, T), `state` (B, C + 1) -> mean (B, C, T) and the next state."""
        batch, channels, length = x.shape
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        chunks = length // self.frames
        x = x.reshape(batch, self.size, chunks, self.frames)
        sums = x @ self.get_buffer("within")
        starts = state[:, :, None]
        if chunks > 1:
            starts = self._chunk_starts(sums[..., -1], state, chunks)
        sums = sums + starts[..., None] * self.get_buffer("carry")
        sums = sums.reshape(batch, self.size, length)
        return sums[:, :channels] / sums[:, channels:], sums[:, :, -1]

    def _chunk_starts(self, ends: Tensor, state: Tensor, chunks: int) -> Tensor:
        """State at the start of each chunk: (B, C + 1, chunks)."""
        steps = torch.arange(chunks, dtype=torch.float64)
        lag = steps[None, :] - steps[:, None] - 1
        decay = self.decay**self.frames
        across = torch.where(lag >= 0, decay**lag, torch.zeros_like(lag)).to(ends)
        return ends @ across + state[:, :, None] * (decay**steps).to(ends)


class LogMel(nn.Module):
    """(B, n) samples -> (B, channels, n / frame_hop) normalised log energies.

    1. Band energies E of each frame; an optional second, shorter frame adds time resolution.
    2. A floor that follows the sound: `log(E + floor * causal mean level)`, so that digital silence
       in the middle of a recording is not minus infinity and gain cancels exactly.
    3. Causal per-band mean removal: a stethoscope's frequency response is a constant in the log
       domain, and goes.
    """

    def __init__(self, config: FrontEnd, hop: int):
        super().__init__()
        frames, rate = hop // config.frame_hop, config.rate
        span = (config.low_hz, config.high_hz)
        self.long = BandEnergies(rate, config.frame, config.frame_hop, config.bands, *span)
        self.channels = config.bands
        self.short: BandEnergies | None = None
        self.per_frame = 4
        if config.short_frame:
            step = config.frame_hop // self.per_frame
            self.short = BandEnergies(rate, config.short_frame, step, config.short_bands, *span)
            self.channels += self.per_frame * config.short_bands
        self.history = self.long.history
        self.floor = 10.0 ** (config.floor_db / 10.0)
        frame_rate = rate / config.frame_hop
        self.level = CausalMean(1, config.level_seconds, frame_rate, frames)
        self.mean = CausalMean(self.channels, config.mean_seconds, frame_rate, frames)

    @property
    def state_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the carried state, without the batch axis."""
        return [(self.history,), (self.level.size,), (self.mean.size,)]

    def forward(self, pcm: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`pcm` (B, n), n a multiple of the hop, and the three parts of the state."""
        samples = torch.cat([state[0], pcm], dim=1)
        energies = self.long(samples)
        level, level_state = self.level(energies.mean(dim=1, keepdim=True), state[1])
        if self.short is not None:
            energies = torch.cat([energies, self._short_energies(samples)], dim=1)
        logs = torch.log(energies + (self.floor * level + POWER_FLOOR))
        mean, mean_state = self.mean(logs, state[2])
        features = torch.clamp((logs - mean) * 0.5, -CLAMP, CLAMP)
        return features, [samples[:, -self.history :], level_state, mean_state]

    def _short_energies(self, samples: Tensor) -> Tensor:
        assert self.short is not None
        energies = self.short(samples[:, self.history - self.short.history :])
        batch, bands, length = energies.shape
        energies = energies.reshape(batch, bands, length // self.per_frame, self.per_frame)
        grouped: Tensor = energies.permute(0, 1, 3, 2)
        return grouped.reshape(batch, -1, length // self.per_frame)
