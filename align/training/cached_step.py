"""A step whose batch is larger than memory: gradient caching over the model's whole output."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from align.training.gradient_cache import cached_backward
from align.training.model import Output

if TYPE_CHECKING:
    from align.training.material import Batch
    from align.training.optimise import Stage


def cached_backward_step(
    stage: Stage, batch: Batch, generator: torch.Generator
) -> tuple[dict[str, Tensor], Output]:
    """Gradients of the loss of the whole batch, with the memory of one micro-batch.

    Each row's outputs travel as one tensor, the micro-batch's self-supervised loss in its last
    column, so that one cached gradient serves both losses. The alignment loss is exactly that of
    the whole batch; a contrastive self-supervised loss has its negatives in the micro-batch, and
    batch norm (of the convolution encoders) its statistics.
    """
    size = stage.config.micro_batch
    starts = range(0, len(batch.wave), size)
    seeds = [generator.initial_seed() + 1 + start for start in starts]
    micros = [
        (batch.part(slice(start, start + size)), seed)
        for start, seed in zip(starts, seeds, strict=True)
    ]
    layout: list[Output] = []
    terms: dict[str, Tensor] = {}

    def encode(micro: tuple[Batch, int]) -> Tensor:
        part, seed = micro
        draws = torch.Generator(device=part.wave.device).manual_seed(seed)
        with stage.accelerator.autocast():
            output = stage.model(part.wave, part.text, draws)
        layout[:] = [output]
        return _pack(output)

    def loss(packed: Tensor) -> Tensor:
        output = _unpack(packed, layout[0])
        guide = stage.guide(output, batch)
        total = stage.weights.weight * guide + stage.weights.ssl_weight * output.ssl
        terms.update({"loss": total, stage.kind: guide, "ssl": output.ssl})
        layout[:] = [replace(output, embedding=output.embedding.detach())]
        return total

    no_sync = getattr(stage.model, "no_sync", nullcontext)
    cached_backward(encode, micros, loss, no_sync=no_sync, buffers=list(stage.plain.buffers()))
    return terms, layout[0]


def _pack(output: Output) -> Tensor:
    rows = len(output.embedding)
    columns = [output.embedding, output.audio, output.text, output.logits]
    ssl = output.ssl.expand(rows, 1)
    return torch.cat([column.float() for column in columns] + [ssl.float()], dim=1)


def _unpack(packed: Tensor, layout: Output) -> Output:
    widths = [layout.embedding, layout.audio, layout.text, layout.logits]
    sizes = [*(part.shape[1] for part in widths), 1]
    embedding, audio, text, logits, ssl = torch.split(packed, sizes, dim=1)
    return Output(embedding, audio, text, logits, ssl.mean())
