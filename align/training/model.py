"""The encoder with its heads: one forward pass gives everything that the loss needs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from align.encoders import Encoder
from align.training.recipe import ObjectiveConfig

FINDINGS = ("murmur", "wheeze", "crackle", "abnormal")  # labels of the supervised controls


@dataclass(frozen=True)
class Output:
    """Embeddings (B, dim), projections of audio (B, width) and text (B, width or k), SSL loss."""

    embedding: Tensor
    audio: Tensor
    text: Tensor
    logits: Tensor
    ssl: Tensor


def projection(kind: str, inputs: int, config: ObjectiveConfig) -> nn.Module:
    """A head: "mlp" (one hidden layer, ReLU, dropout; as published), "linear", or "none"."""
    if kind == "none":
        return nn.Identity()
    if kind == "linear":
        return nn.Linear(inputs, config.width, bias=False)
    return nn.Sequential(
        nn.Linear(inputs, config.hidden),
        nn.ReLU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden, config.width),
    )


class AlignModel(nn.Module):
    """Encoder, audio head, text head, and a linear classifier that only one control trains."""

    def __init__(self, encoder: Encoder, text_size: int, config: ObjectiveConfig):
        super().__init__()
        self.encoder = encoder
        self.audio_head = projection("mlp", encoder.dim, config)
        self.text_head = projection(config.text_head, text_size, config)
        self.classifier = nn.Linear(encoder.dim, len(FINDINGS))

    def forward(self, wave: Tensor, text: Tensor, generator: torch.Generator) -> Output:
        """`wave` (B, samples) and `text` (B, k), the teacher's vectors."""
        features = self.encoder.inputs(wave)
        embedding, ssl = self.encoder.embed_and_ssl(features, generator)
        return Output(
            embedding,
            self.audio_head(embedding),
            self.text_head(text),
            self.classifier(embedding),
            ssl,
        )
