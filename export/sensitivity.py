"""Which block of the trunk quantisation harms most: one block in int8 at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto

from acula_edge.engine import open_graph
from export.quantise import CPU, Flavour, QuantiseError, TrunkRanges, quantise

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Sensitivity:
    """Error of the logits when only `block` is in int8: signal-to-noise in dB, mean difference."""

    block: int
    snr_db: float
    mean_error: float


def block_sensitivity(
    window: ModelProto, ranges: TrunkRanges, pcm: Array, flavour: Flavour = CPU
) -> tuple[Sensitivity, ...]:
    """Each block alone in int8 against the float graph, most harmful first.

    Args:
        window: the float window graph.
        ranges: of the trunk, from `measure_scales`.
        pcm: calibration clips (B, window) float32.
        flavour: the target's convention.

    Raises:
        QuantiseError: clips with NaN, or of another length than the graph's.
    """
    if not np.isfinite(pcm).all():
        raise QuantiseError("calibration data holds NaN or infinity")
    expected = _logits(window, pcm)
    found = []
    for block in range(len(ranges)):
        others = [index for index in range(len(ranges)) if index != block]
        error = _logits(quantise(window, ranges, flavour, others), pcm) - expected
        found.append(Sensitivity(block, snr_db(expected, error), float(np.abs(error).mean())))
    return tuple(sorted(found, key=lambda item: item.snr_db))


def snr_db(signal: Array, error: Array) -> float:
    """Power of the signal about its mean over the error's power, in dB; infinite without error."""
    noise = float(np.square(error, dtype=np.float64).mean())
    power = float(np.var(signal, dtype=np.float64))
    return float("inf") if noise == 0.0 else 10.0 * float(np.log10(max(power, 1e-30) / noise))


def _logits(model: ModelProto, pcm: Array) -> Array:
    session = open_graph(model.SerializeToString())
    length = session.get_inputs()[0].shape[1]
    if pcm.ndim != 2 or pcm.shape[1] != length:
        raise QuantiseError(f"clips must have shape (B, {length}), not {pcm.shape}")
    scores: Array = session.run(["scores"], {"pcm": pcm.astype(np.float32)})[0]
    return scores
