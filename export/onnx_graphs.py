"""The student as ONNX: a stream graph with explicit state, a window graph, the same weights."""

from __future__ import annotations

import logging
import warnings

import onnx
import torch
from onnx import ModelProto
from onnx_ir.passes import common
from onnxscript.optimizer import fold_constants
from torch import Tensor, nn

from acula_edge.bundle import CONTRACT_KEY
from export.graph_writer import GraphWriter, floats, integers, sine_table
from export.onnx_parts import IR_VERSION, OPSET, folded, window_outputs
from export.stream_graph import export_stream
from export.student import Student, StudentOutput

__all__ = [
    "OPSET",
    "export_plain_stream",
    "export_stream",
    "export_window",
    "folded",
    "window_outputs",
    "with_contract",
]


class StreamGraph(nn.Module):
    """One hop: pcm (1, hop), state (1, s) -> the outputs of one hop and the next state.

    scores (1, K), step_scores (1, K, S), phases (1, P, S) if there is that head, embedding (1, E).
    """

    def __init__(self, student: Student):
        super().__init__()
        self.student = student

    def forward(self, pcm: Tensor, state: Tensor) -> tuple[Tensor, ...]:
        """Logits before temperature."""
        out: StudentOutput = self.student(pcm, state)
        phases = () if out.phase_logits is None else (out.phase_logits,)
        scores, embedding = out.hop_logits[:, :, 0], out.embedding[:, :, 0]
        return (scores, out.step_logits, *phases, embedding, out.state)


class WindowGraph(nn.Module):
    """A batch of windows from the zero state: pcm (B, n) -> scores (B, K, H), and so on."""

    def __init__(self, student: Student):
        super().__init__()
        self.student = student

    def forward(self, pcm: Tensor) -> tuple[Tensor, ...]:
        """Logits before temperature."""
        out: StudentOutput = self.student(pcm)
        phases = () if out.phase_logits is None else (out.phase_logits,)
        return (out.hop_logits, out.step_logits, *phases, out.embedding)


def export_plain_stream(student: Student) -> ModelProto:
    """The stream graph as torch exports it, channel-major: for compilers that fuse by themselves.

    CPUs take `export_stream`: the same function in fewer nodes.
    """
    pcm, state = torch.zeros(1, student.config.hop), student.zero_state(1)
    outputs = [*window_outputs(student.config), "next_state"]
    return _export(StreamGraph(folded(student)), (pcm, state), ["pcm", "state"], outputs, None)


def export_window(student: Student) -> ModelProto:
    """The window graph, fixed length, any batch."""
    pcm = torch.zeros(2, student.config.window)
    shapes = {"pcm": {0: torch.export.Dim("batch", min=1, max=4096)}}
    outputs = window_outputs(student.config)
    return _export(WindowGraph(folded(student)), (pcm,), ["pcm"], outputs, shapes)


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
            optimize=False,
            verbose=False,
        )
    assert program is not None
    model = _optimised(program)
    model.producer_name, model.doc_string = "acula-edge", ""
    model.ir_version = IR_VERSION
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    _generate_sines(model.graph, module)
    return model


def _optimised(program: torch.onnx.ONNXProgram) -> ModelProto:
    """The exporter's optimiser without its rewrite rules.

    One of them takes every constant below 1e-8 for zero and so drops the front end's power floor:
    digital silence becomes log 0, and NaN stays in the state for good.
    """
    passes = (
        common.RemoveUnusedNodesPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
    )
    fold_constants(program.model)
    for each in passes:
        each(program.model)
    return program.model_proto


def _generate_sines(graph: onnx.GraphProto, module: nn.Module) -> None:
    """Store the front end's sines as the few numbers that make them: 0.25 MB less per file."""
    front_end = module.get_submodule("student.front_end")
    for name in ("long", "short"):
        part = getattr(front_end, name)
        target = f"student.front_end.{name}.rows"
        kept = [item for item in graph.initializer if item.name != target]
        if part is None or len(kept) == len(graph.initializer):
            continue
        writer = GraphWriter(f"{target}.")
        frame = len(part.window)
        table = sine_table(writer, part.bins.numpy(), frame, frame, bins_first=True)
        windowed = writer.op("Mul", table, floats(part.window.numpy()))
        writer.op("Unsqueeze", windowed, integers(1), to=target)
        nodes = [*writer.nodes, *graph.node]
        del graph.initializer[:], graph.node[:]
        graph.initializer.extend([*kept, *writer.constants])
        graph.node.extend(nodes)
