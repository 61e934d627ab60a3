"""A small 1-D convolution encoder for training from scratch where there is no accelerator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from align.encoders.base import Encoder
from align.encoders.crops import overlapping_windows
from align.encoders.logmel import LogMel
from align.objectives.ssl import cola_loss

CONTRAST = 256  # dimensions of the COLA head


class Residual(nn.Module):
    """Two convolutions over time with batch norm, around a shortcut."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
            nn.Conv1d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm1d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, T) -> (B, width, T)."""
        return torch.relu(x + self.body(x))


def _halve(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, 5, stride=2, padding=2, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(inplace=True),
    )


class ConvEncoder(Encoder):
    """Mel bands as channels, two halvings of the frame rate, dilated residual blocks.

    The embedding is the mean and the deviation over time of the last layer, layer-normalised: a
    steady sound moves the first, a passing one the second. Self-supervision is COLA (Saeed et al.,
    2021): two halves of one crop must find each other among the halves of the batch.
    """

    def __init__(
        self,
        rate: int = 4000,
        seconds: float = 6.144,
        bands: int = 64,
        width: int = 96,
        blocks: int = 4,
        low_hz: float = 25.0,
        high_hz: float = 2000.0,
    ):
        super().__init__()
        hop = rate * 16 // 1000
        self.rate, self.dim = rate, 2 * width
        self.crop = round(seconds * rate) // (2 * hop) * 2 * hop
        self.features = LogMel(rate, 4 * hop, hop, bands, low_hz, high_hz)
        trunk = [_halve(bands, width), Residual(width, 1), _halve(width, width)]
        trunk += [Residual(width, 2 ** (index % 3)) for index in range(blocks)]
        self.trunk = nn.Sequential(*trunk)
        self.norm = nn.LayerNorm(self.dim)
        self.contrast = nn.Sequential(nn.Linear(self.dim, CONTRAST), nn.LayerNorm(CONTRAST))
        self.bilinear = nn.Linear(CONTRAST, CONTRAST, bias=False)

    def windows(self, wave: Tensor) -> Tensor:
        """Windows of one crop's length end to end, the last aligned to the end."""
        return overlapping_windows(wave, self.crop, self.crop)

    def inputs(self, wave: Tensor) -> Tensor:
        """Log-mel with the bands as channels: (B, n) -> (B, bands, frames)."""
        features: Tensor = self.features(wave)
        return features.transpose(1, 2)

    def embed(self, features: Tensor) -> Tensor:
        """(B, bands, frames) -> (B, dim)."""
        x: Tensor = self.trunk(features)
        pooled = torch.cat([x.mean(dim=2), (x.var(dim=2) + 1e-5).sqrt()], dim=1)
        embedding: Tensor = self.norm(pooled)
        return embedding

    def ssl_loss(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """COLA loss of a batch; nothing in it is random."""
        return self.embed_and_ssl(features, generator)[1]

    def embed_and_ssl(
        self,
        features: Tensor,
        generator: torch.Generator,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """One pass serves both: the embedding is the mean of the two halves'."""
        halves = torch.cat(features.chunk(2, dim=2))
        first, second = self.embed(halves).chunk(2)
        x1 = self.bilinear(torch.tanh(self.contrast(first)))
        x2 = torch.tanh(self.contrast(second))
        return (first + second) / 2, cola_loss(x1, x2)
