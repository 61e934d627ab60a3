"""Logarithm and exponential of our own, so that C on any core and Python give the same bits.

A libm differs from the next in the last place. Each function here is a fixed sequence of IEEE 754
operations, each rounded once; acula_math.c has the same sequence.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from firmware_bridge.model import Floats

# log(1 + f) = 2 s + 2/3 s^3 + ..., s = f / (2 + f), |s| < 0.172: the next term is below 3e-8.
LOG32_TERMS = tuple(float(np.float32(2 / n)) for n in (3, 5, 7))
LN2_32 = float(np.float32(math.log(2)))
ROOT_HALF_BITS = 0x3F3504F3
LOG64_TERMS = tuple(2.0 / n for n in range(3, 23, 2))
EXP64_TERMS = tuple(1.0 / math.factorial(n) for n in range(13, 1, -1))
LN2_HIGH, LN2_LOW = float.fromhex("0x1.62e42fee00000p-1"), float.fromhex("0x1.a39ef35793c76p-33")
LARGEST_EXPONENT = 700.0
ROOT_HALF_HIGH = 0x3FE6A09E  # upper word of sqrt(1/2)


def log32(x: Floats) -> Floats:
    """Natural logarithm of positive normal float32 numbers, to about 2e-7 of the result or 6e-8."""
    bits = np.ascontiguousarray(x, np.float32).view(np.int32)
    exponent = (bits - np.int32(ROOT_HALF_BITS)) >> 23
    fraction = (bits - (exponent << 23)).view(np.float32) - np.float32(1)
    s = fraction / (fraction + np.float32(2))
    z = s * s
    third, fifth, seventh = (np.float32(term) for term in LOG32_TERMS)
    series = ((seventh * z + fifth) * z + third) * z
    result: Floats = exponent.astype(np.float32) * np.float32(LN2_32) + (s * series + (s + s))
    return result


def log64(x: float) -> float:
    """Natural logarithm of a positive normal number."""
    (bits,) = struct.unpack("<q", struct.pack("<d", x))
    exponent = ((bits >> 32) - ROOT_HALF_HIGH) >> 20
    (fraction,) = struct.unpack("<d", struct.pack("<q", bits - (exponent << 52)))
    fraction = float(fraction) - 1.0
    s = fraction / (fraction + 2.0)
    z = s * s
    series = 0.0
    for term in reversed(LOG64_TERMS):
        series = (series + term) * z
    result: float = exponent * LN2_HIGH + (exponent * LN2_LOW + (s * series + (s + s)))
    return result


def exp64(x: float) -> float:
    """e to the power of `x`, which is cut to +-700: beyond, a probability is 0 or 1 anyway."""
    x = min(max(x, -LARGEST_EXPONENT), LARGEST_EXPONENT)
    exponent = math.floor(x * (1 / math.log(2)) + 0.5)
    r = (x - exponent * LN2_HIGH) - exponent * LN2_LOW
    series = 0.0
    for term in EXP64_TERMS:
        series = (series + term) * r
    (scale,) = struct.unpack("<d", struct.pack("<q", (exponent + 1023) << 52))
    result: float = (1.0 + (r + series * r)) * scale
    return result
