"""The front end that a manifest describes, with the mel filters that its graph holds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.bundle import Manifest
from acula_edge.errors import BundleError
from firmware_bridge.model import SHORT_PER_FRAME, FrontEnd, Scale, Spectrum

TYPE = "causal log-mel, in the graph"
HALF_PRECISION = 2.0**-10  # filters may have been rounded to it
Array = NDArray[Any]
_KEYS = ["rate", "frame", "frame_hop", "bands", "low_hz", "high_hz", "short_frame", "short_bands"]
_KEYS += ["floor_db", "level_seconds", "mean_seconds"]


def front_end_of(manifest: Manifest, stored: tuple[Array, Array | None], scale: Scale) -> FrontEnd:
    """The front end, given the filters as the graph stores them (rows are cosines and sines).

    Raises:
        BundleError: the manifest describes another kind, or filters that the graph has not.
    """
    settings = dict(manifest.front_end)
    if settings.pop("type", None) != TYPE:
        raise BundleError(f"the manifest's front end is not of type {TYPE!r}")
    if sorted(settings) != sorted(_KEYS) or not all(
        isinstance(value, (int, float)) for value in settings.values()
    ):
        raise BundleError(f"the manifest's front end must have the numbers {', '.join(_KEYS)}")
    s = settings
    rate, step = int(s["rate"]), int(s["frame_hop"])
    hz = float(s["low_hz"]), float(s["high_hz"])
    long = _spectrum(rate, int(s["frame"]), step, int(s["bands"]), hz, stored[0], split=True)
    short = None
    if s["short_frame"]:
        if stored[1] is None:
            raise BundleError("the graph has no short filters, but the manifest describes some")
        frame, bands = int(s["short_frame"]), int(s["short_bands"])
        short = _spectrum(rate, frame, step // SHORT_PER_FRAME, bands, hz, stored[1], split=False)
    elif stored[1] is not None:
        raise BundleError("the graph has short filters, but the manifest describes none")
    frame_rate = rate / step
    return FrontEnd(
        rate=rate,
        long=long,
        short=short,
        floor=10.0 ** (float(s["floor_db"]) / 10.0),
        level_decay=math.exp(-1.0 / (float(s["level_seconds"]) * frame_rate)),
        mean_decay=math.exp(-1.0 / (float(s["mean_seconds"]) * frame_rate)),
        scale=scale,
    )


def _spectrum(
    rate: int,
    frame: int,
    step: int,
    bands: int,
    hz: tuple[float, float],
    stored: Array,
    *,
    split: bool,
) -> Spectrum:
    """`split` filters have the even bins' cosines and sines, then the odd bins'."""
    k = round(math.log(max(frame, 1), 4))
    if frame != 4**k or frame < 16 or not 0 < step <= frame or step % 4:
        raise BundleError(f"frames of {frame} every {step} samples: firmware wants a power of 4")
    wanted = mel_filters(rate, frame, bands, *hz)
    bins = np.flatnonzero(wanted.sum(axis=0) > 0)
    if bins[0] == 0 or bins[-1] == frame // 2:
        raise BundleError("a mel filter reaches 0 Hz or half the rate, which firmware leaves out")
    parts = [bins[bins % 2 == 0], bins[bins % 2 == 1]] if split else [bins]
    rows = np.concatenate([np.concatenate([part, part]) for part in parts])
    if stored.shape != (len(rows), bands):
        raise BundleError(f"the graph's mel filters are {stored.shape}, not {(len(rows), bands)}")
    filters = np.zeros((bands, frame // 2 + 1), np.float32)
    filters[:, rows] = stored.T
    twice = np.array_equal(stored.T, filters[:, rows])  # cosines and sines are weighed alike
    if not twice or not np.allclose(filters, wanted, rtol=HALF_PRECISION, atol=1e-6):
        raise BundleError("the graph's mel filters are not those that the manifest describes")
    return Spectrum(frame, step, filters)


def mel_filters(rate: int, frame: int, bands: int, low_hz: float, high_hz: float) -> Array:
    """Triangular filters (bands, frame // 2 + 1), HTK mel scale, each summing to 1.

    A triangle narrower than the bin spacing is widened to one bin, so that no band is empty.
    """
    low, high = _mel(low_hz), _mel(high_hz)
    edges = [_hz(low + (high - low) * i / (bands + 1)) for i in range(bands + 2)]
    spacing = rate / frame
    bins = np.arange(frame // 2 + 1) * spacing
    filters = []
    for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
        rise = (bins - centre) / max(centre - left, spacing)
        fall = (centre - bins) / max(right - centre, spacing)
        weights = np.maximum(1.0 + np.minimum(rise, fall), 0.0)
        filters.append(weights / weights.sum())
    return np.stack(filters)


def _mel(hz: float) -> float:
    return 2595.0 * math.log10(1.0 + hz / 700.0)


def _hz(mel: float) -> float:
    return 700.0 * (math.pow(10.0, mel / 2595.0) - 1.0)
