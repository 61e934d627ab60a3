"""The stream graph, written node by node: the student's function in fewer, cheaper nodes.

A hop is a few dozen microseconds of arithmetic, so what torch's exporter leaves (reshapes, slices,
transposes between layouts, one branch per head) costs more than the arithmetic. Written here:

1. Everything is time-major, (time, channels): carried history is joined without a transpose, and
   it is the layout in which ONNX Runtime's int8 convolution works.
2. The Fourier transform takes half the products: with u, v = the sum and difference of a windowed
   frame's halves, even bins need only u and odd bins only v (one step of decimation in frequency).
3. Causal means are one product with a matrix whose first column weighs the carried sum; the count
   of frames travels as a column that the filters' bias makes; floor and power floor are folded
   into the filters.
4. All histories of equal width are cut by one Split and collected by one Gather.

The layout of the state differs from the student's (same size, zeros start both). Tests hold this
graph to the student, float and int8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, helper
from torch import Tensor

from align.errors import AlignError
from export.frontend import CLAMP, POWER_FLOOR, BandEnergies, CausalMean
from export.graph_writer import Array, GraphWriter, fixed, floats, integers, sine_table
from export.onnx_parts import IR_VERSION, OPSET, folded
from export.student import PHASES, CausalBlock, Student


class GraphError(AlignError):
    """The student has a shape that the hand-written graph does not cover."""


@dataclass(frozen=True)
class _Step:
    """One block and the number of frames it is given per hop."""

    block: CausalBlock
    frames: int


def export_stream(student: Student) -> ModelProto:
    """pcm (1, hop), state (1, s) -> scores, step_scores, phases, embedding, next_state.

    Raises:
        GraphError: an odd frame length, or a trunk without blocks.
    """
    student = folded(student)
    config = student.config
    if config.front_end.frame % 2 or not config.blocks:
        raise GraphError("the stream graph needs an even frame length and at least one block")
    writer = GraphWriter()
    steps = _steps(student)
    first = student.front_end.channels
    rows = sum(step.block.history for step in steps[1:])
    sizes = [student.front_end.history, 2, first + 1, steps[0].block.history * first]
    samples, level, mean, own, trunk = writer.split("state", [*sizes, rows * config.width], axis=1)
    features, front_end_state = _front_end(writer, student, samples, level, mean)
    histories = _histories(writer, steps, own, trunk, first, config.width)
    x, joined = _trunk(writer, student, steps, features, histories)
    _heads(writer, student, x)
    state = [*front_end_state, *_next_histories(writer, steps, joined)]
    writer.op("Concat", *state, to="next_state", axis=1)
    return _model(writer, student)


def _steps(student: Student) -> list[_Step]:
    frames, steps = student.config.frames_per_hop, []
    for block in student.causal_blocks():
        steps.append(_Step(block, frames))
        frames //= block.conv.stride[0]
    return steps


def _front_end(
    writer: GraphWriter, student: Student, history: str, level: str, mean: str
) -> tuple[str, list[str]]:
    """Normalised log-mel features (1, frames, channels), and the front end's next state."""
    front_end, config = student.front_end, student.config
    frames, channels = config.frames_per_hop, front_end.channels
    samples = writer.op("Concat", history, "pcm", axis=1)
    halves, short = _frames(writer, student, samples)
    energies, for_level = _long_energies(writer, front_end.long, front_end.floor, halves)
    floor, next_level = _causal_mean(writer, front_end.level, level, for_level, 1)
    if front_end.short is not None and short is not None:
        grouped = _short_energies(writer, front_end.short, short, frames)
        energies = writer.op("Concat", energies, grouped, axis=1)
    logs = writer.op("Log", writer.op("Add", energies, floor))
    counted = writer.op("Concat", logs, floats(np.ones((frames, 1))), axis=1)
    means, next_mean = _causal_mean(writer, front_end.mean, mean, counted, channels)
    centred = writer.op("Mul", writer.op("Sub", logs, means), floats(0.5))
    features = writer.op("Clip", centred, floats(-CLAMP), floats(CLAMP))
    features = writer.op("Reshape", features, integers(1, frames, channels))
    ends = integers(config.hop), integers(config.hop + front_end.history), integers(1)
    next_samples = writer.op("Slice", samples, *ends)
    return features, [next_samples, next_level, next_mean]


