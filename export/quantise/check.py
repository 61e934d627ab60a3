"""What must hold of a graph after quantisation, whoever made it.

The commonest failure of a quantiser is silence: a graph that stayed float, or that has the types of
another target, loads and runs, only slowly or wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from export.onnx_parts import IR_VERSION, OPSET
from export.quantise.flavour import Flavour
from export.quantise.scales import QuantiseError

Array = np.ndarray[Any, np.dtype[Any]]
BLOCK_WEIGHT = re.compile(r"(?:student\.blocks\.|block)(\d+)\.")
HEAD_WEIGHT = re.compile(r"(?:student\.)?(?:findings|phases|text)\.")


def check_quantised(
    model: ModelProto, blocks: int, flavour: Flavour, keep_float: Collection[int] = ()
) -> None:
    """Hold a graph with `blocks` trunk blocks to its flavour.

    Raises:
        QuantiseError: names the node and what is wrong with it.
    """
    opsets = {item.domain: item.version for item in model.opset_import}
    if opsets != {"": OPSET} or model.ir_version != IR_VERSION:
        raise QuantiseError(
            f"the graph has opsets {opsets} and IR {model.ir_version}, not {OPSET} and {IR_VERSION}"
        )
    view = _View(model)
    view.check_zero_points(flavour)
    view.check_rounded_once()
    trunk = 0
    for conv in view.of("Conv"):
        weight = view.origin(conv.input[1])
        match = BLOCK_WEIGHT.match(weight)
        if match is None:
            continue
        trunk += 1
        if int(match[1]) in keep_float:
            view.expect_float(conv)
        else:
            view.expect_quantised(conv, flavour)
    if trunk != blocks:
        raise QuantiseError(f"the graph has {trunk} trunk convolutions, not {blocks}")
    quantised = blocks - len(set(keep_float))
    count = len(view.of("QuantizeLinear"))
    if flavour.whole_trunk:
        view.expect_whole(flavour)
    elif count != quantised * (1 + flavour.outputs):
        expected = quantised * (1 + flavour.outputs)
        raise QuantiseError(f"expected {expected} QuantizeLinear nodes, found {count}")


class _View:
    """Lookups in a graph."""

    def __init__(self, model: ModelProto):
        self.nodes: list[NodeProto] = list(model.graph.node)
        self.made = {output: node for node in self.nodes for output in node.output}
        self.constants = {
            item.name: np.array(numpy_helper.to_array(item)) for item in model.graph.initializer
        }

    def of(self, kind: str) -> list[NodeProto]:
        return [node for node in self.nodes if node.op_type == kind]

    def origin(self, name: str) -> str:
        """The constant behind a tensor, through a dequantise."""
        node = self.made.get(name)
        first: str = name if node is None else node.input[0]
        return first

    def dequantised(self, name: str) -> NodeProto | None:
        node = self.made.get(name)
        return node if node is not None and node.op_type == "DequantizeLinear" else None

    def constant(self, node: NodeProto, position: int) -> Array:
        name = node.input[position] if len(node.input) > position else ""
        if name not in self.constants:
            raise QuantiseError(f"{node.name!r}: input {position} is not a constant of the graph")
        return self.constants[name]

    def check_zero_points(self, flavour: Flavour) -> None:
        """Types and values of every zero point; int32 only where the flavour has such biases."""
        for node in (*self.of("QuantizeLinear"), *self.of("DequantizeLinear")):
            zero = self.constant(node, 2)
            stored = node.op_type == "DequantizeLinear" and node.input[0] in self.constants
            if zero.dtype == np.int32 and not (stored and flavour.integer_bias):
                raise QuantiseError(f"{node.name!r}: an int32 zero point, which {_of(flavour)}")
            if (flavour.symmetric or stored) and zero.any():
                raise QuantiseError(f"{node.name!r}: its zero point must be 0, and is {zero.max()}")
            if not stored and zero.dtype != flavour.code_type:
                raise QuantiseError(f"{node.name!r}: codes are {zero.dtype}, which {_of(flavour)}")

    def expect_float(self, conv: NodeProto) -> None:
        if any(self.dequantised(name) for name in conv.input[1:]):
            raise QuantiseError(f"{conv.name!r} was to stay float and is quantised")

    def expect_quantised(self, conv: NodeProto, flavour: Flavour) -> None:
        if self.dequantised(conv.input[0]) is None or self.dequantised(conv.input[1]) is None:
            raise QuantiseError(f"{conv.name!r} stayed float")
        self._check_weight(conv, flavour)
        bias = self.dequantised(conv.input[2])
        if flavour.integer_bias != (bias is not None):
            raise QuantiseError(f"{conv.name!r}: its bias is not as {flavour.name} wants it")
        if bias is not None and self.constant(bias, 0).dtype != np.int32:
            raise QuantiseError(f"{bias.name!r}: bias codes are not int32")

    def _check_weight(self, conv: NodeProto, flavour: Flavour) -> None:
        node = self.made[conv.input[1]]
        codes, scale = self.constant(node, 0), self.constant(node, 1)
        axis = next((item.i for item in node.attribute if item.name == "axis"), 1)
        if axis != 0 or scale.shape != (codes.shape[0],):
            raise QuantiseError(f"{node.name!r}: weights need one scale per output channel")
        if codes.dtype != np.int8 or np.abs(codes.astype(int)).max() > flavour.weight_limit:
            raise QuantiseError(
                f"{node.name!r}: weights must be int8 codes up to {flavour.weight_limit}"
            )

    def check_rounded_once(self) -> None:
        """A pair behind a pair rounds twice, and cuts off what the narrower of the two lacks."""
        for node in self.of("QuantizeLinear"):
            if self.dequantised(node.input[0]) is not None:
                raise QuantiseError(f"{node.name!r}: quantises what was quantised already")

    def expect_whole(self, flavour: Flavour) -> None:
        """Heads quantised too, and every sum of two dequantised tensors quantised at once."""
        for conv in self.of("Conv"):
            if HEAD_WEIGHT.match(self.origin(conv.input[1])):
                self.expect_quantised(conv, flavour)
        for node in self.of("Add"):
            if all(self.dequantised(name) for name in node.input):
                users = [user for user in self.nodes if node.output[0] in user.input]
                if [user.op_type for user in users] != ["QuantizeLinear"]:
                    raise QuantiseError(f"{node.name!r}: the residual sum stayed float")


def _of(flavour: Flavour) -> str:
    return f"the {flavour.name} flavour does not take"
