"""What a peer offers to the measurement, and the sound that all of them are handed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import MissingDependencyError

Sound = NDArray[np.float32]
OURS, STREAMING, ORIGINAL = "ours", "streaming", "original"
FRONT_END, SIZE_CLASS = "front end", "size class"
RANDOM_WEIGHTS = "random weights, which cost what trained ones do"
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Loaded:
    """A peer ready to run: `run` takes `seconds` of sound at `rate` Hz, float32 in [-1, 1].

    `bytes` is the size of its weights; None where it has none or does not tell.
    """

    run: Callable[[Sound], object]
    rate: int
    seconds: float
    version: str
    parameters: int | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class PeerSpec:
    """A peer that may be installed here.

    `load` raises MissingDependencyError, in one sentence that says how to install it, if it is not.
    """

    name: str
    kind: str
    licence: str
    load: Callable[[], Loaded]
    note: str = ""


def require(module: str, package: str) -> Any:
    """A peer's library.

    Raises:
        MissingDependencyError: `package` is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise MissingDependencyError(f"it is not installed: pip install {package}") from None


def heart_like(rate: int, seconds: float, seed: int = 0) -> Sound:
    """Heart-like bursts over noise, (round(seconds * rate),): never silent, never clipped."""
    time_axis = np.arange(round(seconds * rate)) / rate
    beat = np.exp(-(((time_axis % 0.8) - 0.1) ** 2) / 4e-4) * np.sin(2 * np.pi * 60 * time_axis)
    noise = np.random.default_rng(seed).standard_normal(len(time_axis))
    return (0.4 * beat + 0.01 * noise).astype(np.float32)


def as_int16(sound: Sound) -> bytes:
    """Little-endian 16-bit PCM."""
    return (sound * 32767).astype("<i2").tobytes()
