"""Int8 for CPUs: the trunk's convolutions, everything else float.

Scales are measured once on the student and put into both graphs, so that stream and window stay the
same function. Weights are per channel and 7 bits wide (`reduce_range`): hosts without VNNI add
pairs of products in 16 bits and would saturate on 8. Activations are uint8. The front end, the
carried state, the residual sums and the heads stay float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from onnx import ModelProto, NodeProto, helper, numpy_helper
from torch import Tensor

from export.student import CausalBlock, Student

WEIGHT_LIMIT = 63
QUANTILE = 0.9999
WEIGHT_NAME = "student.blocks.{}.conv.weight"
BIAS_NAME = "student.blocks.{}.conv.bias"


class QuantiseError(Exception):
    """The graph has no such convolution, or calibration saw nothing usable."""


@dataclass(frozen=True)
class Scale:
    """Affine uint8 quantisation: `real = scale * (code - zero_point)`."""

    scale: float
    zero_point: int

    @classmethod
    def covering(cls, low: float, high: float) -> Scale:
        """The scale whose codes 0..255 cover `[low, high]` and hold zero exactly."""
        low, high = min(low, 0.0), max(high, 1e-6)
        scale = (high - low) / 255.0
        return cls(scale, round(-low / scale))


@torch.no_grad()
def measure_scales(student: Student, pcm: Iterable[Tensor]) -> list[tuple[Scale, Scale]]:
    """(input, output) scale of every block's convolution over batches of (B, n) samples.

    Ranges are the mean over batches of each batch's extreme quantiles, so that one outlier does not
    cost everyone resolution.

    Raises:
        QuantiseError: no batches, or calibration data with NaN.
    """
    student.eval()
    ranges: list[list[list[float]]] = [[] for _ in student.blocks]
    hooks = [
        block.conv.register_forward_hook(_recorder(ranges[index], block))
        for index, block in enumerate(student.causal_blocks())
    ]
    try:
        for batch in pcm:
            if not torch.isfinite(batch).all():
                raise QuantiseError("calibration data holds NaN or infinity")
            student(batch)
    finally:
        for hook in hooks:
            hook.remove()
    if not ranges[0]:
        raise QuantiseError("calibration needs at least one batch")
    scales = []
    for rows in ranges:
        low, high, out = np.mean(rows, axis=0)
        scales.append((Scale.covering(low, high), Scale.covering(0.0, out)))
    return scales


def _recorder(
    rows: list[list[float]], block: CausalBlock
) -> Callable[[torch.nn.Module, tuple[Tensor], Tensor], None]:
    def record(_module: torch.nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        x = inputs[0].flatten().numpy()
        y = torch.relu(block.norm(output)).flatten().numpy()
        low, high = np.quantile(x, [1 - QUANTILE, QUANTILE])
        rows.append([float(low), float(high), float(np.quantile(y, QUANTILE))])

    return record


def quantise(model: ModelProto, scales: list[tuple[Scale, Scale]]) -> ModelProto:
    """A copy of `model` with each trunk convolution between quantise/dequantise pairs.

    Raises:
        QuantiseError: the graph lacks a convolution that has a scale, or its ReLU.
    """
    result = ModelProto()
    result.CopyFrom(model)
    for index, (inputs, outputs) in enumerate(scales):
        _quantise_block(result.graph, index, inputs, outputs)
    _sort_nodes(result.graph)
    onnx.checker.check_model(result, full_check=True)
    _assert_quantised(result, len(scales))
    return result


def _quantise_block(graph: onnx.GraphProto, index: int, inputs: Scale, outputs: Scale) -> None:
    conv = _consumer(graph, WEIGHT_NAME.format(index))
    relu = _consumer(graph, conv.output[0])
    if relu.op_type != "Relu":
        raise QuantiseError(f"block {index}: expected a ReLU after the convolution")
    prefix = f"block{index}"
    x = _pair(graph, f"{prefix}.in", conv.input[0], inputs)
    weight_scale = _weights(graph, prefix, conv)
    _bias(graph, prefix, conv, inputs.scale * weight_scale)
    conv.input[0] = x
    y = f"{prefix}.relu"
    consumers = relu.output[0]
    relu.output[0] = y
    _pair(graph, f"{prefix}.out", y, outputs, result=consumers)


def _pair(
    graph: onnx.GraphProto, name: str, x: str, scale: Scale, result: str | None = None
) -> str:
    """Quantise and dequantise `x`; returns the name of the dequantised tensor."""
    result = result or f"{name}.dq"
    _constant(graph, f"{name}.scale", np.float32(scale.scale))
    _constant(graph, f"{name}.zero", np.uint8(scale.zero_point))
    extra = [f"{name}.scale", f"{name}.zero"]
    graph.node.append(helper.make_node("QuantizeLinear", [x, *extra], [f"{name}.q"], f"{name}.q"))
    graph.node.append(
        helper.make_node("DequantizeLinear", [f"{name}.q", *extra], [result], f"{name}.dq")
    )
    return result


def _weights(graph: onnx.GraphProto, prefix: str, conv: NodeProto) -> np.ndarray:
    """Replace the weight by int8 codes and a per-channel dequantise; returns the scales."""
    weight = _take(graph, conv.input[1])
    scale: np.ndarray = np.abs(weight).reshape(len(weight), -1).max(axis=1) / WEIGHT_LIMIT
    scale = np.maximum(scale, 1e-8).astype(np.float32)
    codes = np.rint(weight / scale[:, None, None]).astype(np.int8)
    conv.input[1] = _dequantised(graph, f"{prefix}.weight", codes, scale)
    return scale


def _bias(graph: onnx.GraphProto, prefix: str, conv: NodeProto, scale: np.ndarray) -> None:
    bias = _take(graph, conv.input[2])
    scale = scale.astype(np.float32)
    codes = np.rint(bias / scale).astype(np.int32)
    conv.input[2] = _dequantised(graph, f"{prefix}.bias", codes, scale)


def _dequantised(graph: onnx.GraphProto, name: str, codes: np.ndarray, scale: np.ndarray) -> str:
    _constant(graph, f"{name}.codes", codes)
    _constant(graph, f"{name}.scale", scale)
    _constant(graph, f"{name}.zero", np.zeros(len(scale), codes.dtype))
    names = [f"{name}.codes", f"{name}.scale", f"{name}.zero"]
    graph.node.append(
        helper.make_node("DequantizeLinear", names, [f"{name}.dq"], f"{name}.dq", axis=0)
    )
    return f"{name}.dq"


def _constant(graph: onnx.GraphProto, name: str, value: np.ndarray | np.generic) -> None:
    graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))


def _take(graph: onnx.GraphProto, name: str) -> np.ndarray:
    for index, initializer in enumerate(graph.initializer):
        if initializer.name == name:
            value = np.array(numpy_helper.to_array(initializer))
            del graph.initializer[index]
            return value
    raise QuantiseError(f"the graph has no initializer {name!r}")


def _consumer(graph: onnx.GraphProto, name: str) -> NodeProto:
    users = [node for node in graph.node if name in node.input]
    if len(users) != 1:
        raise QuantiseError(f"{name!r} has {len(users)} users, expected one")
    user: NodeProto = users[0]
    return user


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


def _assert_quantised(model: ModelProto, blocks: int) -> None:
    """A quantiser that silently leaves a graph float is the commonest failure of all."""
    count = sum(node.op_type == "QuantizeLinear" for node in model.graph.node)
    if count != 2 * blocks:
        raise QuantiseError(f"expected {2 * blocks} quantised tensors, found {count}")
