"""An ONNX graph's nodes and constants by name, and which nodes a pattern has explained."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import BundleError
from firmware_bridge.model import Scale

Array = NDArray[Any]
TURN = [0, 2, 1]


class Graph:
    """`constants` by tensor; `users` and `producers` of tensors; names of the `claimed` nodes.

    Every method that refuses raises a BundleError that names the node.
    """

    def __init__(self, proto: Any):
        self.nodes = list(proto.node)
        self.constants = _constants(proto)
        self.producers = {name: node for node in self.nodes for name in node.output}
        self.users: dict[str, list[Any]] = {}
        for node in self.nodes:
            for name in node.input:
                self.users.setdefault(name, []).append(node)
        self.claimed: set[str] = set()

    def scale(self, node: Any) -> Scale:
        """The constant scale and zero point of a quantise or dequantise node."""
        parts = [self.constants.get(name) for name in node.input[1:]]
        if len(parts) != 2 or any(part is None or part.size != 1 for part in parts):
            raise BundleError(f"node {node.name!r}: wants one constant scale and zero point")
        scale, zero = parts
        assert scale is not None and zero is not None
        if scale.dtype != np.float32 or zero.dtype != np.int8 or not float(scale.reshape(())) > 0:
            raise BundleError(f"node {node.name!r}: wants a float32 scale and an int8 zero point")
        return Scale(float(scale.reshape(())), int(zero.reshape(())))

    def check_operator(self, node: Any, known: frozenset[str]) -> None:
        """Refuse a node of another type or domain."""
        if node.op_type not in known or node.domain not in ("", "ai.onnx"):
            raise BundleError(
                f"node {node.name!r}: {node.op_type} is outside the layers that firmware knows"
            )

    def only_user(self, node: Any, kind: str) -> Any:
        """The one node that reads what `node` gives, of that type; claims both."""
        users = self.users.get(node.output[0], [])
        if len(users) != 1:
            raise BundleError(f"node {node.name!r}: wants one user, a {kind}")
        self.claim(node)
        found = self.expect(users[0], kind)
        self.claim(found)
        return found

    def producer(self, name: str, reader: Any) -> Any:
        """The node that gives the tensor which `reader` reads."""
        if name not in self.producers:
            raise BundleError(f"node {reader.name!r}: reads {name!r}, which no node gives")
        return self.producers[name]

    def expect(self, node: Any, kind: str) -> Any:
        """`node`, if it is of that type."""
        if node.op_type != kind:
            raise BundleError(f"node {node.name!r}: is a {node.op_type} where a {kind} belongs")
        return node

    def turned(self, node: Any) -> None:
        """Claim a transpose of time and channels; refuse another."""
        orders = [list(a.ints) for a in node.attribute if a.name == "perm"]
        if orders != [TURN]:
            raise BundleError(f"node {node.name!r}: turns other axes than time and channels")
        self.claim(node)

    def claim(self, node: Any) -> None:
        """A pattern explains this node."""
        self.claimed.add(node.name)


def _constants(graph: Any) -> dict[str, Array]:
    """Initializers, and those stored in half precision behind a Cast."""
    from onnx import TensorProto, numpy_helper  # noqa: PLC0415 - an extra

    found = {item.name: np.array(numpy_helper.to_array(item)) for item in graph.initializer}
    for node in graph.node:
        to_float = any(a.name == "to" and a.i == TensorProto.FLOAT for a in node.attribute)
        if node.op_type == "Cast" and to_float and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]].astype(np.float32)
    return found
