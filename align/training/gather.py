"""All rows of all processes on every process, with gradients back to where each row came from."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def all_gather_with_grad(rows: Tensor) -> Tensor:
    """Concatenate `rows` (n_r, ...) of all processes in rank order: (sum of n_r, ...).

    Processes may hold different numbers of rows (a corrupt recording was skipped), none included;
    dtype and the other dimensions must agree. Without torch.distributed, or with one process, the
    result is `rows` itself.

    Why DDP then has exactly the gradient of one process with the whole batch: let every one of W
    processes compute the same loss L on the gathered rows. The backward pass sums, over processes,
    their gradients with respect to the rows x_r of process r; these are equal, so x_r receives
    W dL/dx_r. The parameters of process r receive W (dL/dx_r)(dx_r/dw), and DDP's average over
    processes is sum over r of (dL/dx_r)(dx_r/dw) = dL/dw, whatever the numbers of rows. Parameters
    of the objective itself (temperature, scale, bias) receive dL/dw on every process and need no
    DDP: started equal they stay equal; averaged by DDP they do not change.

    Raises:
        ValueError: `rows` is a scalar.
    """
    if rows.ndim == 0:
        raise ValueError("a scalar has no rows to gather; stack it into a tensor of one row first")
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows
    gathered: Tensor = _AllGather.apply(rows, _sizes(rows))  # type: ignore[no-untyped-call]
    return gathered


def _sizes(rows: Tensor) -> list[int]:
    """Numbers of rows, by rank."""
    mine = torch.tensor([len(rows)], device=rows.device)
    sizes = mine.new_empty(dist.get_world_size())
    dist.all_gather_into_tensor(sizes, mine)
    return [int(size) for size in sizes.tolist()]


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int]) -> Tensor:
        first = sum(sizes[: dist.get_rank()])
        ctx.mine = slice(first, first + len(rows))
        longest = max(sizes)
        if longest == 0:
            return rows.clone()
        padded = rows.new_zeros(longest, *rows.shape[1:])
        padded[: len(rows)] = rows
        blocks = rows.new_empty(len(sizes) * longest, *rows.shape[1:])
        dist.all_gather_into_tensor(blocks, padded)
        parts = zip(torch.split(blocks, longest), sizes, strict=True)
        return torch.cat([block[:size] for block, size in parts])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)  # sums; embeddings are too small for reduce-scatter to matter
        return total[ctx.mine], None
