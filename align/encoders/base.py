"""What every audio encoder offers to training, probing and export."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from align.errors import AlignError


class EncoderError(AlignError):
    """An encoder is unknown, its weights do not fit, or its input is of an impossible shape."""


class Encoder(nn.Module, ABC):
    """An audio encoder with its own preprocessing and its own self-supervised loss.

    A recording's embedding is the mean over its `windows` of `embed(inputs(window))`. Training cuts
    its own crops and calls `inputs`, `embed` and `ssl_loss` on batches of them; `inputs` runs on
    the device of the wave and keeps no gradient.
    """

    rate: int  # Hz of the wave
    dim: int  # size of the embedding
    crop: int  # samples of a training crop

    @abstractmethod
    def windows(self, wave: Tensor) -> Tensor:
        """How a recording (n,) is cut, padded or trimmed for embedding: (windows, samples)."""

    @abstractmethod
    def inputs(self, wave: Tensor) -> Tensor:
        """Features of waves (B, n), one per row, computed where the wave lives."""

    @abstractmethod
    def embed(self, features: Tensor) -> Tensor:
        """Embeddings (B, dim) of `inputs`."""

    @abstractmethod
    def ssl_loss(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Self-supervised loss (scalar) of a batch of `inputs`; every draw is from `generator`."""

    @torch.no_grad()
    def embed_recording(self, wave: Tensor, batch: int = 64) -> Tensor:
        """Embedding (dim,) of one recording (n,)."""
        windows = self.windows(wave)
        parts = [self.embed(self.inputs(part)) for part in torch.split(windows, batch)]
        return torch.cat(parts).mean(dim=0)

    def embed_and_ssl(self, features: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Embeddings and self-supervised loss; an encoder that can share a pass overrides this."""
        return self.embed(features), self.ssl_loss(features, generator)
