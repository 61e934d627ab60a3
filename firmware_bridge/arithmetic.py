"""Integer layers' arithmetic: int32 accumulators, then back to int8 in one of three roundings.

`float` is the norm, and what ONNX Runtime and XNNPACK do: `float32(acc) * float32(sx * sw / sy)`,
half to even. `single` and `double` are fixed-point: a Q31 multiplier and a shift, rounded once
(CMSIS-NN with single rounding) or twice (gemmlowp, TFLM, CMSIS-NN's default). acula_nn.c computes
the same integers; tests hold the two together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import UsageError
from firmware_bridge.model import Block, Floats, Head, Int8s, Scale

Rounding = Literal["float", "single", "double"]
ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)
LOW, HIGH = -128, 127
ADD_SHIFT = 20
"""Left shift of both terms of a sum before they are scaled, as TFLM's int8 addition."""

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Multiplier:
    """A real factor as `quotient * 2 ** (shift - 31)`, `quotient` in [2**30, 2**31)."""

    quotient: int
    shift: int


def check_rounding(rounding: str) -> Rounding:
    """UsageError if there is no such rounding."""
    for known in ROUNDINGS:
        if rounding == known:
            return known
    raise UsageError(f"unknown rounding {rounding!r}: choose {', '.join(ROUNDINGS)}")


def fixed_point(real: float) -> Multiplier:
    """The nearest multiplier to a positive real factor."""
    fraction, shift = math.frexp(real)
    quotient = math.floor(fraction * 2**31 + 0.5)
    if quotient == 2**31:
        return Multiplier(2**30, shift + 1)
    return Multiplier(quotient, shift)


def float_factors(block: Block) -> Floats:
    """`sx * sw / sy` per output, every operation in float32, in that order."""
    source, relu = np.float32(block.source.scale), np.float32(block.relu.scale)
    factors: Floats = source * block.weight_scale / relu
    return factors


def fixed_factors(block: Block) -> list[Multiplier]:
    """`sx * sw / sy` per output, computed in float64 as TFLM does, as multipliers."""
    weights = block.weight_scale.astype(np.float64).tolist()
    return [fixed_point(block.source.scale * w / block.relu.scale) for w in weights]


def logit_factors(head: Head) -> Floats:
    """`sx * sw` per output, in float32."""
    factors: Floats = np.float32(head.source.scale) * head.weight_scale
    return factors


def dequantised(codes: Int8s, scale: Scale) -> Floats:
    """Real values of codes, in float32."""
    centred = codes.astype(np.float32) - np.float32(scale.zero)
    real: Floats = centred * np.float32(scale.scale)
    return real


def round_half_even(x: Floats) -> Int64s:
    """To the nearest whole number; ties to the even one."""
    return np.asarray(np.rint(x), np.int64)


def scaled(x: NDArray[Any], multiplier: Multiplier, rounding: Rounding) -> Int64s:
    """`x * multiplier`, in fixed point; the halves of `x` that matter are within int32."""
    wide = np.asarray(x, np.int64)
    if rounding == "single":
        total = 31 - multiplier.shift
        return (wide * multiplier.quotient + (1 << (total - 1))) >> total
    left, right = max(multiplier.shift, 0), max(-multiplier.shift, 0)
    product = (wide << left) * multiplier.quotient
    nudge = np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    return _halved(_toward_zero(product + nudge, 31), right)


def requantise(acc: NDArray[Any], block: Block, rounding: Rounding = "float") -> Int8s:
    """Codes (..., outputs) of a block's ReLU from its accumulators, bias included."""
    zero = block.relu.zero
    if rounding == "float":
        codes = round_half_even(np.asarray(acc, np.float32) * float_factors(block)) + zero
    else:
        columns = [
            scaled(acc[..., index], multiplier, rounding)
            for index, multiplier in enumerate(fixed_factors(block))
        ]
        codes = np.stack(columns, axis=-1) + zero
    return np.clip(codes, zero, HIGH).astype(np.int8)


@dataclass(frozen=True)
class FixedSum:
    """Multipliers of a residual sum: both terms, shifted left by `ADD_SHIFT`, and their sum."""

    of_x: Multiplier
    of_y: Multiplier
    of_sum: Multiplier


def fixed_sum(x: Scale, y: Scale, total: Scale) -> FixedSum:
    """The constants of a residual sum as TFLM's int8 addition has them."""
    twice = 2.0 * max(x.scale, y.scale)
    return FixedSum(
        fixed_point(x.scale / twice),
        fixed_point(y.scale / twice),
        fixed_point(twice / (2**ADD_SHIFT * total.scale)),
    )


def add(x: Int8s, y: Int8s, block: Block, rounding: Rounding = "float") -> Int8s:
    """Codes of a residual sum: `x` what the block read, `y` its ReLU."""
    if rounding == "float":
        real = dequantised(x, block.source) + dequantised(y, block.relu)
        codes = round_half_even(real / np.float32(block.output.scale)) + block.output.zero
    else:
        fixed = fixed_sum(block.source, block.relu, block.output)
        raw_x = (x.astype(np.int64) - block.source.zero) << ADD_SHIFT
        raw_y = (y.astype(np.int64) - block.relu.zero) << ADD_SHIFT
        raw = scaled(raw_x, fixed.of_x, rounding) + scaled(raw_y, fixed.of_y, rounding)
        codes = scaled(raw, fixed.of_sum, rounding) + block.output.zero
    return np.clip(codes, LOW, HIGH).astype(np.int8)


def mean(codes: Int8s, zero: int, rounding: Rounding = "float") -> Int8s:
    """Codes (channels,) of the mean of `codes` (steps, channels), in the same scale.

    Ties go to even as in ONNX Runtime, or in fixed point away from the zero point as in TFLM.
    """
    steps = len(codes)
    total = codes.astype(np.int64).sum(axis=0) - steps * zero
    if rounding == "float":
        rounded = round_half_even(total.astype(np.float32) / np.float32(steps))
    else:
        rounded = np.sign(total) * ((np.abs(total) + steps // 2) // steps)
    return np.clip(rounded + zero, LOW, HIGH).astype(np.int8)


def _toward_zero(x: Int64s, bits: int) -> Int64s:
    result: Int64s = np.sign(x) * (np.abs(x) >> bits)
    return result


def _halved(x: Int64s, bits: int) -> Int64s:
    """`x / 2 ** bits`, rounded to nearest, ties away from zero."""
    mask = (1 << bits) - 1
    above = (x & mask) > (mask >> 1) + (x < 0)
    return (x >> bits) + above
