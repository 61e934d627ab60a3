"""Takes an int8 stream graph apart: which nodes are a block, a head, the front end.

Every node is claimed by a pattern or, in the float front end and the state's bookkeeping, belongs
to a short list of operators; whatever is left over is refused by name. That the front end computes
what the manifest says is not proven here but by running it (emit/check.py).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.bundle import Bundle
from acula_edge.errors import BundleError, MissingDependencyError
from firmware_bridge.graph import Graph
from firmware_bridge.mel import front_end_of
from firmware_bridge.model import Block, Head, McuModel, Scale
from firmware_bridge.shapes import check_shapes

Array = NDArray[Any]
FLOAT_OPERATORS = frozenset(
    {"Add", "Cast", "Clip", "Concat", "Div", "Gather", "Gemm", "Log", "MatMul", "Mod", "Mul"}
    | {"Reshape", "Slice", "Split", "Sub"}
)
INTEGER_OPERATORS = frozenset(
    ("Conv", "DequantizeLinear", "QuantizeLinear", "ReduceMean", "Relu", "Transpose")
)


def take_apart(bundle: Bundle, variant: str) -> McuModel:
    """See `firmware_bridge.model.read_model`."""
    graph = _load(bundle, variant)
    try:
        return _Reader(Graph(graph)).model(bundle, variant)
    except BundleError as error:
        raise BundleError(f"{bundle.origin}: variant '{variant}': {error}") from None


def _load(bundle: Bundle, variant: str) -> Any:
    try:
        import onnx  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingDependencyError(
            "firmware export needs onnx: pip install 'acula-edge[firmware]'"
        ) from None
    return onnx.load_from_string(bundle.graph(variant, "stream")).graph


@dataclass
class _Trunk:
    """Names under which the graph has the trunk's latest activations."""

    floats: set[str]
    codes: set[str] = field(default_factory=set)
    scale: Scale | None = None


