"""OPERA-CT: HTS-AT on the log-mel of a whole recording (arXiv 2406.16148)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from align.encoders.cola_head import ColaEncoder
from align.encoders.htsat import FRAMES, HTSAT
from align.encoders.opera_audio import zero_pad

STRIDE = FRAMES // 2


class OperaCT(ColaEncoder):
    """A 768-dimensional embedding, 27.5 M parameters; names and shapes of OPERA's checkpoint.

    `minimum_seconds` is the length that short recordings are padded to (OPERA: 8 for most tasks, 2
    for some). `padding` is how: repeated backwards, or followed by zeros (OPERA, at 20 seconds, for
    one corpus).
    """

    checkpoint_keys_ignored = (
        "encoder.encoder.htsat.spectrogram_extractor.*",
        "encoder.encoder.htsat.logmel_extractor.*",
        "encoder.encoder.htsat.*.attn_mask",
        "encoder.encoder.htsat.*.relative_position_index",
        "encoder.encoder.htsat.tscam_conv.*",  # the AudioSet classifier, unused by the embedding
        "encoder.encoder.htsat.head.*",
    )

    def __init__(
        self, minimum_seconds: float = 8.0, padding: Literal["repeat", "zeros"] = "repeat"
    ):
        super().__init__(HTSAT.dim, minimum_seconds)
        self.padding = padding
        self.encoder = nn.ModuleDict({"encoder": nn.ModuleDict({"htsat": HTSAT()})})

    def pad(self, wave: Tensor, samples: int) -> Tensor:
        """A trimmed recording (n,), at least `samples` long."""
        if self.padding == "zeros":
            return zero_pad(wave, samples)
        return super().pad(wave, samples)

    def embed(self, features: Tensor) -> Tensor:
        """(B, frames, 64) -> (B, 768).

        More than 1024 frames (32.8 s) are cut in crops of 1024, one every 512, and the embeddings
        averaged; the last crop starts before frame `frames - 1025`, so up to 513 frames at the end
        are not heard, as in OPERA. 1025 frames, which OPERA refuses, give one crop.
        """
        self._check_features(features)
        frames = features.shape[1]
        if frames <= FRAMES:
            return self._backbone(features)
        count = 1 + max(0, frames - FRAMES - 2) // STRIDE
        crops = features.unfold(1, FRAMES, STRIDE)[:, :count].transpose(2, 3)
        embeddings = self._backbone(crops.flatten(0, 1))
        return embeddings.view(len(features), count, -1).mean(dim=1)

    def _backbone(self, features: Tensor) -> Tensor:
        out: Tensor = self.encoder.get_submodule("encoder.htsat")(features)
        return out
