"""Writing ONNX graphs by hand: nodes, their constants, and tables made when a file loads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.helper import make_node

Array = np.ndarray[Any, np.dtype[Any]]


class GraphWriter:
    """Nodes in order and the constants they use; tensors are named as they are made.

    An input may be a tensor's name or an array, which becomes a constant.
    """

    def __init__(self, prefix: str = ""):
        self.prefix = prefix
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, value: Array, name: str | None = None) -> str:
        """Store a constant and return its name."""
        name = name or f"{self.prefix}constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind: str, *inputs: str | Array, to: str | None = None, **attributes: Any) -> str:
        """Add a node of one output, named `to` if given; returns that name."""
        output = to or f"{self.prefix}{kind.lower()}{len(self.nodes)}"
        return self._add(kind, inputs, [output], attributes)[0]

    def split(
        self, x: str, sizes: Sequence[int], axis: int, to: Sequence[str] | None = None
    ) -> list[str]:
        """Cut `x` along `axis` into consecutive parts of those sizes."""
        outputs = to or [f"{self.prefix}split{len(self.nodes)}.{i}" for i in range(len(sizes))]
        return self._add("Split", (x, integers(*sizes)), list(outputs), {"axis": axis})

    def _add(
        self,
        kind: str,
        inputs: Sequence[str | Array],
        outputs: list[str],
        attributes: dict[str, Any],
    ) -> list[str]:
        names = [item if isinstance(item, str) else self.constant(item) for item in inputs]
        self.nodes.append(make_node(kind, names, outputs, outputs[0], **attributes))
        return outputs


def integers(*values: int) -> Array:
    """Shapes, sizes and indices as ONNX takes them."""
    return np.array(values, dtype=np.int64)


def floats(values: Any) -> Array:
    """float32, rounded once from whatever precision came in."""
    return np.asarray(values, dtype=np.float32)


def sine_table(
    writer: GraphWriter,
    bins: Array,
    samples: int,
    frame: int,
    *,
    bins_first: bool,
    to: str | None = None,
) -> str:
    """Cosines, then sines, of `2 pi bin n / frame`: (2 bins, samples), or that transposed.

    Stored as one turn of `frame` values and gathered by `bin * n mod frame`, so that each entry is
    the nearest float32 and the file holds kilobytes less; runtimes fold these nodes when they load.
    """
    turn = np.arange(frame)
    angles = 2 * np.pi * np.stack([turn, turn - frame / 4]) / frame  # sin x = cos(x - a quarter)
    shape = (-1, 1) if bins_first else (1, -1)
    product = writer.op("Mul", bins.astype(np.int64).reshape(shape), _samples(samples, bins_first))
    index = writer.op("Mod", product, integers(frame))
    cosines = writer.op("Gather", floats(np.cos(angles[0])), index)
    sines = writer.op("Gather", floats(np.cos(angles[1])), index)
    return writer.op("Concat", cosines, sines, to=to, axis=0 if bins_first else 1)


def _samples(count: int, bins_first: bool) -> Array:
    return np.arange(count, dtype=np.int64).reshape((1, -1) if bins_first else (-1, 1))


def initializer(graph: GraphProto, name: str) -> Array | None:
    """The constant of that name, or None."""
    for item in graph.initializer:
        if item.name == name:
            return np.array(numpy_helper.to_array(item))
    return None


def fixed(name: str, shape: Sequence[int]) -> Any:
    """A float32 input or output of fixed shape."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
