"""The stream graph through ONNX Runtime's TensorRT execution provider, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.engine import HopOutput
from acula_edge.errors import BundleError, DeviceError, MissingDependencyError
from acula_edge.providers import PROVIDER
from acula_edge.providers.engine_cache import default_cache

if TYPE_CHECKING:
    import onnxruntime as ort

    from acula_edge.bundle import Bundle

Floats = NDArray[np.float32]


def open_execution_provider(
    bundle: Bundle, variant: str, *, cache: Path | None = None
) -> ExecutionProviderEngine:
    """A bundle's variant on TensorRT by ONNX Runtime, which builds and caches its own engine.

    Raises:
        MissingDependencyError: this onnxruntime was built without the provider.
        DeviceError: the provider does not start, or leaves part of the graph to the CPU.
        BundleError: no such variant.
    """
    graph = bundle.graph(variant, "stream")
    spec = bundle.manifest.variant(variant)
    options = provider_options(cache or default_cache(), int8=spec.precision == "int8")
    return ExecutionProviderEngine(
        _open(graph, options), state_size=spec.state_size, phases=len(bundle.manifest.phases)
    )


def provider_options(cache: Path, *, int8: bool) -> dict[str, str]:
    """Options of the provider: engines and timings are kept below `cache`."""
    folder = str(cache / "onnxruntime")
    return {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": folder,
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": folder,
        "trt_int8_enable": str(int8),  # for graphs that hold Q/DQ nodes; nothing is calibrated
    }


def _open(graph: bytes, options: dict[str, str]) -> ort.InferenceSession:
    import onnxruntime as ort  # noqa: PLC0415 - 0.3 s of start-up that only a run needs

    available = ort.get_available_providers()
    if PROVIDER not in available:
        raise MissingDependencyError(
            f"onnxruntime {ort.__version__} is without {PROVIDER} (it has {', '.join(available)}):"
            " put onnxruntime-gpu in its place, or use --provider tensorrt"
        )
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    # Without this, what TensorRT refuses would run on the CPU and nobody would know.
    settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    Path(options["trt_engine_cache_path"]).mkdir(parents=True, exist_ok=True)
    try:
        session = ort.InferenceSession(graph, settings, providers=[(PROVIDER, options)])
    except Exception as error:  # ONNX Runtime's own exceptions share no base class
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DeviceError(f"{PROVIDER} cannot run the whole model: {first}") from None
    if PROVIDER not in session.get_providers():
        raise DeviceError(f"{PROVIDER} does not start: check the GPU, its driver and TensorRT")
    return session


class ExecutionProviderEngine:
    """The stream graph with its state in a session that copies to and from the GPU by itself."""

    def __init__(self, session: ort.InferenceSession, *, state_size: int, phases: int = 0):
        self._session = session
        self._state: Floats = np.zeros((1, state_size), dtype=np.float32)
        heads = ["scores", "step_scores", *(["phases"] if phases else []), "embedding"]
        self._names = [*heads, "next_state"]

    def run(self, pcm: Floats) -> HopOutput:
        """Score one hop of (hop,) samples at the model rate."""
        feed = {"pcm": pcm[None].astype(np.float32, copy=False), "state": self._state}
        try:
            values: list[Any] = self._session.run(self._names, feed)
        except Exception as error:
            raise BundleError(f"{PROVIDER} cannot run the model: {error}") from None
        found = dict(zip(self._names, values, strict=True))
        self._state = found["next_state"]
        steps = found["step_scores"]
        none = np.zeros((1, 0, steps.shape[2]), dtype=np.float32)
        phases = found.get("phases", none)
        return HopOutput(found["scores"][0], steps[0], phases[0], found["embedding"][0])

    def reset(self) -> None:
        """Forget everything heard: the zero state starts every stream."""
        self._state = np.zeros_like(self._state)
