"""The decoder of OPERA-GT, needed only for its masked-autoencoder loss.

It is not the windowed decoder it was meant to be: its tokens pass through views of the wrong shape.
Trained weights expect exactly that, so it is reproduced (fixtures/opera/README.md, section 6).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from align.encoders.transformer import NORM_EPS, Mlp

GRID = (32, 8)  # the map every block believes it works on
WINDOW = 4
CELLS = WINDOW * WINDOW
WINDOWS = GRID[0] * GRID[1] // CELLS
SHIFT = 2  # rows of the grid, in every second block
HEADS = 16
POSITION_HIDDEN = 384
TAU_FLOOR = 0.01
NORM_FLOOR = 1e-6
MASKED = -100.0


def cut_windows(grid: Tensor) -> Tensor:
    """(B, 32, 8, C) -> (B, windows, 4, 4, C), row by row."""
    batch, rows, columns, channels = grid.shape
    cut = grid.reshape(batch, rows // WINDOW, WINDOW, columns // WINDOW, WINDOW, channels)
    return cut.transpose(2, 3).reshape(batch, WINDOWS, WINDOW, WINDOW, channels)


def join_windows(windows: Tensor) -> Tensor:
    """(B, windows, 4, 4, C) -> (B, 32, 8, C), the inverse of `cut_windows`."""
    batch, channels = len(windows), windows.shape[-1]
    cut = windows.reshape(batch, GRID[0] // WINDOW, GRID[1] // WINDOW, WINDOW, WINDOW, channels)
    return cut.transpose(2, 3).reshape(batch, *GRID, channels)


def relative_offsets() -> Tensor:
    """Offsets between the cells of a window, float64 (16 * 16, 2): sign(d) * log(1 + |d|)."""
    cells = torch.cartesian_prod(torch.arange(WINDOW), torch.arange(WINDOW)).double()
    offsets = (cells[:, None] - cells[None, :]).flatten(0, 1)
    return offsets.sign() * offsets.abs().log1p()


def shift_mask() -> Tensor:
    """What a rolled grid adds to attention (windows, 1, 16, 16): -100 between cells torn apart."""
    region = torch.zeros(GRID)
    region[-WINDOW:-SHIFT] = 1.0
    region[-SHIFT:] = 2.0
    cells = cut_windows(region[None, ..., None]).reshape(WINDOWS, CELLS)
    apart = cells[:, :, None] != cells[:, None, :]
    return (apart * MASKED)[:, None]


class CosineAttention(nn.Module):
    """Cosine attention with a temperature for each head and a small MLP for the position bias."""

    def __init__(self, dim: int):
        super().__init__()
        self.tau = nn.Parameter(torch.ones(HEADS))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.meta_mlp = nn.Sequential()
        self.meta_mlp.add_module("fc1", nn.Linear(2, POSITION_HIDDEN))
        self.meta_mlp.add_module("act", nn.ReLU())
        self.meta_mlp.add_module("fc2", nn.Linear(POSITION_HIDDEN, HEADS))
        self.register_buffer("offsets", relative_offsets().float(), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`x` (maps, windows, 16, dim), `mask` (windows, 1, 16, 16) or None -> the shape of `x`.

        Windows count as heads here, so that one bias serves every map without a copy.
        """
        maps, windows, cells, dim = x.shape
        parts = self.qkv(x).reshape(maps, windows, cells, 3, HEADS, dim // HEADS)
        query, key, value = parts.permute(3, 0, 1, 4, 2, 5).flatten(2, 3)
        query = query / query.norm(dim=-1, keepdim=True).clamp(min=NORM_FLOOR)
        key = key / key.norm(dim=-1, keepdim=True).clamp(min=NORM_FLOOR)
        heat = self.tau.clamp(min=TAU_FLOOR).repeat(windows)[:, None, None]
        bias = self.meta_mlp(self.get_buffer("offsets")).T.reshape(1, HEADS, CELLS, CELLS)
        bias = bias.expand(windows, -1, -1, -1) if mask is None else bias + mask
        query, key, bias = ((query / heat).to(value), key.to(value), bias.to(value))
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=bias.reshape(1, -1, CELLS, CELLS), scale=1.0
        )
        mixed = mixed.reshape(maps, windows, HEADS, cells, dim // HEADS).transpose(2, 3)
        projected: Tensor = self.proj(mixed.flatten(3))
        return projected


class DecoderBlock(nn.Module):
    """Attention in "windows", then an MLP, each normalised before it is added."""

    def __init__(self, dim: int, shift: int):
        super().__init__()
        self.shift = shift
        self.attn = CosineAttention(dim)
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = Mlp(dim, 4 * dim)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.register_buffer("mask", shift_mask() if shift else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, dim) -> (B, L, dim); `L` is a multiple of 256 / B."""
        x = x + self.norm1(self._window_attention(x))
        y: Tensor = x + self.norm2(self.mlp(x))
        return y

    def _window_attention(self, x: Tensor) -> Tensor:
        batch, tokens, dim = x.shape
        grid = x.reshape(batch, *GRID, tokens * dim // (GRID[0] * GRID[1]))
        grid = grid.roll(-self.shift, dims=1)
        windows = cut_windows(grid).reshape(-1, WINDOWS, CELLS, dim)
        attended = self.attn(windows, self.mask)
        back = join_windows(attended.reshape(-1, WINDOWS, WINDOW, WINDOW, dim))
        return back.roll(self.shift, dims=1).reshape(batch, tokens, dim)
