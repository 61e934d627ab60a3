"""Silero VAD through numpy and ONNX Runtime: the best-known streaming model, as a yardstick."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acula_edge.engine import open_graph
from acula_edge.errors import MissingDependencyError

RATE = 16_000
CHUNK = 512
CONTEXT = 64


def model_path() -> Path:
    """The ONNX file inside the installed `silero-vad` package, without importing its torch code.

    Raises:
        MissingDependencyError: the package is not installed.
    """
    spec = find_spec("silero_vad")
    if spec is None or spec.origin is None:
        raise MissingDependencyError("the peer is missing: pip install silero-vad")
    return Path(spec.origin).parent / "data" / "silero_vad.onnx"


class SileroStream:
    """Speech probability per 32 ms chunk, state and context carried as its authors do."""

    def __init__(self) -> None:
        self._session = open_graph(model_path().read_bytes())
        self._state = np.zeros((2, 1, 128), np.float32)
        self._context = np.zeros((1, CONTEXT), np.float32)
        self._rate = np.array(RATE, np.int64)

    def push(self, chunk: NDArray[np.float32]) -> float:
        """`chunk` (512,) float32 at 16 kHz."""
        joined = np.concatenate([self._context, chunk[None]], axis=1)
        inputs = {"input": joined, "state": self._state, "sr": self._rate}
        score, self._state = self._session.run(None, inputs)
        self._context = joined[:, -CONTEXT:]
        return float(score[0, 0])
