"""Parts that OPERA-GT and our own masked autoencoders share: pre-norm blocks, patches, masking."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPS = 1e-6


class Attention(nn.Module):
    """Multi-head self-attention by the fused kernel: (B, L, dim) -> (B, L, dim)."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Every token attends to every token."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected


class Mlp(nn.Module):
    """Two linear layers with the exact (erf) GELU between them."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) -> (..., dim)."""
        y: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return y


class Block(nn.Module):
    """Pre-norm transformer block, MLP four times as wide: (B, L, dim) -> (B, L, dim)."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = Mlp(dim, 4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """The block with both of its residual branches."""
        x = x + self.attn(self.norm1(x))
        y: Tensor = x + self.mlp(self.norm2(x))
        return y


def sincos_table(rows: int, columns: int, dim: int) -> Tensor:
    """Fixed 2-D sine-cosine positions, float64 of shape (rows * columns, dim), row by row.

    The first half of a vector tells the column, the second the row; each half is sines, then
    cosines of `position / 10000 ** (4 i / dim)` (He et al. 2021, arXiv 2111.06377). `dim` is a
    multiple of 4.
    """
    rates = 10000.0 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))

    def axis(positions: Tensor) -> Tensor:
        phase = positions[:, None] * rates
        return torch.cat([phase.sin(), phase.cos()], dim=1)

    row = torch.arange(rows, dtype=torch.float64).repeat_interleave(columns)
    column = torch.arange(columns, dtype=torch.float64).repeat(rows)
    return torch.cat([axis(column), axis(row)], dim=1)


def patchify(features: Tensor, frames: int, bands: int) -> Tensor:
    """Features (B, T, F) as patches (B, T // frames * (F // bands), frames * bands), time-major.

    Values of a patch come frame by frame. Trailing frames that fill no patch are dropped; F must be
    a multiple of `bands`.
    """
    batch, total, width = features.shape
    rows = total // frames
    cut = features[:, : rows * frames].reshape(batch, rows, frames, width // bands, bands)
    return cut.transpose(2, 3).reshape(batch, rows * (width // bands), frames * bands)


def kept_count(tokens: int, ratio: float) -> int:
    """How many of `tokens` the encoder sees when the share `ratio` is masked."""
    return int(tokens * (1 - ratio))


def draw_kept(batch: int, tokens: int, ratio: float, generator: torch.Generator) -> Tensor:
    """Indices (B, kept) of the tokens to keep, a uniform draw for each row, on its device."""
    noise = torch.rand(batch, tokens, generator=generator, device=generator.device)
    return noise.argsort(dim=1)[:, : kept_count(tokens, ratio)]


def take(tokens: Tensor, index: Tensor) -> Tensor:
    """Rows `index` (B, K) of `tokens` (B, L, dim): (B, K, dim)."""
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))


def restore(kept_tokens: Tensor, kept: Tensor, mask_token: Tensor, tokens: int) -> Tensor:
    """`kept_tokens` (B, K, dim) where they came from, `mask_token` elsewhere: (B, tokens, dim)."""
    batch, _, dim = kept_tokens.shape
    blank = mask_token.to(kept_tokens.dtype).expand(batch, tokens, dim)
    return blank.scatter(1, kept[..., None].expand(-1, -1, dim), kept_tokens)


def masked_error(prediction: Tensor, target: Tensor, kept: Tensor) -> Tensor:
    """Squared error averaged over each patch, then over the patches that `kept` leaves out.

    `prediction` and `target` are (B, L, pixels), `kept` (B, K) with K < L. A scalar, in float32 or
    better.
    """
    wide = torch.promote_types(prediction.dtype, torch.float32)
    error = (prediction.to(wide) - target.to(wide)).square().mean(dim=-1)
    masked = torch.ones_like(error).scatter(1, kept, 0.0)
    return (error * masked).sum() / masked.sum()


def initialise(module: nn.Module) -> None:
    """Weights of a fresh masked autoencoder: Xavier-uniform matrices, zero biases."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