def _frames(writer: GraphWriter, student: Student, samples: str) -> tuple[list[str], str | None]:
    """Both halves of every long frame, each (frames, frame / 2), and the short frames.

    Frames overlap, so they are gathered as rows of the greatest length that divides every offset.
    """
    front_end, config = student.front_end, student.config
    half, long, short = config.front_end.frame // 2, front_end.long, front_end.short
    row = math.gcd(long.step, half, front_end.history)
    if short is not None:
        offset = front_end.history - short.history
        row = math.gcd(row, short.step, config.front_end.short_frame, offset)
    count = config.frames_per_hop
    starts = np.arange(count) * long.step
    picks = [_rows(starts, half, row), _rows(starts + half, half, row)]
    if short is not None:
        starts = offset + np.arange(config.hop // short.step) * short.step
        picks.append(_rows(starts, config.front_end.short_frame, row))
    rows = writer.op("Reshape", samples, integers(-1, row))
    gathered = writer.op("Gather", rows, np.concatenate(picks), axis=0)
    parts = writer.split(gathered, [len(pick) for pick in picks], axis=0)
    halves = [writer.op("Reshape", part, integers(count, half)) for part in parts[:2]]
    if short is None:
        return halves, None
    return halves, writer.op("Reshape", parts[2], integers(-1, config.front_end.short_frame))


def _rows(starts: Array, length: int, row: int) -> Array:
    index: Array = starts[:, None] // row + np.arange(length // row)[None, :]
    return index.reshape(-1).astype(np.int64)


def _long_energies(
    writer: GraphWriter, part: BandEnergies, floor: float, halves: list[str]
) -> tuple[str, str]:
    """Band energies (frames, bands); and (frames, 2): the scaled mean energy, and ones."""
    bins, frame = part.bins.numpy(), len(part.window)
    window = part.window.numpy()
    scaled = [
        writer.op("Mul", x, floats(w)[None, :])
        for x, w in zip(halves, np.split(window, 2), strict=True)
    ]
    filters = _double(part.get_buffer("filters")).T
    bands = filters.shape[1]
    columns = [filters, floor * filters.mean(axis=1, keepdims=True), np.zeros((len(filters), 1))]
    wide = np.concatenate(columns, axis=1)
    spectra, weights = [], []
    for parity, kind in ((0, "Add"), (1, "Sub")):
        chosen = bins % 2 == parity
        table = sine_table(writer, bins[chosen], frame // 2, frame, bins_first=False)
        spectra.append(writer.op("MatMul", writer.op(kind, *scaled), table))
        weights += [wide[chosen], wide[chosen]]
    both = writer.op("Concat", *spectra, axis=1)
    power = writer.op("Mul", both, both)
    bias = floats([0.0] * bands + [POWER_FLOOR, 1.0])
    # Apart, so that half precision can store the filters; a runtime joins the two when it loads.
    parts = np.split(np.concatenate(weights), [bands], axis=1)
    weight = writer.op("Concat", *(floats(part) for part in parts), axis=1)
    energies = writer.op("Gemm", power, weight, bias)
    first, rest = writer.split(energies, [bands, 2], axis=1)
    return first, rest


def _short_energies(writer: GraphWriter, part: BandEnergies, x: str, frames: int) -> str:
    """(frames, short frames per frame * bands): the bands of the first short frame, then the next.

    The student has them band by band; `_channel_order` says so to all that follows.
    """
    frame = len(part.window)
    table = sine_table(writer, part.bins.numpy(), frame, frame, bins_first=False)
    rows = writer.op("Mul", table, floats(part.window.numpy())[:, None])
    spectrum = writer.op("MatMul", x, rows)
    power = writer.op("Mul", spectrum, spectrum)
    filters = _double(part.get_buffer("filters")).T
    energies = writer.op("MatMul", power, floats(np.concatenate([filters, filters])))
    return writer.op("Reshape", energies, integers(frames, -1))


def _causal_mean(
    writer: GraphWriter, part: CausalMean, state: str, x: str, channels: int
) -> tuple[str, str]:
    """`x` (frames, channels + 1), its last column ones -> mean (frames, channels), next state."""
    steps = np.arange(part.frames)
    lag = steps[:, None] - steps[None, :]
    within = np.where(lag >= 0, part.decay ** np.maximum(lag, 0), 0.0)
    weights = np.concatenate([part.decay ** (steps[:, None] + 1.0), within], axis=1)
    joined = writer.op("Concat", state, x, axis=0)
    sums = writer.op("MatMul", floats(weights), joined)
    total, count = writer.split(sums, [channels, 1], axis=1)
    last = writer.op("Slice", sums, integers(part.frames - 1), integers(part.frames), integers(0))
    return writer.op("Div", total, count), last


def _channel_order(student: Student) -> Array:
    """The student's index of each of this graph's feature channels."""
    config, per_frame = student.config.front_end, student.front_end.per_frame
    order = np.arange(student.front_end.channels)
    if student.front_end.short is not None:
        short = order[config.bands :].reshape(config.short_bands, per_frame)
        order = np.concatenate([order[: config.bands], short.T.reshape(-1)])
    return order


def _histories(
    writer: GraphWriter, steps: list[_Step], own: str, trunk: str, first: int, width: int
) -> list[str | None]:
    """Each block's carried frames (1, history, channels), None where it carries none."""
    size = steps[0].block.history
    found: list[str | None] = [
        writer.op("Reshape", own, integers(1, size, first)) if size else None
    ]
    lengths = [step.block.history for step in steps[1:]]
    if not any(lengths):
        return found + [None] * len(lengths)
    rows = writer.op("Reshape", trunk, integers(1, sum(lengths), width))
    parts = iter(writer.split(rows, [length for length in lengths if length], axis=1))
    return found + [next(parts) if length else None for length in lengths]


def _trunk(
    writer: GraphWriter,
    student: Student,
    steps: list[_Step],
    x: str,
    histories: list[str | None],
) -> tuple[str, list[str]]:
    """The last activations (1, steps, width), and what each block saw, history first."""
    seen = []
    for index, (step, history) in enumerate(zip(steps, histories, strict=True)):
        joined = x if history is None else writer.op("Concat", history, x, axis=1)
        seen.append(joined)
        y = _convolve(writer, student, index, step.block, joined)
        x = writer.op("Add", x, y) if step.block.residual else y
    return x, seen


def _convolve(
    writer: GraphWriter, student: Student, index: int, block: CausalBlock, joined: str
) -> str:
    weight = block.conv.weight.detach().numpy()
    if index == 0:
        weight = weight[:, _channel_order(student)]
    name = f"student.blocks.{index}.conv"
    y = writer.op(
        "Conv",
        writer.op("Transpose", joined, perm=[0, 2, 1]),
        writer.constant(floats(weight), f"{name}.weight"),
        writer.constant(_bias(block.conv.bias), f"{name}.bias"),
        strides=list(block.conv.stride),
        dilations=list(block.conv.dilation),
    )
    return writer.op("Transpose", writer.op("Relu", y), perm=[0, 2, 1])


def _heads(writer: GraphWriter, student: Student, x: str) -> None:
    turned = writer.op("Transpose", x, perm=[0, 2, 1])
    _head(writer, "findings", student.findings, turned, "step_scores")
    writer.op("ReduceMean", "step_scores", integers(2), to="scores", keepdims=0)
    if student.phases is not None:
        _head(writer, "phases", student.phases, turned, "phases")
    if student.text is None:
        writer.op("ReduceMean", turned, integers(2), to="embedding", keepdims=0)
        return
    mean = writer.op("ReduceMean", turned, integers(2), keepdims=1)
    text = _head(writer, "text", student.text, mean, None)
    writer.op("Reshape", text, integers(1, student.config.text), to="embedding")


def _head(writer: GraphWriter, name: str, layer: Any, x: str, to: str | None) -> str:
    weight = writer.constant(floats(layer.weight.detach().numpy()), f"student.{name}.weight")
    bias = writer.constant(_bias(layer.bias), f"student.{name}.bias")
    return writer.op("Conv", x, weight, bias, to=to)


def _next_histories(writer: GraphWriter, steps: list[_Step], joined: list[str]) -> list[str]:
    """The last frames that each block saw, as flat rows: the first block's, then all others'."""
    parts = []
    frames, history = steps[0].frames, steps[0].block.history
    if history:
        ends = integers(frames), integers(frames + history), integers(1)
        own = writer.op("Slice", joined[0], *ends)
        parts.append(writer.op("Reshape", own, integers(1, -1)))
    rows = 0
    keep: list[int] = []
    for step in steps[1:]:
        rows += step.frames + step.block.history
        keep += range(rows - step.block.history, rows)
    if keep:
        everything = writer.op("Concat", *joined[1:], axis=1)
        tails = writer.op("Gather", everything, integers(*keep), axis=1)
        parts.append(writer.op("Reshape", tails, integers(1, -1)))
    return parts


def _model(writer: GraphWriter, student: Student) -> ModelProto:
    config = student.config
    findings, steps = len(config.findings), config.steps_per_hop
    phases = [fixed("phases", (1, len(PHASES), steps))] if config.phases else []
    graph = helper.make_graph(
        writer.nodes,
        "stream",
        [fixed("pcm", (1, config.hop)), fixed("state", (1, student.state_size))],
        [
            fixed("scores", (1, findings)),
            fixed("step_scores", (1, findings, steps)),
            *phases,
            fixed("embedding", (1, config.embedding)),
            fixed("next_state", (1, student.state_size)),
        ],
        writer.constants,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model: ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    model.producer_name = "acula-edge"
    onnx.checker.check_model(model, full_check=True)
    return model


def _bias(bias: Tensor | None) -> Array:
    assert bias is not None  # folding gives every convolution one, and heads have it
    return floats(bias.detach().numpy())


def _double(x: Tensor) -> Array:
    array: Array = x.double().numpy()
    return array
