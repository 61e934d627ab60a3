"""What computes the stream graph: ONNX Runtime on the CPU, or TensorRT by one of two ways.

`cpu` is `acula_edge.engine.StreamEngine`. `tensorrt-ep` is ONNX Runtime's TensorRT execution
provider. `tensorrt` (and `tensorrt-fp16`) runs an engine that `acula-edge export tensorrt` built on
this machine. None falls back to another.
"""

from __future__ import annotations

PROVIDERS = ("cpu", "tensorrt-ep", "tensorrt", "tensorrt-fp16")
DEFAULT_PROVIDER = "cpu"
PROVIDER = "TensorrtExecutionProvider"
"""What a manifest calls TensorRT among the providers of a variant."""
EXTRA = "pip install 'acula-edge[tensorrt]'"
