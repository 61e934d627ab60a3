"""The trunk and heads as an int8 .tflite: the same codes and scales for TFLM and Ethos-U teams.

It is the window form: feature codes (1, 1, T, channels), which the C front end (or the golden
features) gives, to logits of every step, from zero state. Causality is explicit: each convolution
is VALID, behind a PAD that puts the code of 0 where the stream would have its history.

The front end stays outside, in float: quantised it would cost most of the accuracy. TFLite has
only int8 results for an int8 convolution, so here the heads' sums, which the C code gives in
full, are rounded to 8 bits, in scales that span what the heads give for `features`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acula_edge.errors import UsageError
from firmware_bridge.arithmetic import HIGH, LOW
from firmware_bridge.emit.tflite_writer import TfliteWriter
from firmware_bridge.model import Block, Floats, Head, Int8s, Int32s, McuModel, Scale
from firmware_bridge.network import Network


@dataclass(frozen=True)
class _Map:
    """An activation: its tensor, its frames and its scale."""

    tensor: int
    frames: int
    scale: Scale


def tflite_bytes(model: McuModel, features: Int8s, hops: int | None = None) -> bytes:
    """The window graph of `hops` hops, by default the bundle's window.

    Input: int8 (1, 1, frames, channels) in the features' scale. Outputs, int8, in this order:
    findings (1, 1, steps, K), phases (1, 1, steps, P) if there is that head, embedding
    (1, 1, hops, E). `features` (frames, channels) are codes of representative sound, whole hops;
    the outputs' scales are chosen on them.

    Raises:
        UsageError: no whole hop of features, or fewer than one hop.
        MissingDependencyError: `tflite-micro` is not installed.
    """
    hops = model.manifest.hops_per_window if hops is None else hops
    if hops < 1 or features.ndim != 2 or len(features) < model.frames:
        raise UsageError(
            "a .tflite needs at least one hop, and one hop of features to calibrate on"
        )
    scales = output_scales(model, features)
    writer = TfliteWriter()
    frames = hops * model.frames
    shape = (1, 1, frames, model.front_end.channels)
    source = model.blocks[0].source
    trunk = entry = _Map(writer.activation("features", shape, source), frames, source)
    for index, block in enumerate(model.blocks):
        trunk = _block(writer, f"block{index}", block, trunk)
    outputs = [_head(writer, model.findings, trunk, scales["findings"])]
    if model.phases is not None:
        outputs.append(_head(writer, model.phases, trunk, scales["phases"]))
    embedding = _mean(writer, model, trunk)
    if model.text is not None:
        embedding = _head(writer, model.text, embedding, scales["text"])
    outputs.append(embedding)
    about = f"{model.name} {model.version} {model.variant}, ONNX sha256 {model.sha256}"
    return writer.to_bytes(
        [entry.tensor], [each.tensor for each in outputs], f"{about}. Research use only."
    )


def output_scales(model: McuModel, features: Int8s) -> dict[str, Scale]:
    """Head name -> int8 scale that spans its logits over `features` (frames, channels) and 0."""
    network = Network(model, "double")  # as TFLite rounds
    hops = len(features) // model.frames
    logits = [network.push(hop) for hop in np.split(features[: hops * model.frames], hops)]
    found = {
        "findings": np.stack([each.steps for each in logits]),
        "phases": np.stack([each.phases for each in logits]),
        "text": np.stack([each.embedding for each in logits]),
    }
    return {head.name: _spanning(found[head.name]) for head in model.heads}


def _spanning(values: Floats) -> Scale:
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = float(np.float32((high - low) / (HIGH - LOW) or 1.0))
    return Scale(scale, int(np.clip(round(LOW - low / scale), LOW, HIGH)))


def _block(writer: TfliteWriter, name: str, block: Block, source: _Map) -> _Map:
    padded = source
    if block.history:
        frames = source.frames + block.history
        shape = (1, 1, frames, block.inputs)
        padding = np.zeros((4, 2), np.int32)
        padding[2, 0] = block.history
        pads = writer.integers(f"{name}/history", padding)
        tensor = writer.activation(f"{name}/padded", shape, block.source)
        writer.operator("PAD", [source.tensor, pads], tensor, "PadOptions")
        padded = _Map(tensor, frames, block.source)
    relu = _convolution(
        writer,
        f"{name}/relu",
        padded,
        (block.weight, block.weight_scale, block.bias),
        block.relu,
        dilation=block.dilation,
        stride=block.stride,
        activation="RELU",
    )
    if not block.residual:
        return relu
    total = writer.activation(f"{name}/sum", (1, 1, relu.frames, block.outputs), block.output)
    writer.operator("ADD", [source.tensor, relu.tensor], total, "AddOptions")
    return _Map(total, relu.frames, block.output)


def _head(writer: TfliteWriter, head: Head, source: _Map, scale: Scale) -> _Map:
    parameters = head.weight[:, :, None], head.weight_scale, head.bias
    return _convolution(writer, head.name, source, parameters, scale)


def _mean(writer: TfliteWriter, model: McuModel, source: _Map) -> _Map:
    """The trunk's mean over each hop's steps, in the trunk's scale."""
    hops = source.frames // model.steps
    tensor = writer.activation("hop_mean", (1, 1, hops, model.width), source.scale)
    writer.operator(
        "AVERAGE_POOL_2D",
        [source.tensor],
        tensor,
        "Pool2DOptions",
        padding=writer.schema.Padding.VALID,
        filterHeight=1,
        filterWidth=model.steps,
        strideH=1,
        strideW=model.steps,
    )
    return _Map(tensor, hops, source.scale)


def _convolution(
    writer: TfliteWriter,
    name: str,
    source: _Map,
    parameters: tuple[Int8s, Floats, Int32s],
    scale: Scale,
    *,
    dilation: int = 1,
    stride: int = 1,
    activation: str = "NONE",
) -> _Map:
    """A VALID convolution along time of (outputs, inputs, kernel) codes, height 1."""
    codes, weight_scale, bias = parameters
    frames = (source.frames - (codes.shape[2] - 1) * dilation - 1) // stride + 1
    weight = writer.weight(f"{name}/weight", codes.transpose(0, 2, 1)[:, None], weight_scale)
    units = np.float32(source.scale.scale) * weight_scale
    tensor = writer.activation(name, (1, 1, frames, len(codes)), scale)
    writer.operator(
        "CONV_2D",
        [source.tensor, weight, writer.bias(f"{name}/bias", bias, units)],
        tensor,
        "Conv2DOptions",
        padding=writer.schema.Padding.VALID,
        strideH=1,
        strideW=stride,
        dilationHFactor=1,
        dilationWFactor=dilation,
        fusedActivationFunction=getattr(writer.schema.ActivationFunctionType, activation),
    )
    return _Map(tensor, frames, scale)
