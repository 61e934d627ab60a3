"""Our own ViT masked autoencoders, for training from scratch at 4 or 16 kHz."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from align.encoders.base import Encoder, EncoderError
from align.encoders.crops import overlapping_windows
from align.encoders.logmel import LogMel
from align.encoders.transformer import (
    NORM_EPS,
    Block,
    draw_kept,
    initialise,
    kept_count,
    masked_error,
    patchify,
    restore,
    sincos_table,
    take,
)

HOP_MS = 16  # a frame is four hops, 64 ms: harmonics of a wheeze
LOW_HZ = 25.0
DECODER_HEAD = 32  # dimensions of a decoder head
PIXEL_FLOOR = 1e-6


class VitMae(Encoder):
    """A vision transformer on log-mel patches, trained by reconstructing masked ones.

    1. Log-mel every 16 ms from 25 Hz to half the rate, each band's mean over the window removed.
    2. Patches of `patch` = (frames, bands), time-major, with a fixed 2-D sine-cosine position.
    3. `embed`: all tokens through the encoder, their mean, the final LayerNorm.
    4. `ssl_loss`: the encoder sees the kept tokens only, a light decoder predicts the pixels of the
       masked ones; squared error (He et al. 2021, arXiv 2111.06377; Huang et al. 2022, arXiv
       2207.06405). `pixel_norm` brings each target patch to zero mean and unit deviation first.

    `seconds` is cut down to whole patches. There is no class token.

    Raises:
        EncoderError: sizes that do not fit each other.
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        decoder_dim: int,
        decoder_depth: int = 4,
        rate: int = 4000,
        seconds: float = 6.144,
        bands: int = 64,
        patch: Sequence[int] = (8, 8),
        mask_ratio: float = 0.7,
        pixel_norm: bool = True,
    ):
        super().__init__()
        self.rate, self.dim, self.mask_ratio, self.pixel_norm = rate, dim, mask_ratio, pixel_norm
        hop = rate * HOP_MS // 1000
        self.patch_frames, self.patch_bands = _patch_sides(patch)
        rows = int(seconds * rate / hop + 1e-6) // self.patch_frames
        columns = bands // self.patch_bands
        self.crop = rows * self.patch_frames * hop
        _check_sizes(rows, bands, self.patch_bands, heads, dim, decoder_dim)
        if not 0 < kept_count(rows * columns, mask_ratio) < rows * columns:
            raise EncoderError(
                f"mask_ratio {mask_ratio} leaves nothing to see or nothing to predict; use e.g. 0.7"
            )
        self.features = LogMel(rate, 4 * hop, hop, bands, LOW_HZ, rate / 2)
        pixels = self.patch_frames * self.patch_bands
        self.patch_embed = nn.Linear(pixels, dim)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.decoder_embed = nn.Linear(dim, decoder_dim)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, decoder_dim))
        self.decoder_blocks = nn.ModuleList(
            Block(decoder_dim, decoder_dim // DECODER_HEAD) for _ in range(decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(decoder_dim, eps=NORM_EPS)
        self.decoder_pred = nn.Linear(decoder_dim, pixels)
        self.positions: Tensor
        self.decoder_positions: Tensor
        for name, width in (("positions", dim), ("decoder_positions", decoder_dim)):
            table = sincos_table(rows, columns, width).float()
            self.register_buffer(name, table, persistent=False)
        initialise(self)

    def windows(self, wave: Tensor) -> Tensor:
        """Half-overlapping crops, the last aligned to the end; a shorter recording is repeated."""
        return overlapping_windows(wave, self.crop)

    def inputs(self, wave: Tensor) -> Tensor:
        """Waves (B, n) at `rate` Hz to normalised log-mel (B, n // hop, bands)."""
        features: Tensor = self.features(wave)
        return features

    def embed(self, features: Tensor) -> Tensor:
        """(B, frames, bands) -> (B, dim); at most the frames of a crop, at least those of a patch.

        Raises:
            EncoderError: fewer or more frames.
        """
        embedding: Tensor = self.norm(self.encode(self.patches(features)).mean(dim=1))
        return embedding

    def ssl_loss(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Squared error on the masked patches, drawn anew for each row."""
        patches = self.patches(features)
        kept = draw_kept(len(patches), patches.shape[1], self.mask_ratio, generator)
        kept = kept.to(patches.device)
        return masked_error(self.reconstruct(patches, kept), self.targets(patches), kept)

    def patches(self, features: Tensor) -> Tensor:
        """Pixels (B, tokens, pixels) of the patches of (B, frames, bands), time-major.

        Raises:
            EncoderError: fewer frames than one patch has, or more than a crop.
        """
        patches = patchify(features, self.patch_frames, self.patch_bands)
        if not 0 < patches.shape[1] <= len(self.positions):
            most = self.crop * 1000 // self.rate // HOP_MS
            raise EncoderError(
                f"this encoder takes {self.patch_frames} to {most} frames at once, not "
                f"{features.shape[1]}; cut the recording with `windows`"
            )
        return patches

    def encode(self, patches: Tensor, kept: Tensor | None = None) -> Tensor:
        """Tokens (B, K, dim) before the final norm: of all patches, or of `kept` (B, K) only."""
        positions = self.positions[None, : patches.shape[1]]
        if kept is not None:
            positions = take(positions.expand(len(patches), -1, -1), kept)
            patches = take(patches, kept)
        x: Tensor = self.patch_embed(patches.to(self.patch_embed.weight.dtype)) + positions
        for block in self.blocks:
            x = block(x)
        return x

    def reconstruct(self, patches: Tensor, kept: Tensor) -> Tensor:
        """Predicted pixels (B, tokens, pixels) of every patch when only `kept` (B, K) are seen."""
        hidden = self.decoder_embed(self.norm(self.encode(patches, kept)))
        x = restore(hidden, kept, self.mask_token, patches.shape[1])
        x = x + self.decoder_positions[: patches.shape[1]]
        for block in self.decoder_blocks:
            x = block(x)
        pixels: Tensor = self.decoder_pred(self.decoder_norm(x))
        return pixels

    def targets(self, patches: Tensor) -> Tensor:
        """What the decoder should say: the pixels, each patch normalised if `pixel_norm`."""
        if not self.pixel_norm:
            return patches
        variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
        normalised: Tensor = (patches - mean) / (variance + PIXEL_FLOOR).sqrt()
        return normalised


vit_tiny = partial(VitMae, dim=192, depth=12, heads=3, decoder_dim=128)
vit_small = partial(VitMae, dim=384, depth=12, heads=6, decoder_dim=256)  # OPERA-GT's size


def _patch_sides(patch: Sequence[int]) -> tuple[int, int]:
    if len(patch) != 2 or min(patch) < 1:
        raise EncoderError(f"patch must be (frames, bands), both at least 1, not {patch}")
    return patch[0], patch[1]


def _check_sizes(
    rows: int, bands: int, patch_bands: int, heads: int, dim: int, decoder_dim: int
) -> None:
    if rows < 1:
        raise EncoderError("seconds is shorter than one patch; use longer crops or shorter patches")
    if bands % patch_bands:
        raise EncoderError(f"{bands} bands are not a multiple of a patch's {patch_bands}")
    if dim % (4 * heads) or decoder_dim % DECODER_HEAD:
        raise EncoderError(
            f"dim {dim} must be a multiple of 4 x {heads} heads and decoder_dim {decoder_dim} "
            f"of {DECODER_HEAD}"
        )
