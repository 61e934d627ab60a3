"""The student as ONNX: a stream graph with explicit state, a window graph, the same weights."""

from __future__ import annotations

import copy
import logging
import math
import warnings
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto, NodeProto, helper, numpy_helper
from torch import Tensor, nn

from acula_edge.bundle import CONTRACT_KEY
from export.student import Student, StudentOutput

OPSET = 20
STREAM_OUTPUTS = ["scores", "step_scores", "embedding", "next_state"]
WINDOW_OUTPUTS = ["scores", "step_scores", "embedding"]


class StreamGraph(nn.Module):
    """One hop: pcm (1, hop), state (1, s) -> scores (1, K), steps (1, K, S), embedding, state."""

    def __init__(self, student: Student):
        super().__init__()
        self.student = student

    def forward(self, pcm: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits before temperature."""
        out: StudentOutput = self.student(pcm, state)
        return out.hop_logits[:, :, 0], out.step_logits, out.embedding[:, :, 0], out.state


class WindowGraph(nn.Module):
    """A batch of windows from the zero state: pcm (B, n) -> scores (B, K, H), steps, embedding."""

    def __init__(self, student: Student):
        super().__init__()
        self.student = student

    def forward(self, pcm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits before temperature."""
        out: StudentOutput = self.student(pcm)
        return out.hop_logits, out.step_logits, out.embedding


def folded(student: Student) -> Student:
    """A copy in evaluation mode with every batch norm folded into its convolution."""
    student = copy.deepcopy(student).eval()
    for block in student.causal_blocks():
        if isinstance(block.norm, nn.BatchNorm1d):
            block.conv = nn.utils.fuse_conv_bn_eval(block.conv, block.norm)
            block.norm = nn.Identity()
    return student


def export_stream(student: Student) -> ModelProto:
    """The stream graph, fixed shapes, batch 1."""
    pcm, state = torch.zeros(1, student.config.hop), student.zero_state(1)
    return _export(
        StreamGraph(folded(student)), (pcm, state), ["pcm", "state"], STREAM_OUTPUTS, None
    )


def export_window(student: Student) -> ModelProto:
    """The window graph, fixed length, any batch."""
    pcm = torch.zeros(2, student.config.window)
    shapes = {"pcm": {0: torch.export.Dim("batch", min=1, max=4096)}}
    return _export(WindowGraph(folded(student)), (pcm,), ["pcm"], WINDOW_OUTPUTS, shapes)


def with_contract(model: ModelProto, contract: str) -> bytes:
    """Serialise with the bundle contract in `metadata_props`, checked by the ONNX checker."""
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = CONTRACT_KEY, contract
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _export(
    module: nn.Module,
    args: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    dynamic_shapes: dict[str, dict[int, torch.export.Dim]] | None,
) -> ModelProto:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            args,
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=dynamic_shapes,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    model.producer_name, model.doc_string = "acula-edge", ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    _generate_sines(model.graph, module)
    return model


def _generate_sines(graph: onnx.GraphProto, module: nn.Module) -> None:
    """Store the front end's sines as the few numbers that make them: 0.25 MB less per file.

    `k * n mod N` is exact in float32, so the angle is; runtimes fold these nodes when they load.
    """
    front_end = module.get_submodule("student.front_end")
    for name in ("long", "short"):
        part = getattr(front_end, name)
        target = f"student.front_end.{name}.rows"
        kept = [item for item in graph.initializer if item.name != target]
        if part is None or len(kept) == len(graph.initializer):
            continue
        del graph.initializer[:]
        graph.initializer.extend(kept)
        length = len(part.window)
        constants = {
            "bins": part.bins[:, None].float().numpy(),
            "samples": torch.arange(length)[None, :].float().numpy(),
            "length": np.float32(length),
            "turn": np.float32(2 * math.pi / length),
            "window": part.window.float().numpy(),
            "axis": np.array([1], dtype=np.int64),
        }
        for key, value in constants.items():
            graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"{target}.{key}"))
        nodes = [
            _node("Mul", ["bins", "samples"], "product", target),
            _node("Mod", ["product", "length"], "wrapped", target, fmod=1),
            _node("Mul", ["wrapped", "turn"], "angle", target),
            _node("Cos", ["angle"], "cos", target),
            _node("Sin", ["angle"], "sin", target),
            _node("Concat", ["cos", "sin"], "both", target, axis=0),
            _node("Mul", ["both", "window"], "windowed", target),
            helper.make_node("Unsqueeze", [f"{target}.windowed", f"{target}.axis"], [target]),
        ]
        for index, node in enumerate(nodes):
            graph.node.insert(index, node)


def _node(kind: str, inputs: list[str], output: str, prefix: str, **attributes: Any) -> NodeProto:
    names = [f"{prefix}.{name}" for name in inputs]
    node: NodeProto = helper.make_node(kind, names, [f"{prefix}.{output}"], **attributes)
    return node