class _Reader:
    """Reads a graph by following tensors."""

    def __init__(self, graph: Graph):
        self.graph = graph

    def model(self, bundle: Bundle, variant: str) -> McuModel:
        """The whole graph."""
        for node in self.graph.nodes:
            self.graph.check_operator(node, FLOAT_OPERATORS | INTEGER_OPERATORS)
        convolutions = [node for node in self.graph.nodes if node.op_type == "Conv"]
        bodies = [node for node in convolutions if self._has_relu(node)]
        if not bodies:
            raise BundleError("the graph has no convolution with a ReLU")
        trunk = _Trunk(floats=set())
        blocks = []
        for node in bodies:
            block, trunk = self._block(node, trunk)
            blocks.append(block)
        heads = {}
        for node in convolutions:
            if node not in bodies:
                name, head = self._head(node, trunk)
                heads[name] = head
        self._means(trunk)
        self._check_rest()
        return self._assemble(bundle, variant, tuple(blocks), heads)

    def _assemble(
        self, bundle: Bundle, variant: str, blocks: tuple[Block, ...], heads: dict[str, Head]
    ) -> McuModel:
        manifest = bundle.manifest
        if "findings" not in heads:
            raise BundleError("the graph has no head that gives 'step_scores'")
        front_end = front_end_of(manifest, self._filters(), blocks[0].source)
        model = McuModel(
            manifest=manifest,
            variant=variant,
            sha256=hashlib.sha256(bundle.graph(variant, "stream")).hexdigest(),
            front_end=front_end,
            blocks=blocks,
            findings=heads["findings"],
            phases=heads.get("phases"),
            text=heads.get("text"),
        )
        check_shapes(model)
        return model

    def _block(self, conv: Any, trunk: _Trunk) -> tuple[Block, _Trunk]:
        source = self._block_source(conv, trunk)
        weight, weight_scale, bias = self._parameters(conv, source)
        attributes = self._attributes(conv)
        relu = self.graph.only_user(conv, "Relu")
        out, relu_scale = self._quantised(relu)
        joins = [
            node
            for name in out.floats
            for node in self.graph.users.get(name, [])
            if node.op_type == "Add" and set(node.input) & trunk.floats
        ]
        if len(joins) > 1:
            raise BundleError(f"node {joins[1].name!r}: a second sum of the same block")
        output = relu_scale
        if joins:
            self.graph.claim(joins[0])
            out, output = self._quantised(joins[0])
        block = Block(
            name=conv.name,
            weight=weight,
            weight_scale=weight_scale,
            bias=bias,
            source=source,
            relu=relu_scale,
            output=output,
            dilation=attributes["dilations"],
            stride=attributes["strides"],
            residual=bool(joins),
        )
        return block, out

    def _block_source(self, conv: Any, trunk: _Trunk) -> Scale:
        """The scale in which a block reads, once it is sure to read the trunk and its history."""
        codes, scale = self._dequantised(conv)
        if codes in trunk.codes:
            return self._same(conv, scale, trunk)
        quantise = self.graph.expect(self.graph.producer(codes, conv), "QuantizeLinear")
        name = quantise.input[0]
        join = self.graph.producers.get(name)
        if join is not None and join.op_type == "Concat" and len(join.input) == 2:
            name = join.input[1]
        if trunk.floats and name not in trunk.floats:
            raise BundleError(f"node {conv.name!r}: does not read what the block before it gives")
        trunk.floats.add(name)  # the first block: its features are the trunk so far
        return self._same(conv, scale, trunk)

    def _same(self, node: Any, scale: Scale, trunk: _Trunk) -> Scale:
        if trunk.scale is not None and scale != trunk.scale:
            raise BundleError(
                f"node {node.name!r}: reads in another scale than the block before it gives"
            )
        return scale

    def _head(self, conv: Any, trunk: _Trunk) -> tuple[str, Head]:
        codes, source = self._dequantised(conv)
        pooled = codes not in trunk.codes
        if pooled:
            quantise = self.graph.expect(self.graph.producer(codes, conv), "QuantizeLinear")
            reduce = self.graph.expect(self.graph.producer(quantise.input[0], conv), "ReduceMean")
            if reduce.input[0] not in trunk.floats:
                raise BundleError(f"node {conv.name!r}: does not read the trunk")
            self.graph.claim(reduce)
        self._same(conv, source, trunk)
        weight, weight_scale, bias = self._parameters(conv, source)
        attributes = self._attributes(conv)
        if weight.shape[2] != 1 or attributes != {"dilations": 1, "strides": 1}:
            raise BundleError(f"node {conv.name!r}: a head must be a 1 x 1 convolution")
        output = conv.output[0]
        users = self.graph.users.get(output, [])
        if len(users) == 1 and users[0].op_type == "Reshape":
            self.graph.claim(users[0])
            output = users[0].output[0]
        names = {
            ("step_scores", False): "findings",
            ("phases", False): "phases",
            ("embedding", True): "text",
        }
        name = names.get((output, pooled))
        if name is None:
            raise BundleError(f"node {conv.name!r}: gives {output!r}, which is no head's output")
        return name, Head(name, weight[:, :, 0], weight_scale, bias, source, pooled)

    def _means(self, trunk: _Trunk) -> None:
        """The outputs that are means over the hop's steps."""
        for node in self.graph.nodes:
            if node.op_type != "ReduceMean" or node.name in self.graph.claimed:
                continue
            scores = node.input[0] == "step_scores" and node.output[0] == "scores"
            trunk_mean = node.input[0] in trunk.floats and node.output[0] == "embedding"
            if scores or trunk_mean:
                self.graph.claim(node)

    def _quantised(self, node: Any) -> tuple[_Trunk, Scale]:
        """What `node` gives once quantised: its codes' and floats' names, and the scale."""
        quantise = self.graph.only_user(node, "QuantizeLinear")
        scale = self.graph.scale(quantise)
        self.graph.claim(quantise)
        found = _Trunk(floats=set(), scale=scale)
        waiting = [quantise.output[0]]
        while waiting:
            name = waiting.pop()
            found.codes.add(name)
            for user in self.graph.users.get(name, []):
                if user.op_type == "Transpose":
                    self.graph.turned(user)
                    waiting.append(user.output[0])
                    continue
                self.graph.expect(user, "DequantizeLinear")
                if self.graph.scale(user) != scale:
                    raise BundleError(f"node {user.name!r}: dequantises in another scale")
                self.graph.claim(user)
                found.floats.update(self._turns_of(user.output[0]))
        return found, scale

    def _turns_of(self, name: str) -> set[str]:
        names = {name}
        for user in self.graph.users.get(name, []):
            if user.op_type == "Transpose":
                self.graph.turned(user)
                names.add(user.output[0])
        return names

    def _dequantised(self, conv: Any) -> tuple[str, Scale]:
        """The codes that a convolution reads, before any transpose, and their scale."""
        dequantise = self.graph.expect(self.graph.producer(conv.input[0], conv), "DequantizeLinear")
        scale = self.graph.scale(dequantise)
        self.graph.claim(dequantise)
        name = dequantise.input[0]
        producer = self.graph.producer(name, conv)
        if producer.op_type == "Transpose":
            self.graph.turned(producer)
            name = producer.input[0]
            producer = self.graph.producer(name, conv)
        if producer.op_type == "QuantizeLinear":
            if self.graph.scale(producer) != scale:
                raise BundleError(f"node {producer.name!r}: quantises in another scale")
            self.graph.claim(producer)
        return name, scale

    def _parameters(self, conv: Any, source: Scale) -> tuple[Array, Array, Array]:
        """Weight codes, their scales and the bias codes; claims the convolution."""
        self.graph.claim(conv)
        if len(conv.input) != 3:
            raise BundleError(f"node {conv.name!r}: has no bias")
        weight, scale = self._constant_codes(conv, conv.input[1], np.int8)
        bias, bias_scale = self._constant_codes(conv, conv.input[2], np.int32)
        if weight.ndim != 3 or len(scale) != len(weight) or bias.shape != (len(weight),):
            raise BundleError(f"node {conv.name!r}: its weight and bias do not fit each other")
        if not np.array_equal(bias_scale, np.float32(source.scale) * scale):
            raise BundleError(f"node {conv.name!r}: its bias is not in units of its accumulator")
        return weight, scale, bias

    def _constant_codes(self, conv: Any, name: str, dtype: type) -> tuple[Array, Array]:
        node = self.graph.expect(self.graph.producer(name, conv), "DequantizeLinear")
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        parts = [self.graph.constants.get(item) for item in node.input]
        codes, scale, zero = (*parts, None, None)[:3]
        if codes is None or scale is None or zero is None or codes.dtype != dtype or axis != 0:
            raise BundleError(f"node {node.name!r}: wants {np.dtype(dtype).name} codes per channel")
        if zero.any() or scale.dtype != np.float32:
            raise BundleError(f"node {node.name!r}: wants zero points 0 and float32 scales")
        self.graph.claim(node)
        return codes, scale.reshape(-1)

    def _attributes(self, conv: Any) -> dict[str, int]:
        """Dilation and stride; padding and groups are refused."""
        found = {"dilations": 1, "strides": 1}
        for attribute in conv.attribute:
            values = list(attribute.ints)
            if attribute.name in found and len(values) == 1:
                found[attribute.name] = int(values[0])
            elif not _says_nothing(attribute, values):
                raise BundleError(f"node {conv.name!r}: attribute {attribute.name!r} is not known")
        return found

    def _filters(self) -> tuple[Array, Array | None]:
        """The mel filters as stored: long (2 bins, bands), and short, if there are any."""
        gemm = [node for node in self.graph.nodes if node.op_type == "Gemm"]
        if len(gemm) != 1:
            raise BundleError("the front end has no single Gemm with the mel filters")
        name = gemm[0].input[1]
        join = self.graph.producers.get(name)
        if join is not None and join.op_type == "Concat":
            name = join.input[0]
        if name not in self.graph.constants:
            raise BundleError(f"node {gemm[0].name!r}: its filters are not constant")
        short = [
            self.graph.constants[node.input[1]]
            for node in self.graph.nodes
            if node.op_type == "MatMul" and node.input[1] in self.graph.constants
        ]
        if len(short) > 1:
            raise BundleError("the front end has more than one matrix of short filters")
        return self.graph.constants[name], short[0] if short else None

    def _check_rest(self) -> None:
        for node in self.graph.nodes:
            if node.name not in self.graph.claimed:
                self.graph.check_operator(node, FLOAT_OPERATORS)

    def _has_relu(self, node: Any) -> bool:
        return any(user.op_type == "Relu" for user in self.graph.users.get(node.output[0], []))


def _says_nothing(attribute: Any, values: list[int]) -> bool:
    """One group, no padding, or the kernel's length, which the weights tell."""
    return bool(
        (attribute.name == "group" and attribute.i == 1)
        or (attribute.name == "pads" and not any(values))
        or (attribute.name == "kernel_shape" and len(values) == 1)
    )
