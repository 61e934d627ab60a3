"""HTS-AT, a hierarchical window-attention transformer for spectrograms (arXiv 2202.00874).

The Swin scheme (arXiv 2103.14030) on a log-mel spectrogram folded into a square. Module names are
those of OPERA-CT's checkpoint.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from align.encoders.opera_audio import BANDS

FRAMES = 1024  # that the square holds
SIDE = 256  # of the square: 4 time blocks of 256 frames x 64 bands
PATCH = 4
WINDOW = 8
WIDTH = 96  # doubles at every stage
DEPTHS = (2, 2, 6, 2)
HEADS = (4, 8, 16, 32)
MASKED = -100.0  # added to the score of tokens that only the cyclic shift made neighbours


class HTSAT(nn.Module):
    """(B, at most 1024 frames, 64 bands) -> (B, 768)."""

    dim = WIDTH * 2 ** (len(DEPTHS) - 1)

    def __init__(self) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(BANDS)
        self.patch_embed = PatchEmbedding(WIDTH)
        side = SIDE // PATCH
        self.layers = nn.ModuleList(
            Stage(WIDTH << i, side >> i, depth, heads, last=i == len(DEPTHS) - 1)
            for i, (depth, heads) in enumerate(zip(DEPTHS, HEADS, strict=True))
        )
        self.norm = nn.LayerNorm(self.dim)
        self.apply(_initialise)

    def forward(self, features: Tensor) -> Tensor:
        """Mean of the final tokens."""
        x = self.bn0(features.transpose(1, 2)[..., None])[..., 0]
        x = self.patch_embed(fold(stretch(x)))
        for stage in self.layers:
            x = stage(x)
        tokens: Tensor = self.norm(x)
        return tokens.mean(dim=1)


def stretch(x: Tensor) -> Tensor:
    """(B, bands, frames) to 1024 frames by bicubic interpolation, first and last frame kept."""
    if x.shape[2] == FRAMES:
        return x
    size = (x.shape[1], FRAMES)
    return F.interpolate(x[:, None], size=size, mode="bicubic", align_corners=True)[:, 0]


def fold(x: Tensor) -> Tensor:
    """(B, 64 bands, 1024 frames) to (B, 1, 256, 256): four time blocks, one above the other."""
    blocks = x.reshape(len(x), BANDS, FRAMES // SIDE, SIDE).transpose(1, 2)
    return blocks.reshape(-1, 1, SIDE, SIDE)


class PatchEmbedding(nn.Module):
    """(B, 1, 256, 256) -> (B, 4096, width): one token per 4 x 4 patch."""

    def __init__(self, width: int):
        super().__init__()
        self.proj = nn.Conv2d(1, width, kernel_size=PATCH, stride=PATCH)
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Tensor) -> Tensor:
        """Row by row."""
        tokens: Tensor = self.norm(self.proj(image).flatten(2).transpose(1, 2))
        return tokens


class Stage(nn.Module):
    """Blocks at one resolution, every second with shifted windows, then a merge of 2 x 2 tokens."""

    def __init__(self, width: int, side: int, depth: int, heads: int, *, last: bool):
        super().__init__()
        shift = WINDOW // 2 if side > WINDOW else 0
        self.blocks = nn.ModuleList(
            Block(width, side, heads, shift if i % 2 else 0) for i in range(depth)
        )
        self.downsample = nn.Identity() if last else PatchMerging(width, side)

    def forward(self, x: Tensor) -> Tensor:
        """(B, side * side, width), or after the merge a quarter as many tokens twice as wide."""
        for block in self.blocks:
            x = block(x)
        merged: Tensor = self.downsample(x)
        return merged


class Block(nn.Module):
    """Window attention and a two-layer perceptron, each normalised before and added."""

    def __init__(self, width: int, side: int, heads: int, shift: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, side, heads, shift)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, tokens, width) -> the same shape."""
        x = x + self.attn(self.norm1(x))
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed


