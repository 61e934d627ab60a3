"""What each target wants of an int8 graph.

One artefact per target: what TensorRT asks for runs on ONNX Runtime's CPU at the speed of float,
and what the CPU asks for TensorRT refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Flavour:
    """An int8 convention. The front end and the carried state stay float32 in every one.

    `low` to `high` are the activations' codes, `symmetric` gives all of them zero point 0, and
    weights, per channel, have codes up to `weight_limit`. `integer_bias` stores biases as int32 in
    units of input scale times weight scale. `outputs` quantises what a block's ReLU gives too;
    `whole_trunk` also the residual sums and what the heads take.
    """

    name: str
    low: int
    high: int
    symmetric: bool
    weight_limit: int
    integer_bias: bool
    outputs: bool
    whole_trunk: bool

    @property
    def code_type(self) -> np.dtype[Any]:
        """Element type of activations' codes."""
        return np.dtype(np.uint8 if self.low == 0 else np.int8)


# 7-bit weights: without VNNI a host adds two products uint8 * int8 in 16 bits, which 2 * 255 * 64
# still fits and 2 * 255 * 127 does not; with them every host gives the same integers.
REDUCED = 64

CPU = Flavour("cpu", 0, 255, False, REDUCED, True, True, False)
"""ONNX Runtime on x86 and ARM: fuses to QLinearConv."""

TENSORRT = Flavour("tensorrt", -127, 127, True, 127, False, False, False)
"""TensorRT's explicit quantisation: symmetric, float bias, Q/DQ only where a convolution reads."""

MCU = Flavour("mcu", -128, 127, False, REDUCED, True, True, True)
"""Integer kernels (CMSIS-NN and plain C): signed codes with a zero point, nothing float between.

The heads' sums are not rounded to 8 bits again: a logit is `accumulator * input scale * weight
scale`. A block's output has the scale in which the next block reads it, so histories can be kept
as codes.
"""
