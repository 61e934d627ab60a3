"""Run a bundle's stream graph hop by hop: one thread, no spinning, bound buffers, no allocation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import BundleError

if TYPE_CHECKING:
    import onnxruntime as ort

Floats = NDArray[np.float32]


def open_graph(graph: bytes) -> ort.InferenceSession:
    """An ONNX Runtime session that takes one thread and sleeps when idle.

    Raises:
        BundleError: ONNX Runtime refuses the graph.
    """
    import onnxruntime as ort  # noqa: PLC0415 - 0.3 s of start-up that only a run needs

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions share no base class
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BundleError(f"ONNX Runtime cannot load the model: {first}") from None


class StreamEngine:
    """The stream graph with its state.

    `run` takes (hop,) samples at the model rate and returns (K,) logits, valid until the next call.
    Two bindings alternate, so that one hop's next state is the next hop's state without a copy.
    """

    def __init__(self, graph: bytes, *, hop: int, state_size: int, findings: int):
        self._session = open_graph(graph)
        self._pcm = np.zeros((1, hop), dtype=np.float32)
        self._states = [np.zeros((1, state_size), dtype=np.float32) for _ in range(2)]
        self._scores = np.zeros((1, findings), dtype=np.float32)
        self._turn = 0
        try:
            self._bindings = [self._bind(turn) for turn in range(2)]
        except Exception as error:
            raise BundleError(
                f"the model's inputs are not what its manifest says: {error}"
            ) from None

    def _bind(self, turn: int) -> ort.IOBinding:
        binding = self._session.io_binding()
        kind = np.float32
        for name, array in (("pcm", self._pcm), ("state", self._states[turn])):
            binding.bind_input(name, "cpu", 0, kind, array.shape, array.ctypes.data)
        for name, array in (("scores", self._scores), ("next_state", self._states[1 - turn])):
            binding.bind_output(name, "cpu", 0, kind, array.shape, array.ctypes.data)
        return binding

    def run(self, pcm: Floats) -> Floats:
        """Score one hop."""
        self._pcm[0] = pcm
        self._session.run_with_iobinding(self._bindings[self._turn])
        self._turn = 1 - self._turn
        scores: Floats = self._scores[0]
        return scores

    def reset(self) -> None:
        """Forget everything heard: the zero state starts every stream."""
        self._states[self._turn].fill(0.0)
