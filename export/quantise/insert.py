"""Put quantise/dequantise pairs into an exported graph.

ONNX Runtime's own static quantiser measures and rewrites one graph at a time. Here the ranges are
measured once, on the student, and go into two graphs (stream and window) that must stay the same
function; and each target has its own convention. The form is the one that `quantize_static` gives,
and a test holds the CPU flavour to it: same convolutions, types, axes, weight codes.

A pair goes around a neighbouring transpose, not beside it, so that runtimes that want channels last
fuse the convolution and cancel the transpose.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from export.quantise.check import check_quantised
from export.quantise.flavour import CPU, Flavour
from export.quantise.scales import QuantiseError, Scale, TrunkRanges

BLOCK = "student.blocks.{}.conv"
HEADS = ("findings", "phases", "text")
Array = np.ndarray[Any, np.dtype[Any]]


def quantise(
    model: ModelProto,
    ranges: TrunkRanges,
    flavour: Flavour = CPU,
    keep_float: Collection[int] = (),
) -> ModelProto:
    """A copy of `model`, a stream or window graph, in int8; blocks in `keep_float` are not touched.

    Raises:
        QuantiseError: the graph lacks a block that was measured, there is no block of a number in
            `keep_float`, or the result is not what the flavour wants (`check_quantised`).
    """
    unknown = sorted(set(keep_float) - set(range(len(ranges))))
    if unknown:
        raise QuantiseError(f"keep_float names block {unknown[0]}; the trunk has {len(ranges)}")
    result = ModelProto()
    result.CopyFrom(model)
    rewriter = _Rewriter(result.graph, flavour)
    for index in range(len(ranges)):
        rewriter.block(index, ranges, keep=index in keep_float)
    if flavour.whole_trunk:
        for head in HEADS:
            rewriter.head(head, ranges.last.scale(flavour))
    _sort_nodes(result.graph)
    onnx.checker.check_model(result, full_check=True)
    check_quantised(result, len(ranges), flavour, keep_float)
    return result


class _Rewriter:
    def __init__(self, graph: onnx.GraphProto, flavour: Flavour):
        self.graph = graph
        self.flavour = flavour

    def block(self, index: int, ranges: TrunkRanges, *, keep: bool) -> None:
        flavour, prefix = self.flavour, f"block{index}"
        conv = self._consumer(f"{BLOCK.format(index)}.weight")
        relu = self._consumer(conv.output[0])
        if relu.op_type != "Relu":
            raise QuantiseError(f"block {index}: expected a ReLU after {conv.name!r}")
        y = self._output_name(relu)
        residual = [node for node in self._users(y) if self._adds_to_earlier(node, y)]
        if not keep:
            self._convolution(conv, prefix, ranges.inputs[index].scale(flavour))
        joins = flavour.whole_trunk and not residual
        outputs = ranges.sum_after(index) if joins else ranges.outputs[index]
        if flavour.outputs and not keep:
            self._after(relu, f"{prefix}.out", outputs.scale(flavour))
        if flavour.whole_trunk and residual:
            self._after(residual[0], f"{prefix}.sum", ranges.sum_after(index).scale(flavour))

    def head(self, name: str, scale: Scale) -> None:
        weight = f"student.{name}.weight"
        if any(item.name == weight for item in self.graph.initializer):
            self._convolution(self._consumer(weight), name, scale)

    def _convolution(self, conv: NodeProto, prefix: str, scale: Scale) -> None:
        self._before(conv, f"{prefix}.in", scale)
        weight_scale = self._weights(conv, f"{prefix}.weight")
        if self.flavour.integer_bias:
            bias_scale = np.float32(scale.scale) * weight_scale
            codes = np.rint(self._take(conv.input[2]) / bias_scale).astype(np.int32)
            conv.input[2] = self._constant_pair(f"{prefix}.bias", codes, bias_scale)

    def _before(self, conv: NodeProto, name: str, scale: Scale) -> None:
        """Quantise what the convolution reads; what was quantised already keeps its codes."""
        producer = self._producer(conv.input[0])
        turn = producer if producer is not None and producer.op_type == "Transpose" else None
        source = conv.input[0] if turn is None else turn.input[0]
        pair = self._producer(source)
        if pair is not None and pair.op_type == "DequantizeLinear":
            codes, constants = pair.input[0], list(pair.input[1:])
        else:
            codes, constants = (
                self._quantise(source, name, scale),
                [f"{name}.scale", f"{name}.zero"],
            )
        if turn is not None:
            copy = helper.make_node("Transpose", [codes], [f"{name}.turned"], f"{name}.turned")
            copy.attribute.extend(turn.attribute)
            self.graph.node.append(copy)
            codes = f"{name}.turned"
            if len(self._users(turn.output[0])) == 1:
                self.graph.node.remove(turn)
        self._node("DequantizeLinear", [codes, *constants], f"{name}.dq")
        conv.input[0] = f"{name}.dq"

    def _after(self, node: NodeProto, name: str, scale: Scale) -> None:
        """Quantise what the node gives; consumers read the dequantised tensor by its old name."""
        users, result = self._users(node.output[0]), node.output[0]
        node.output[0] = f"{name}.float"
        codes = self._quantise(node.output[0], name, scale)
        if len(users) == 1 and users[0].op_type == "Transpose":
            result = users[0].output[0]
            users[0].input[0] = codes
            users[0].output[0] = codes = f"{name}.turned"
        inputs = [codes, f"{name}.scale", f"{name}.zero"]
        pair = helper.make_node("DequantizeLinear", inputs, [result], f"{name}.dq")
        self.graph.node.append(pair)

    def _quantise(self, x: str, name: str, scale: Scale) -> str:
        self._constant(f"{name}.scale", np.float32(scale.scale))
        self._constant(f"{name}.zero", np.asarray(scale.zero_point, self.flavour.code_type))
        self._node("QuantizeLinear", [x, f"{name}.scale", f"{name}.zero"], f"{name}.q")
        return f"{name}.q"

    def _weights(self, conv: NodeProto, name: str) -> Array:
        """Replace the weight by int8 codes and a per-channel dequantise; returns the scales."""
        weight = self._take(conv.input[1])
        largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
        scale: Array = np.maximum(largest / self.flavour.weight_limit, 1e-8).astype(np.float32)
        codes = np.rint(weight / scale[:, None, None])
        limit = self.flavour.weight_limit
        codes = np.clip(codes, -limit, limit).astype(np.int8)
        conv.input[1] = self._constant_pair(name, codes, scale)
        return scale

    def _constant_pair(self, name: str, codes: Array, scale: Array) -> str:
        self._constant(f"{name}.codes", codes)
        self._constant(f"{name}.scale", scale)
        self._constant(f"{name}.zero", np.zeros(len(scale), codes.dtype))
        inputs = [f"{name}.codes", f"{name}.scale", f"{name}.zero"]
        self._node("DequantizeLinear", inputs, f"{name}.dq", axis=0)
        return f"{name}.dq"

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.graph.node.append(helper.make_node(kind, inputs, [output], output, **attributes))

    def _constant(self, name: str, value: Any) -> None:
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))

    def _take(self, name: str) -> Array:
        for index, item in enumerate(self.graph.initializer):
            if item.name == name:
                value = np.array(numpy_helper.to_array(item))
                del self.graph.initializer[index]
                return value
        raise QuantiseError(f"the graph has no initializer {name!r}")

    def _output_name(self, relu: NodeProto) -> str:
        """Name under which the trunk reads the ReLU: its own, or that of a transpose after it."""
        users = self._users(relu.output[0])
        turned = len(users) == 1 and users[0].op_type == "Transpose"
        name: str = users[0].output[0] if turned else relu.output[0]
        return name

    def _adds_to_earlier(self, node: NodeProto, y: str) -> bool:
        """Whether the node adds `y` to something that was there before `y` (its own residual)."""
        if node.op_type != "Add":
            return False
        waiting, seen = [name for name in node.input if name != y], set()
        while waiting:
            name = waiting.pop()
            producer = self._producer(name)
            if name == y:
                return False
            if producer is not None and name not in seen:
                waiting.extend(producer.input)
            seen.add(name)
        return True

    def _producer(self, name: str) -> NodeProto | None:
        return next((node for node in self.graph.node if name in node.output), None)

    def _users(self, name: str) -> list[NodeProto]:
        return [node for node in self.graph.node if name in node.input]

    def _consumer(self, name: str) -> NodeProto:
        users = self._users(name)
        if len(users) != 1:
            raise QuantiseError(f"{name!r} has {len(users)} users, expected one")
        return users[0]


def _sort_nodes(graph: onnx.GraphProto) -> None:
    """Topological order, stable: ONNX wants every tensor made before it is used."""
    made = {value.name for value in (*graph.input, *graph.initializer)} | {""}
    waiting, ordered = list(graph.node), []
    while waiting:
        later = []
        for node in waiting:
            if made.issuperset(node.input):
                ordered.append(node)
                made.update(node.output)
            else:
                later.append(node)
        if len(later) == len(waiting):
            raise QuantiseError(f"the graph has a cycle at {later[0].name!r}")
        waiting = later
    del graph.node[:]
    graph.node.extend(ordered)