class Mlp(nn.Module):
    """width -> 4 width -> width, exact GELU."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same shape."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class WindowAttention(nn.Module):
    """Self-attention within 8 x 8 windows of a (cyclically shifted) square of tokens."""

    def __init__(self, width: int, side: int, heads: int, shift: int):
        super().__init__()
        self.side, self.heads, self.shift = side, heads, shift
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.relative_position_bias_table = nn.Parameter(
            torch.empty((2 * WINDOW - 1) ** 2, heads).normal_(std=0.02)
        )
        self.register_buffer("index", relative_index().flatten(), persistent=False)
        mask = shift_mask(side, shift) if shift else None
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, side * side, width) -> the same shape."""
        square = x.view(len(x), self.side, self.side, -1)
        if self.shift:
            square = square.roll((-self.shift, -self.shift), dims=(1, 2))
        windows = to_windows(square)
        qkv = self.qkv(windows).view(len(windows), WINDOW * WINDOW, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        bias = self._bias(len(x)).to(q.dtype)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        square = from_windows(self.proj(out.transpose(1, 2).flatten(2)), self.side)
        if self.shift:
            square = square.roll((self.shift, self.shift), dims=(1, 2))
        return square.flatten(1, 2)

    def _bias(self, batch: int) -> Tensor:
        """Added to the scores: (1 or batch * windows, heads, 64, 64)."""
        tokens = WINDOW * WINDOW
        bias = self.relative_position_bias_table[self.get_buffer("index")]
        bias = bias.view(1, tokens, tokens, self.heads).permute(0, 3, 1, 2)
        if not self.shift:
            return bias
        bias = bias + self.get_buffer("mask")[:, None]
        return bias.expand(batch, *bias.shape).flatten(0, 1)


def to_windows(square: Tensor) -> Tensor:
    """(B, side, side, width) to (B * windows, 64, width)."""
    batch, side, _, width = square.shape
    grid = side // WINDOW
    tiles = square.view(batch, grid, WINDOW, grid, WINDOW, width).transpose(2, 3)
    return tiles.reshape(batch * grid * grid, WINDOW * WINDOW, width)


def from_windows(windows: Tensor, side: int) -> Tensor:
    """(B * windows, 64, width) to (B, side, side, width)."""
    grid = side // WINDOW
    tiles = windows.view(-1, grid, grid, WINDOW, WINDOW, windows.shape[2]).transpose(2, 3)
    return tiles.reshape(-1, side, side, windows.shape[2])


def relative_index() -> Tensor:
    """Row of the bias table for each pair of tokens of a window: int64 (64, 64)."""
    steps = torch.arange(WINDOW)
    at = torch.cartesian_prod(steps, steps)
    offset = at[:, None] - at[None, :] + WINDOW - 1
    return offset[..., 0] * (2 * WINDOW - 1) + offset[..., 1]


def shift_mask(side: int, shift: int) -> Tensor:
    """0 or -100 for each pair of tokens of each shifted window: (windows, 64, 64)."""
    place = torch.arange(side)
    region = (place >= side - WINDOW).long() + (place >= side - shift).long()
    regions = 3 * region[:, None] + region[None, :]
    windows = to_windows(regions[None, :, :, None])[..., 0]
    return (windows[:, :, None] != windows[:, None, :]).float() * MASKED


class PatchMerging(nn.Module):
    """(B, side * side, width) -> (B, (side / 2)^2, 2 width): each 2 x 2 tokens become one."""

    def __init__(self, width: int, side: int):
        super().__init__()
        self.side = side
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Concatenated column by column: upper left, lower left, upper right, lower right."""
        half = self.side // 2
        squares = x.view(len(x), half, 2, half, 2, -1).permute(0, 1, 3, 4, 2, 5)
        merged: Tensor = self.reduction(self.norm(squares.reshape(len(x), half * half, -1)))
        return merged


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
