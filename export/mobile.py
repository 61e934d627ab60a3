"""Graphs in ONNX Runtime's own format (`.ort`), which its mobile and minimal builds load."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import onnxruntime as ort

from acula_edge.bundle import Bundle
from align.errors import AlignError

CPU = "CPUExecutionProvider"


class MobileError(AlignError):
    """ONNX Runtime cannot convert the graph, or the result cannot be written."""


def to_ort(graph: bytes) -> bytes:
    """An ONNX graph in ONNX Runtime's format, its portable optimisations applied.

    `EXTENDED` fuses but keeps clear of layouts that suit this machine alone; int8 stays int8, as
    ARM wants it.

    Raises:
        MobileError: ONNX Runtime refuses the graph.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.ort"
        options.optimized_model_filepath = str(path)
        try:
            ort.InferenceSession(graph, options, providers=[CPU])
            return path.read_bytes()
        except Exception as error:  # ONNX Runtime's own exceptions share no base class
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise MobileError(f"ONNX Runtime cannot convert the graph: {first}") from None


def write_ort(bundle: Bundle, folder: Path) -> list[Path]:
    """Write every graph of the bundle that runs on CPUs as `<variant>.<role>.ort`.

    Raises:
        MobileError: a graph cannot be converted or written.
        BundleError: a graph is refused.
    """
    written = []
    for name, variant in bundle.manifest.variants.items():
        if CPU not in variant.providers:
            continue
        for role in bundle.roles(name):
            path = folder / f"{name}.{role}.ort"
            data = to_ort(bundle.graph(name, role))
            try:
                folder.mkdir(parents=True, exist_ok=True)
                draft = path.with_suffix(f".{os.getpid()}.part")
                draft.write_bytes(data)
                draft.replace(path)
            except OSError as error:
                raise MobileError(f"{path} cannot be written ({error.strerror})") from None
            written.append(path)
    return written
