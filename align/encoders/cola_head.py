"""What OPERA-CT and OPERA-CE share: whole recordings as input, and COLA as self-supervision."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from align.encoders.base import Encoder, EncoderError
from align.encoders.opera_audio import (
    BANDS,
    FRAME,
    HOP,
    RATE,
    frames_of,
    log_mel,
    repeat_pad,
    trim_silence,
)
from align.objectives.ssl import cola_loss

HEAD_DIM = 512


class ColaEncoder(Encoder):
    """An encoder of log-mel features (B, frames, 64) trained by telling clips apart.

    The attributes `g`, `layer_norm` and `linear` are the head's names in OPERA's checkpoints.
    """

    rate = RATE
    crop = 8 * RATE
    least_frames = 1  # that `embed` can take
    checkpoint_keys_ignored: tuple[str, ...] = ()  # fnmatch patterns of keys without effect here

    def __init__(self, dim: int, minimum_seconds: float):
        super().__init__()
        self.dim = dim
        self.minimum_seconds = minimum_seconds
        self.g = nn.Linear(dim, HEAD_DIM)
        self.layer_norm = nn.LayerNorm(HEAD_DIM)
        self.linear = nn.Linear(HEAD_DIM, HEAD_DIM, bias=False)

    def windows(self, wave: Tensor) -> Tensor:
        """The recording (n,) without its silent ends, padded to the minimum: (1, samples).

        Raises:
            EncoderError: no samples, or still too short for the encoder.
        """
        padded = self.pad(trim_silence(wave), round(self.minimum_seconds * RATE))
        self._check_frames(frames_of(len(padded)))
        return padded[None]

    def pad(self, wave: Tensor, samples: int) -> Tensor:
        """A trimmed recording (n,), at least `samples` long."""
        return repeat_pad(wave, samples)

    def inputs(self, wave: Tensor) -> Tensor:
        """Log-mel features (B, 1 + n // 512, 64) of waves (B, n)."""
        return log_mel(wave)

    def contrast(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Both sides of COLA's bilinear similarity, each (B, 512), of embeddings (B, dim).

        The similarity of clips i and j is `first[i] @ second[j]`, that is `h_i W h_j` with
        `h = tanh(layer_norm(g(embedding)))` (Saeed et al. 2021, arXiv 2010.10915).
        """
        second = torch.tanh(self.layer_norm(self.g(embedding)))
        return self.linear(second), second

    def ssl_loss(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """COLA: two random crops of each row's features, half as long, must find each other.

        No dropout: every draw is from `generator`.

        Raises:
            EncoderError: half of the features is too short for the encoder.
        """
        length = features.shape[1] // 2
        self._check_frames(length)
        pair = [random_crop(features, length, generator) for _ in range(2)]
        first, second = self.contrast(self.embed(torch.cat(pair)))
        half = len(features)
        return cola_loss(first[:half], second[half:])

    def _check_features(self, features: Tensor) -> None:
        if features.ndim != 3 or features.shape[2] != BANDS:
            shape = tuple(features.shape)
            raise EncoderError(f"features must be (batch, frames, {BANDS}), not {shape}")
        self._check_frames(features.shape[1])

    def _check_frames(self, frames: int) -> None:
        if frames < self.least_frames:
            seconds = (self.least_frames - 1) * HOP / RATE
            raise EncoderError(
                f"{type(self).__name__} needs at least {self.least_frames} frames of {FRAME} "
                f"samples ({seconds:.3f} s), got {frames}: give a longer clip or a larger "
                "minimum_seconds"
            )


def random_crop(features: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """`length` consecutive frames of each row of (B, frames, bands), from its own random start."""
    batch, frames, _ = features.shape
    device = generator.device
    starts = torch.randint(frames - length + 1, (batch, 1), generator=generator, device=device)
    at = starts.to(features.device) + torch.arange(length, device=features.device)
    return features[torch.arange(batch, device=features.device)[:, None], at]
