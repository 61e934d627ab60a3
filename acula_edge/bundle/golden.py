"""Runs a bundle's graphs on its golden input and compares the scores with the recorded ones.

Imports numpy and onnxruntime: import this module only where graphs are run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from acula_edge.bundle.contract import Role
from acula_edge.bundle.load import Bundle
from acula_edge.errors import BundleError

Scores = NDArray[np.float32]
_CPU = "CPUExecutionProvider"


def verify_golden(bundle: Bundle) -> Iterator[str]:
    """Yield one line per check that passed or was skipped; BundleError at the first that fails.

    The stream graph must give the golden scores within `parity.golden_tolerance`, hop by hop from
    the zero state; the window graph must give the stream's within `parity.window_tolerance`.
    """
    golden, raw = bundle.manifest.golden, bundle.golden_input()
    if golden is None or raw is None:
        yield "skipped: golden vectors (the bundle has none)"
        return
    pcm = np.frombuffer(raw, "<f4").astype(np.float32)
    for name, variant in bundle.manifest.variants.items():
        if _CPU not in variant.providers:
            yield f"skipped: {name} (it needs {variant.providers[0]})"
            continue
        scores = _stream_scores(bundle, name, pcm)
        if name in golden.scores:
            rows = np.asarray(golden.scores[name], dtype=np.float32)
            tolerance = bundle.manifest.parity.golden_tolerance
            yield _compare(bundle, f"{name} stream against golden scores", scores, rows, tolerance)
        else:
            yield f"skipped: {name} stream against golden scores (none recorded)"
        if variant.window is not None:
            window = _window_scores(bundle, name, pcm)[: len(scores)]
            tolerance = bundle.manifest.parity.window_tolerance
            yield _compare(bundle, f"{name} window against stream", window, scores, tolerance)


def _stream_scores(bundle: Bundle, variant: str, pcm: Scores) -> Scores:
    """Logits of shape (hops, findings) from the zero state."""
    hop = bundle.manifest.hop
    state = np.zeros((1, bundle.manifest.variants[variant].state_size), np.float32)
    session = _session(bundle, variant, "stream")
    rows = []
    for start in range(0, len(pcm), hop):
        block = pcm[None, start : start + hop]
        scores, state = _run(
            bundle, session, ["scores", "next_state"], {"pcm": block, "state": state}
        )
        rows.append(
            _shaped(bundle, f"{variant} stream", scores, (1, len(bundle.manifest.findings)))
        )
    return np.concatenate(rows)


def _window_scores(bundle: Bundle, variant: str, pcm: Scores) -> Scores:
    """Logits of shape (hops of the window, findings); `pcm` is padded with zeros at its end."""
    manifest = bundle.manifest
    padded = np.zeros((1, manifest.window), np.float32)
    padded[0, : len(pcm)] = pcm
    session = _session(bundle, variant, "window")
    (scores,) = _run(bundle, session, ["scores"], {"pcm": padded})
    shape = (1, len(manifest.findings), manifest.hops_per_window)
    turned: Scores = _shaped(bundle, f"{variant} window", scores, shape)[0].T
    return turned


def _session(bundle: Bundle, variant: str, role: Role) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    data = bundle.graph(variant, role)
    try:
        return onnxruntime.InferenceSession(data, options, providers=[_CPU])
    except Exception as error:
        raise BundleError(f"{bundle.origin}: {variant} {role} does not load ({error})") from None


def _run(bundle: Bundle, session: Any, outputs: list[str], inputs: dict[str, Scores]) -> Any:
    try:
        return session.run(outputs, inputs)
    except Exception as error:
        raise BundleError(f"{bundle.origin}: a graph does not run ({error})") from None


def _shaped(bundle: Bundle, what: str, scores: Scores, shape: tuple[int, ...]) -> Scores:
    if scores.shape != shape:
        raise BundleError(f"{bundle.origin}: {what} gives scores {scores.shape}, not {shape}")
    return scores


def _compare(bundle: Bundle, what: str, ours: Scores, wanted: Scores, tolerance: float) -> str:
    worst = float(np.max(np.abs(ours - wanted)))
    # Written so that NaN fails.
    if not worst <= tolerance:
        raise BundleError(f"{bundle.origin}: {what}: differs by {worst:.3g}, allowed {tolerance:g}")
    return f"OK: {what} (largest difference {worst:.2g}, allowed {tolerance:g})"
