"""Weights that half precision holds exactly, and float32 graphs that store them so.

The float32 variant then takes half the space and computes the very same numbers: a runtime widens
the weights once, when it loads the graph.
"""

from __future__ import annotations

import numpy as np
import torch
from onnx import ModelProto, helper, numpy_helper
from onnx.onnx_pb import TensorProto

from export.onnx_parts import folded
from export.student import Student

WORTHWHILE = 1024  # elements; a smaller tensor costs more in its node than it saves


@torch.no_grad()
def with_half_weights(student: Student) -> Student:
    """A copy, batch norms folded, whose large weights are rounded to half precision.

    The mel filters are among them: a band's energy moves by less than 0.005 dB, and a constant
    factor is removed with the band's mean.
    """
    rounded = folded(student)
    weights = [block.conv.weight for block in rounded.causal_blocks()]
    weights += [] if rounded.text is None else [rounded.text.weight]
    parts = (rounded.front_end.long, rounded.front_end.short)
    weights += [part.get_buffer("filters") for part in parts if part is not None]
    for weight in weights:
        weight.copy_(weight.half().float())
    return rounded


def half_stored(model: ModelProto) -> ModelProto:
    """A copy that stores float32 initializers once, in half precision wherever that is exact."""
    result = ModelProto()
    result.CopyFrom(model)
    _share_equal(result)
    kept, casts = [], []
    for item in result.graph.initializer:
        value = numpy_helper.to_array(item)
        if item.data_type != TensorProto.FLOAT or value.size < WORTHWHILE or not _exact(value):
            kept.append(item)
            continue
        name = f"{item.name}.half"
        kept.append(numpy_helper.from_array(value.astype(np.float16), name))
        casts.append(
            helper.make_node("Cast", [name], [item.name], f"{name}.cast", to=TensorProto.FLOAT)
        )
    nodes = list(result.graph.node)
    del result.graph.initializer[:], result.graph.node[:]
    result.graph.initializer.extend(kept)
    result.graph.node.extend([*casts, *nodes])
    return result


def _share_equal(model: ModelProto) -> None:
    """Let one initializer stand for all that hold the same values."""
    seen: dict[tuple[object, ...], str] = {}
    replaced, kept = {}, []
    for item in model.graph.initializer:
        value = numpy_helper.to_array(item)
        first = seen.setdefault((value.dtype.str, value.shape, value.tobytes()), item.name)
        if first == item.name or value.size < WORTHWHILE:
            kept.append(item)
        else:
            replaced[item.name] = first
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = replaced.get(name, name)


def _exact(value: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return bool((value.astype(np.float16).astype(np.float32) == value).all())
