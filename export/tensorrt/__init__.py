"""TensorRT engines from a bundle's graphs: checked without a GPU, built on the target."""

from __future__ import annotations

from export.tensorrt.build import BuiltEngine, build_engine
from export.tensorrt.check import Problem, check_graph
from export.tensorrt.errors import TensorRTError
from export.tensorrt.prepare import prepare

__all__ = ["BuiltEngine", "Problem", "TensorRTError", "build_engine", "check_graph", "prepare"]
