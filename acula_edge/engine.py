"""Run a bundle's stream graph hop by hop: one thread, no spinning, bound buffers, no allocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import BundleError, UsageError
from acula_edge.providers import DEFAULT_PROVIDER, PROVIDERS

if TYPE_CHECKING:
    import onnxruntime as ort

    from acula_edge.bundle import Bundle

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


class HopOutput(NamedTuple):
    """What the stream graph says of one hop; views that the next call overwrites.

    `K` findings, `S` steps per hop, `P` cardiac phases (0 where the bundle has none), `E`
    dimensions of the embedding. Logits are before temperature.
    """

    scores: Floats  # (K,)
    steps: Floats  # (K, S)
    phases: Floats  # (P, S)
    embedding: Floats  # (E,)


class Engine(Protocol):
    """The stream graph with its state, whatever computes it."""

    def run(self, pcm: Floats) -> HopOutput:
        """Score one hop of (hop,) samples at the model rate."""

    def reset(self) -> None:
        """Forget everything heard: the zero state starts every stream."""


def check_provider(provider: str) -> None:
    """UsageError if there is no such provider."""
    if provider not in PROVIDERS:
        raise UsageError(f"unknown provider {provider!r}: choose {', '.join(PROVIDERS)}")


def open_engine(bundle: Bundle, variant: str, provider: str = DEFAULT_PROVIDER) -> Engine:
    """The engine of a bundle's variant, at the zero state. No provider stands in for another.

    Raises:
        UsageError: no such provider.
        BundleError: no such variant, or its graph is damaged or breaks its contract.
        MissingDependencyError: the provider's library, or the engine built for it, is missing.
        DeviceError: the provider needs a GPU.
    """
    check_provider(provider)
    if provider == "tensorrt-ep":
        from acula_edge.providers.execution_provider import (  # noqa: PLC0415 - few need it
            open_execution_provider,
        )

        return open_execution_provider(bundle, variant)
    if provider != DEFAULT_PROVIDER:
        from acula_edge.providers.tensorrt_engine import open_tensorrt  # noqa: PLC0415 - likewise

        return open_tensorrt(bundle, variant, half=provider == "tensorrt-fp16")
    return _open_cpu(bundle, variant)


def _open_cpu(bundle: Bundle, variant: str) -> StreamEngine:
    manifest = bundle.manifest
    return StreamEngine(
        bundle.graph(variant, "stream"),
        hop=manifest.hop,
        state_size=manifest.variant(variant).state_size,
        findings=len(manifest.findings),
        phases=len(manifest.phases),
        embedding=manifest.embedding,
    )


class StreamEngine:
    """The stream graph with its state.

    `run` takes (hop,) samples at the model rate. Two bindings alternate, so that one hop's next
    state is the next hop's state without a copy.
    """

    def __init__(
        self,
        graph: bytes,
        *,
        hop: int,
        state_size: int,
        findings: int,
        embedding: int,
        phases: int = 0,
    ):
        self._session = open_graph(graph)
        self._pcm = np.zeros((1, hop), dtype=np.float32)
        self._states = [np.zeros((1, state_size), dtype=np.float32) for _ in range(2)]
        steps = self._steps()
        self._outputs = {
            "scores": np.zeros((1, findings), dtype=np.float32),
            "step_scores": np.zeros((1, findings, steps), dtype=np.float32),
            "phases": np.zeros((1, phases, steps), dtype=np.float32),
            "embedding": np.zeros((1, embedding), dtype=np.float32),
        }
        self._result = HopOutput(*(array[0] for array in self._outputs.values()))
        self._turn = 0
        try:
            self._bindings = [self._bind(turn) for turn in range(2)]
        except Exception as error:
            raise BundleError(
                f"the model's inputs are not what its manifest says: {error}"
            ) from None

    def _steps(self) -> int:
        """Steps per hop: the last axis of the graph's `step_scores`, whose shape is fixed."""
        shapes = {value.name: value.shape for value in self._session.get_outputs()}
        steps = shapes.get("step_scores", [0])[-1]
        if not isinstance(steps, int) or steps < 1:
            raise BundleError("the stream graph's 'step_scores' has no fixed number of steps")
        return steps

    def _bind(self, turn: int) -> ort.IOBinding:
        binding = self._session.io_binding()
        kind = np.float32
        inputs: dict[str, Floats] = {"pcm": self._pcm, "state": self._states[turn]}
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, kind, array.shape, array.ctypes.data)
        outputs = {**self._outputs, "next_state": self._states[1 - turn]}
        for name, array in outputs.items():
            if array.size:
                binding.bind_output(name, "cpu", 0, kind, array.shape, array.ctypes.data)
        return binding

    def run(self, pcm: Floats) -> HopOutput:
        """Score one hop."""
        self._pcm[0] = pcm
        self._session.run_with_iobinding(self._bindings[self._turn])
        self._turn = 1 - self._turn
        return self._result

    def reset(self) -> None:
        """Forget everything heard: the zero state starts every stream."""
        self._states[self._turn].fill(0.0)
