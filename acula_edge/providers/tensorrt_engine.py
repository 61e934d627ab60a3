"""The stream graph as a TensorRT engine: its state never leaves the GPU."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from acula_edge.engine import HopOutput
from acula_edge.errors import BundleError, DeviceError, MissingDependencyError
from acula_edge.providers import PROVIDER
from acula_edge.providers.cuda import Gpu
from acula_edge.providers.engine_cache import (
    DamagedEngineError,
    Target,
    default_cache,
    engine_path,
    read_sealed,
    require_tensorrt,
)

if TYPE_CHECKING:
    from acula_edge.bundle import Bundle

Floats = NDArray[np.float32]
STATES = ("state", "next_state")
PRECISIONS = {"float32": "fp32", "int8": "int8"}
"""Precision of an engine, by the precision of the variant that it is built from."""


def own_precision(bundle: Bundle, variant: str) -> str:
    """The precision that the variant's graph has by itself; BundleError if TensorRT lacks it."""
    spec = bundle.manifest.variant(variant)
    if spec.precision not in PRECISIONS or (
        spec.precision == "int8" and PROVIDER not in spec.providers
    ):
        raise BundleError(
            f"variant '{variant}' ({spec.precision}) is made for {', '.join(spec.providers)},"
            f" not for TensorRT: choose another with --variant; {bundle.manifest.name} has"
            f" {', '.join(sorted(bundle.manifest.variants))}"
        )
    return PRECISIONS[spec.precision]


def open_tensorrt(
    bundle: Bundle, variant: str, *, half: bool = False, cache: Path | None = None
) -> TensorRtEngine:
    """The cached engine of a bundle's variant, at the zero state.

    Raises:
        MissingDependencyError: TensorRT is not installed, or no engine was built for this machine.
        DeviceError: no NVIDIA GPU.
        BundleError: no such variant, or the engine is not of this bundle.
        DamagedEngineError: the cached engine is damaged.
    """
    precision = "fp16" if half else own_precision(bundle, variant)
    spec = bundle.manifest.variant(variant)
    target = Target.here()
    path = engine_path(cache or default_cache(), target, spec.stream.sha256, precision)
    again = f"acula-edge export tensorrt {bundle.origin}"
    again += f" --variant {variant} --precision {precision}"
    if cache is not None:
        again += f" --cache {cache}"
    try:
        plan = read_sealed(path)
    except DamagedEngineError as error:
        raise DamagedEngineError(f"{error}: build it again with: {again}") from None
    if plan is None:
        raise MissingDependencyError(
            f"no engine of {bundle.manifest.name} {variant} {precision} for {target};"
            f" build it on this machine with: {again}"
        )
    manifest = bundle.manifest
    return TensorRtEngine(
        plan,
        hop=manifest.hop,
        state_size=spec.state_size,
        findings=len(manifest.findings),
        phases=len(manifest.phases),
        embedding=manifest.embedding,
    )


class TensorRtEngine:
    """A deserialised engine with its buffers.

    Like `StreamEngine`: `run` takes (hop,) samples at the model rate and returns views that the
    next call overwrites. Two state buffers on the GPU alternate as input and output.
    """

    def __init__(
        self,
        plan: bytes,
        *,
        hop: int,
        state_size: int,
        findings: int,
        embedding: int,
        phases: int = 0,
    ):
        require_tensorrt()
        import tensorrt as trt  # noqa: PLC0415 - an extra that few machines have

        self._gpu = Gpu()
        self._gpu.open()
        weakref.finalize(self, self._gpu.release).atexit = False
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise DamagedEngineError("TensorRT does not accept its cached engine: build it again")
        self._engine = engine
        shapes = self._shapes()
        steps = shapes.get("step_scores", (0,))[-1]
        self._pcm = np.zeros((1, hop), dtype=np.float32)
        self._outputs = {
            "scores": np.zeros((1, findings), dtype=np.float32),
            "step_scores": np.zeros((1, findings, steps), dtype=np.float32),
            "phases": np.zeros((1, phases, steps), dtype=np.float32),
            "embedding": np.zeros((1, embedding), dtype=np.float32),
        }
        self._result = HopOutput(*(array[0] for array in self._outputs.values()))
        self._outputs = {name: array for name, array in self._outputs.items() if array.size}
        self._buffers = {"pcm": self._pcm, **self._outputs}
        wanted = {name: array.shape for name, array in self._buffers.items()}
        wanted |= dict.fromkeys(STATES, (1, state_size))
        if shapes != wanted:
            raise BundleError(f"the engine's tensors are {shapes}, the manifest says {wanted}")
        context = engine.create_execution_context()
        if context is None:
            raise DeviceError("TensorRT cannot run the engine: is the GPU's memory full?")
        self._context = context
        self._addresses = {name: self._place(name, array) for name, array in self._buffers.items()}
        self._state_bytes = 4 * state_size
        self._states = [self._gpu.allocate(self._state_bytes) for _ in range(2)]
        self._turn = 0
        self.reset()

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        shapes = {name: self._engine.get_tensor_shape(name) for name in names}
        return {name: tuple(s[axis] for axis in range(len(s))) for name, s in shapes.items()}

    def _place(self, name: str, array: Floats) -> int:
        address = self._gpu.allocate(array.nbytes)
        self._context.set_tensor_address(name, address)
        return address

    def run(self, pcm: Floats) -> HopOutput:
        """Score one hop.

        Raises:
            BundleError: TensorRT cannot run the engine.
        """
        self._gpu.enter()
        self._pcm[0] = pcm
        self._gpu.upload(self._addresses["pcm"], self._pcm)
        order = self._states if self._turn == 0 else self._states[::-1]
        for name, address in zip(STATES, order, strict=True):
            self._context.set_tensor_address(name, address)
        if not self._context.execute_async_v3(self._gpu.stream):
            raise BundleError("TensorRT cannot run the engine")
        for name, array in self._outputs.items():
            self._gpu.download(self._addresses[name], array)
        self._gpu.synchronise()
        self._turn = 1 - self._turn
        return self._result

    def reset(self) -> None:
        """Forget everything heard: the zero state starts every stream."""
        self._gpu.enter()
        self._gpu.zero(self._states[self._turn], self._state_bytes)
