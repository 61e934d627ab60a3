"""Ranges of the trunk's tensors, measured once on calibration clips, and scales made from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from align.errors import AlignError
from export.quantise.flavour import CPU, Flavour
from export.student import CausalBlock, Student

QUANTILE = 0.9999


class QuantiseError(AlignError):
    """Calibration saw nothing usable, or a graph is not what a flavour wants."""


@dataclass(frozen=True)
class Scale:
    """`real = scale * (code - zero_point)`."""

    scale: float
    zero_point: int

    @classmethod
    def covering(cls, low: float, high: float, flavour: Flavour = CPU) -> Scale:
        """The scale whose codes cover `[low, high]` and hold zero exactly."""
        low, high = min(low, 0.0), max(high, 1e-6)
        if flavour.symmetric:
            return cls(max(-low, high) / flavour.high, 0)
        scale = (high - low) / (flavour.high - flavour.low)
        return cls(scale, flavour.low + round(-low / scale))


@dataclass(frozen=True)
class Range:
    """Smallest and greatest value that a tensor's codes must hold."""

    low: float
    high: float

    def scale(self, flavour: Flavour) -> Scale:
        """The scale for a target."""
        return Scale.covering(self.low, self.high, flavour)


@dataclass(frozen=True)
class TrunkRanges:
    """Per block, what its convolution reads and what its ReLU gives; `last`: what the heads read.

    The same ranges go into the stream and the window graph, so that the two stay one function.
    """

    inputs: tuple[Range, ...]
    outputs: tuple[Range, ...]
    last: Range

    def __len__(self) -> int:
        return len(self.inputs)

    def sum_after(self, block: int) -> Range:
        """Range of what the trunk carries after `block`: what the next one reads."""
        return self.inputs[block + 1] if block + 1 < len(self) else self.last


@torch.no_grad()
def measure_scales(student: Student, pcm: Iterable[Tensor]) -> TrunkRanges:
    """Ranges of the trunk over batches of (B, n) samples.

    A range is the widest over batches of each batch's extreme quantiles: a click inside a clip
    costs nobody resolution, and a loud clip is not cut off. (Means over batches, tried first, cut
    loud clips off: 14 dB less signal-to-noise of the logits on validation clips.)

    Raises:
        QuantiseError: no batches, or calibration data with NaN.
    """
    student.eval()
    blocks = student.causal_blocks()
    inputs: list[list[Range]] = [[] for _ in blocks]
    outputs: list[list[Range]] = [[] for _ in blocks]
    last: list[Range] = []
    hooks = [student.findings.register_forward_hook(_record_input(last))]
    for index, block in enumerate(blocks):
        hooks.append(block.conv.register_forward_hook(_record_input(inputs[index])))
        hooks.append(block.conv.register_forward_hook(_record_relu(outputs[index], block)))
    try:
        for batch in pcm:
            if not torch.isfinite(batch).all():
                raise QuantiseError("calibration data holds NaN or infinity")
            student(batch)
    finally:
        for hook in hooks:
            hook.remove()
    if not last:
        raise QuantiseError("calibration needs at least one batch")
    ranges = [_widest(rows) for rows in (*inputs, *outputs)]
    return TrunkRanges(tuple(ranges[: len(blocks)]), tuple(ranges[len(blocks) :]), _widest(last))


Hook = Callable[[torch.nn.Module, tuple[Tensor], Tensor], None]


def _record_input(rows: list[Range]) -> Hook:
    def record(_module: torch.nn.Module, inputs: tuple[Tensor], _output: Tensor) -> None:
        rows.append(_extremes(inputs[0]))

    return record


def _record_relu(rows: list[Range], block: CausalBlock) -> Hook:
    def record(_module: torch.nn.Module, _inputs: tuple[Tensor], output: Tensor) -> None:
        rows.append(_extremes(torch.relu(block.norm(output))))

    return record


def _extremes(x: Tensor) -> Range:
    low, high = np.quantile(x.numpy(), [1 - QUANTILE, QUANTILE])
    return Range(float(low), float(high))


def _widest(rows: list[Range]) -> Range:
    return Range(min(row.low for row in rows), max(row.high for row in rows))
