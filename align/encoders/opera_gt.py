"""OPERA-GT (Zhang et al. 2024, arXiv 2406.16148), AcuLa's encoder: a ViT-S masked autoencoder.

State-dict names are those of the original checkpoint, which therefore loads as it is.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from align.encoders import opera_audio
from align.encoders.base import Encoder, EncoderError
from align.encoders.opera_gt_decoder import GRID, SHIFT, DecoderBlock
from align.encoders.transformer import (
    NORM_EPS,
    Block,
    draw_kept,
    initialise,
    masked_error,
    patchify,
    restore,
    sincos_table,
    take,
)

WIDTH, DEPTH, HEADS = 384, 12, 6
DECODER_WIDTH, DECODER_DEPTH = 256, 16
PATCH = 4  # frames, and bands
TABLE = (
    16,
    64,
)  # grid of the position table: not the tokens' own (64 frames x 16 bands), see embed
TOKENS = TABLE[0] * TABLE[1]
MASK_RATIO = 0.7
FRAMES_UNIT = GRID[0] * GRID[1] // (opera_audio.BANDS // PATCH) * PATCH  # that the decoder can view


class MaskedPass(NamedTuple):
    """What one pass of the masked autoencoder yields."""

    loss: Tensor  # scalar
    latent: Tensor  # (B, 1 + kept, 384), after the final norm, class token first
    prediction: Tensor  # (B, tokens, 16)


class OperaGT(Encoder):
    """Spectrogram patches of 4 x 4, time-major, 384 dimensions, 12 layers, and OPERA's own decoder.

    A window's embedding is the mean of its patch tokens, then the final LayerNorm. The position
    table was built for a 16 x 64 grid although the tokens come as 64 x 16, and shorter inputs take
    its first rows: trained weights expect that, so it is kept.

    `seconds` is the length of a window: 8.18 in OPERA's pre-training and most of its tasks.

    Raises:
        EncoderError: `seconds` gives more tokens than the position table has, or none.
    """

    def __init__(self, seconds: float = 8.18):
        super().__init__()
        self.rate, self.dim = opera_audio.RATE, WIDTH
        self.crop = round(seconds * opera_audio.RATE)
        self._token_count(opera_audio.frames_of(self.crop))
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, WIDTH))
        self.pos_embed = _position_table(WIDTH)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, DECODER_WIDTH))
        self.decoder_pos_embed = _position_table(DECODER_WIDTH)
        self.patch_embed = nn.Sequential()
        self.patch_embed.add_module("proj", nn.Conv2d(1, WIDTH, PATCH, PATCH))
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH, eps=NORM_EPS)
        self.decoder_embed = nn.Linear(WIDTH, DECODER_WIDTH)
        self.decoder_blocks = nn.ModuleList(
            DecoderBlock(DECODER_WIDTH, SHIFT * (index % 2)) for index in range(DECODER_DEPTH)
        )
        self.decoder_norm = nn.LayerNorm(DECODER_WIDTH, eps=NORM_EPS)
        self.decoder_pred = nn.Linear(DECODER_WIDTH, PATCH * PATCH)
        initialise(self)

    def windows(self, wave: Tensor) -> Tensor:
        """Silence trimmed, then half-overlapping windows and always one for the tail."""
        return opera_audio.half_overlapping(opera_audio.trim_silence(wave), self.crop)

    def inputs(self, wave: Tensor) -> Tensor:
        """Log-mel (B, frames, 64) of 16 kHz waves, each row scaled to [0, 1]; 8.18 s give 256."""
        return opera_audio.log_mel(wave)

    def embed(self, features: Tensor) -> Tensor:
        """(B, frames, 64) -> (B, 384), from 4 to 259 frames; those that fill no patch are dropped.

        Raises:
            EncoderError: fewer or more frames.
        """
        mean: Tensor = self._encode(self._patches(features))[:, 1:].mean(dim=1)
        embedding: Tensor = self.norm(mean)
        return embedding

    def ssl_loss(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Masked-autoencoder loss: squared error on the 70 % of patches that the encoder misses.

        Raises:
            EncoderError: frames that do not fill a multiple of 64.
        """
        tokens = self._token_count(features.shape[1])
        kept = draw_kept(len(features), tokens, MASK_RATIO, generator).to(features.device)
        return self.masked_pass(features, kept).loss

    def masked_pass(self, features: Tensor, kept: Tensor) -> MaskedPass:
        """The masked autoencoder where the encoder sees only the tokens `kept` (B, K).

        Raises:
            EncoderError: frames that do not fill a multiple of 64.
        """
        tokens = self._token_count(features.shape[1])
        if features.shape[1] // PATCH * PATCH % FRAMES_UNIT:
            raise EncoderError(
                f"OPERA-GT's decoder needs a multiple of {FRAMES_UNIT} frames, not "
                f"{features.shape[1]}; train on windows of 8.18 s"
            )
        latent = self.norm(self._encode(take(self._patches(features), kept)))
        hidden = self.decoder_embed(latent)[:, 1:]
        x = restore(hidden, kept, self.mask_token, tokens)
        x = x + self.decoder_pos_embed[:, 1 : tokens + 1].to(x.dtype)
        for block in self.decoder_blocks:
            x = block(x)
        prediction = self.decoder_pred(self.decoder_norm(x))
        target = patchify(features, PATCH, PATCH)
        return MaskedPass(masked_error(prediction, target, kept), latent, prediction)

    def _token_count(self, frames: int) -> int:
        tokens = frames // PATCH * (opera_audio.BANDS // PATCH)
        if not 0 < tokens <= TOKENS:
            raise EncoderError(
                f"OPERA-GT takes {PATCH} to {TOKENS // 16 * PATCH + PATCH - 1} frames at once, not "
                f"{frames}; use windows of 0.1 to 8.18 s"
            )
        return tokens

    def _patches(self, features: Tensor) -> Tensor:
        """Patch tokens with their positions: (B, tokens, 384)."""
        if features.ndim != 3 or features.shape[2] != opera_audio.BANDS:
            raise EncoderError(
                f"OPERA-GT's features are (batch, frames, {opera_audio.BANDS}), not "
                f"{tuple(features.shape)}"
            )
        tokens = self._token_count(features.shape[1])
        grid: Tensor = self.patch_embed(features[:, None].to(self.cls_token.dtype))
        return grid.flatten(2).transpose(1, 2) + self.pos_embed[:, 1 : tokens + 1]

    def _encode(self, tokens: Tensor) -> Tensor:
        """(B, K, 384) -> (B, 1 + K, 384), before the final norm, class token first."""
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        x = torch.cat([first.to(tokens.dtype), tokens], dim=1)
        for block in self.blocks:
            x = block(x)
        return x


def _position_table(dim: int) -> nn.Parameter:
    """(1, 1 + tokens, dim), zeros for the class token; frozen, but part of the checkpoint."""
    table = torch.cat([torch.zeros(1, dim), sincos_table(*TABLE, dim).float()])
    return nn.Parameter(table[None], requires_grad=False)
