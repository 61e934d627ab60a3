"""Losses over batches larger than memory: gradient caching (Gao et al. 2021, "GradCache")."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor

Micro = TypeVar("Micro")


def cached_backward(
    encode: Callable[[Micro], Tensor],
    micro_batches: Sequence[Micro],
    loss: Callable[[Tensor], Tensor],
    *,
    scale: float = 1.0,
    no_sync: Callable[[], AbstractContextManager[Any]] = nullcontext,
    buffers: Iterable[Tensor] = (),
) -> Tensor:
    """Add the gradient of `loss(encode(whole batch))` to `.grad`, a micro-batch in memory at once.

    1. Each micro-batch is encoded without gradient; the random state before it is kept.
    2. `loss` of all embeddings together, and its gradient with respect to them (the cache) and to
       the objective's own parameters.
    3. Each micro-batch is encoded again from the same random state, so that dropout repeats
       exactly, and its part of the cache goes backward.

    The price is one more forward pass. It is the gradient of the whole batch if rows do not
    influence each other in `encode`: batch normalisation in training mode normalises by micro-batch
    and sees each twice (name its `buffers` to have them updated once). PyTorch's own generators are
    rewound; `encode` must seed any other that it draws from.

    With DDP, `encode` calls the wrapped model, everything with parameters but the objective lives
    in it (concatenate audio and text projections into one output), `loss` begins with
    `all_gather_with_grad`, and `no_sync` is the wrapped model's, so that only the last micro-batch
    averages gradients. All processes need the same number of micro-batches.

    Args:
        encode: a micro-batch of m rows to embeddings (m, d).
        micro_batches: at least one.
        loss: all embeddings (n, d), in order, to a scalar.
        scale: factor on the gradient, not on the returned value.
        no_sync: a context for all but the last backward pass.
        buffers: running statistics that `encode` updates.

    Returns:
        The loss, detached and unscaled.

    Raises:
        ValueError: no micro-batches.
    """
    if not micro_batches:
        raise ValueError("gradient caching needs at least one micro-batch")
    generators = _generators()
    parts, states = _encode_without_gradient(encode, micro_batches, generators, list(buffers))
    value, cache = _loss_and_cache(loss, torch.cat(parts), scale)
    after = [generator.get_state() for generator in generators]
    gradients = torch.split(cache, [len(part) for part in parts])
    for index, (micro, gradient) in enumerate(zip(micro_batches, gradients, strict=True)):
        _rewind(generators, states[index])
        with nullcontext() if index == len(parts) - 1 else no_sync():
            torch.autograd.backward(encode(micro), gradient)
    _rewind(generators, after)
    return value


@torch.no_grad()
def _encode_without_gradient(
    encode: Callable[[Micro], Tensor],
    micro_batches: Sequence[Micro],
    generators: Sequence[torch.Generator],
    buffers: Sequence[Tensor],
) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Embeddings and the random states before each; `buffers` are left as they were."""
    before = [buffer.clone() for buffer in buffers]
    parts, states = [], []
    for micro in micro_batches:
        states.append([generator.get_state() for generator in generators])
        parts.append(encode(micro).detach())
    for buffer, kept in zip(buffers, before, strict=True):
        buffer.copy_(kept)
    return parts, states


def _loss_and_cache(
    loss: Callable[[Tensor], Tensor], embeddings: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    embeddings.requires_grad_()
    value = loss(embeddings)
    (scale * value).backward()  # type: ignore[no-untyped-call]
    gradient = embeddings.grad
    return value.detach(), torch.zeros_like(embeddings) if gradient is None else gradient


def _generators() -> list[torch.Generator]:
    """PyTorch's own: of the CPU and, where there is one, of the current GPU."""
    if not torch.cuda.is_available():
        return [torch.default_generator]
    torch.cuda.init()  # type: ignore[no-untyped-call]
    return [torch.default_generator, torch.cuda.default_generators[torch.cuda.current_device()]]


def _rewind(generators: Iterable[torch.Generator], states: Iterable[Tensor]) -> None:
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)
