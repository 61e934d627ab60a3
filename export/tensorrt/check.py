"""Says, without TensorRT, which nodes of an ONNX graph it would not take, and why.

The rules are those of TensorRT's own parser (onnx-tensorrt: docs/operators.md and the importer of
QuantizeLinear and DequantizeLinear) that can be decided on the file. The parser has the last word;
`export.tensorrt.build` reports what it refuses in the same form.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from export.tensorrt.errors import TensorRTError
from export.tensorrt.operators import OPSETS, SUPPORTED

# DOUBLE is taken too, cut down to FLOAT; UINT8 only as the type of an input or output.
TAKEN = frozenset(
    {
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
        TensorProto.BFLOAT16,
        TensorProto.INT8,
        TensorProto.INT32,
        TensorProto.INT64,
        TensorProto.BOOL,
    }
)
# Operators whose given input must be known when the engine is built.
CONSTANT_INPUT = {"Squeeze": 1, "Unsqueeze": 1, "CumSum": 1, "OneHot": 1, "Dropout": 2}


@dataclass(frozen=True)
class Problem:
    """What TensorRT would not take, or would take with a loss (`blocking` False).

    `node` is the node's name, or that of its first output where it has none.
    """

    node: str
    op: str
    reason: str
    blocking: bool = True

    def __str__(self) -> str:
        return f"{self.node} ({self.op}): {self.reason}"


@dataclass
class _Graph:
    """What the rules look up: types and constants by tensor name."""

    types: dict[str, int] = field(default_factory=dict)
    constants: dict[str, TensorProto] = field(default_factory=dict)

    def type_of(self, name: str) -> int:
        return self.types.get(name, TensorProto.UNDEFINED)

    def constant(self, name: str) -> np.ndarray | None:
        found = self.constants.get(name)
        return None if found is None else numpy_helper.to_array(found)


def check_graph(model: ModelProto) -> list[Problem]:
    """Every problem of the model, in the order of its nodes; empty if it fits.

    Raises:
        TensorRTError: the types of the graph contradict each other.
    """
    graph = model.graph
    try:
        known = _known(onnx.shape_inference.infer_shapes(model).graph)
    except onnx.shape_inference.InferenceError as error:
        raise TensorRTError(f"not a sound graph: {str(error).splitlines()[0]}") from None
    problems = [*_opset(model), *_inputs(graph)]
    for node in _nodes(graph):
        problems += (
            Problem(_name(node), node.op_type, reason, blocking)
            for reason, blocking in _node_rules(node, known)
        )
    return problems


def _known(graph: GraphProto) -> _Graph:
    known = _Graph()
    for value in (*graph.input, *graph.value_info, *graph.output):
        known.types[value.name] = value.type.tensor_type.elem_type
    for tensor in graph.initializer:
        known.constants[tensor.name] = tensor
        known.types[tensor.name] = tensor.data_type
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            known.constants[node.output[0]] = node.attribute[0].t
    return known


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _name(node: NodeProto) -> str:
    return str(node.name or next(iter(node.output), ""))


def _opset(model: ModelProto) -> Iterator[Problem]:
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx") and entry.version not in OPSETS:
            limits = f"{OPSETS.start} to {OPSETS.stop - 1}"
            yield Problem("opset", str(entry.version), f"TensorRT takes opset {limits}")


def _inputs(graph: GraphProto) -> Iterator[Problem]:
    initialised = {tensor.name for tensor in graph.initializer}
    for value in graph.input:
        if value.name not in initialised and not _is_fixed(value):
            reason = "its shape is not fixed, and the builder here sets no optimisation profile"
            yield Problem(value.name, "input", reason)


def _is_fixed(value: ValueInfoProto) -> bool:
    shape = value.type.tensor_type
    return shape.HasField("shape") and all(dim.dim_value > 0 for dim in shape.shape.dim)


Reasons = Iterable[tuple[str, bool]]


def _node_rules(node: NodeProto, known: _Graph) -> Reasons:
    if node.domain not in ("", "ai.onnx"):
        yield f"operators of the domain '{node.domain}' need a plugin", True
        return
    if node.op_type not in SUPPORTED:
        yield "TensorRT has no such operator", True
        return
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        yield from _quantised(node, known)
        return
    yield from _types(node, known)
    yield from _constants(node, known)


def _types(node: NodeProto, known: _Graph) -> Reasons:
    for name in filter(None, (*node.input, *node.output)):
        kind = known.type_of(name)
        if kind in (TensorProto.DOUBLE, TensorProto.UNDEFINED):
            continue
        if kind not in TAKEN:
            yield f"tensor '{name}' is {_type_name(kind)}, which TensorRT does not compute in", True
            return
    if any(known.type_of(name) == TensorProto.DOUBLE for name in (*node.input, *node.output)):
        yield "double is cut down to float", False


def _constants(node: NodeProto, known: _Graph) -> Reasons:
    at = 1 if node.op_type.startswith("Reduce") else CONSTANT_INPUT.get(node.op_type)
    if at is not None and at < len(node.input):
        name = node.input[at]
        if name and name not in known.constants:
            yield f"'{name}' must be a constant", True


def _quantised(node: NodeProto, known: _Graph) -> Reasons:
    """The rules of Q/DQ: int8, symmetric, positive scales."""
    code = node.input[0] if node.op_type == "DequantizeLinear" else node.output[0]
    kind = known.type_of(code)
    if kind == TensorProto.UINT8:
        yield "uint8 codes: TensorRT quantises to int8 only", True
    elif kind == TensorProto.INT32:
        yield "int32 codes (a quantised bias): TensorRT wants the bias in float", True
    elif kind != TensorProto.INT8:
        yield f"{_type_name(kind)} codes: TensorRT quantises to int8 here", True
    if len(node.input) > 2 and node.input[2]:
        zero = known.constant(node.input[2])
        if zero is None:
            yield f"the zero point '{node.input[2]}' must be a constant 0", True
        elif np.any(zero):
            worst = int(zero.flat[np.argmax(np.abs(zero.astype(np.int64)))])
            yield f"zero point {worst}: TensorRT's quantisation is symmetric, it must be 0", True
    scale = known.constant(node.input[1])
    if scale is None:
        yield f"the scale '{node.input[1]}' must be a constant", True
    elif not np.all(scale > 0):
        yield "scales must be greater than 0", True


def _type_name(kind: int) -> str:
    return str(TensorProto.DataType.Name(kind)).lower()
