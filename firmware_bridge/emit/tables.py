"""The model as C: `acula_model.h`, which sizes everything, and `acula_model.c`, the constants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.bundle import FindingSpec
from firmware_bridge.arithmetic import (
    Multiplier,
    fixed_factors,
    fixed_sum,
    float_factors,
    logit_factors,
)
from firmware_bridge.decision import gate_constants, smoothing_keep
from firmware_bridge.emit.arena import arena_bytes, code_bytes, history_offsets, pair_words
from firmware_bridge.front_end import Bands, constants_of
from firmware_bridge.model import Block, Head, McuModel, Scale

HEADER = "/* {} Written by acula-edge from {}.\n * SPDX-License-Identifier: Apache-2.0 */\n"
PER_LINE = 16
MULTIPLIER = "{{{}, {}}}"


def shapes_of(model: McuModel) -> list[tuple[int, int, int]]:
    """The different (inputs, taps, stride) of the blocks, in order of first use."""
    return list(dict.fromkeys((b.inputs, b.kernel, b.stride) for b in model.blocks))


def model_header(model: McuModel) -> str:
    """`acula_model.h`."""
    front, manifest = model.front_end, model.manifest
    gate, constants = gate_constants(manifest), constants_of(front)
    short = front.short
    defines: dict[str, Any] = {
        "RATE": model.rate,
        "HOP": model.hop,
        "FINDINGS": len(model.specs),
        "STEPS": model.steps,
        "PHASES": 0 if model.phases is None else model.phases.outputs,
        "EMBEDDING": model.embedding,
        "ARENA_BYTES": f"{arena_bytes(model)}u",
        "ARENA_ALIGN": "8u",
        "FRAMES": model.frames,
        "FRAME_HOP": front.long.step,
        "HISTORY": front.history,
        "LONG_FRAME": front.long.frame,
        "LONG_BANDS": front.long.bands,
        "SHORT_FRAME": 0 if short is None else short.frame,
        "SHORT_HOP": front.long.step if short is None else short.step,
        "SHORT_BANDS": 0 if short is None else short.bands,
        "CHANNELS": front.channels,
        "LEVEL_GAIN": single(constants.level_gain),
        "LEVEL_DECAY": single(constants.level_decay),
        "MEAN_DECAY": single(constants.mean_decay),
        "POWER_FLOOR": single(constants.power_floor),
        "FEATURE_GAIN": single(constants.gain),
        "FEATURE_LOW": single(constants.low),
        "FEATURE_HIGH": single(constants.high),
        "FEATURE_ZERO": front.scale.zero,
        "BLOCKS": len(model.blocks),
        "WIDTH": model.width,
        "TEXT": int(model.text is not None),
        "TRUNK_ZERO": model.findings.source.zero,
        "TRUNK_SHARE": single(model.findings.source.scale / model.steps),
        "HISTORIES": history_offsets(model)[-1],
        "CODES": code_bytes(model),
        "PAIRS": pair_words(model),
        "GATE_HOPS": gate.hops,
        "GATE_BLOCK": gate.block,
        "CLIP_LEVEL": gate.clip_level,
        "SILENCE": f"INT64_C({gate.silence})",
        "CLIP_WARN": double(gate.clip_warn),
        "CLIP_REFUSE": double(gate.clip_refuse),
        "GAP_SECONDS": double(gate.gap_warn),
        "HOP_SECONDS": double(model.hop / model.rate),
        "SMOOTHING_KEEP": double(smoothing_keep(manifest)),
        "MINIMUM_ON": double(manifest.smoothing.minimum_on),
        "MINIMUM_OFF": double(manifest.smoothing.minimum_off),
        "MINIMUM_EVIDENCE": double(manifest.minimum_evidence),
    }
    lines = [f"#define ACULA_{name} {_bracketed(value)}" for name, value in defines.items()]
    shapes = [
        f"SHAPE({i}, {inputs}, {taps}, {stride})"
        for i, (inputs, taps, stride) in enumerate(shapes_of(model))
    ]
    return (
        HEADER.format("What the model is and how much room it takes.", _origin(model))
        + "#ifndef ACULA_MODEL_H\n#define ACULA_MODEL_H\n\n#include <stdint.h>\n\n"
        + "\n".join(lines)
        + "\n\n/* Different convolutions: index, input channels, taps, stride. */\n"
        + "#define ACULA_SHAPES(SHAPE) "
        + " ".join(shapes)
        + "\n\n#endif\n"
    )


def model_source(model: McuModel) -> str:
    """`acula_model.c`."""
    parts = [
        HEADER.format("The model's constants.", _origin(model)),
        '#include "acula_internal.h"\n',
        _names(model),
        _spectra(model),
    ]
    blocks = [_block(model, index) for index in range(len(model.blocks))]
    parts += [text for text, _ in blocks]
    parts.append(_table("acula_block", "acula_blocks", "ACULA_BLOCKS", [row for _, row in blocks]))
    parts += [_head(head) for head in model.heads]
    rows = [_finding(spec) for spec in model.specs]
    parts.append(_table("acula_finding", "acula_findings", "ACULA_FINDINGS", rows))
    return "\n".join(parts)


def single(value: float) -> str:
    """A float literal of exactly that float32."""
    return f"{float(np.float32(value)).hex()}f"


def double(value: float) -> str:
    """A double literal of exactly that value."""
    return float(value).hex()


def array(kind: str, name: str, values: Iterable[Any]) -> str:
    """A constant array; numbers are written so that they read back exactly."""
    if kind == "float":
        texts = [single(float(value)) for value in values]
    else:
        texts = [str(int(value)) for value in values]
    rows = [", ".join(texts[i : i + PER_LINE]) for i in range(0, len(texts), PER_LINE)]
    body = ",\n    ".join(rows)
    return f"static const {kind} {name}[] = {{\n    {body}}};\n"


def text(value: str) -> str:
    """A C string literal: ASCII letters as they are, all other bytes in octal."""
    plain = {byte: chr(byte) for byte in range(32, 127) if chr(byte) not in '"\\?'}
    return '"' + "".join(plain.get(byte, f"\\{byte:03o}") for byte in value.encode()) + '"'


def _bracketed(value: Any) -> str:
    shown = str(value)
    return f"({shown})" if shown.startswith("-") else shown


def _origin(model: McuModel) -> str:
    safe = f"{model.name} {model.version}, {model.variant}"
    return safe.encode("ascii", "replace").decode().replace("*/", "")


def _names(model: McuModel) -> str:
    lines = [
        f"const char acula_model_name[] = {text(model.name)};",
        f"const char acula_model_version[] = {text(model.version)};",
        f"const char acula_model_sha256[] = {text(model.sha256)};",
        _strings("acula_finding_names", "ACULA_FINDINGS", model.manifest.labels),
    ]
    if model.phases is not None:
        lines.append(_strings("acula_phase_names", "ACULA_PHASES", model.manifest.phases))
    return "\n".join(lines) + "\n"


def _strings(name: str, size: str, values: Sequence[str]) -> str:
    return f"const char *const {name}[{size}] = {{{', '.join(text(v) for v in values)}}};"


def _table(kind: str, name: str, size: str, rows: Sequence[str]) -> str:
    return f"const {kind} {name}[{size}] = {{\n    {(',' + chr(10) + '    ').join(rows)}}};\n"


def _spectra(model: McuModel) -> str:
    front = model.front_end
    long = Bands(front.long)
    parts = [array("float", "twiddles", long.fft.twiddles.reshape(-1))]
    parts.append(_spectrum("long", long, 0))
    if front.short is not None:
        short = Bands(front.short)
        behind = (len(long.fft.twiddles) - len(short.fft.twiddles)) * 6
        parts.append(_spectrum("short", short, behind))
    return "\n".join(parts)


def _spectrum(name: str, bands: Bands, behind: int) -> str:
    fft = bands.fft
    parts = [
        array("float", f"{name}_window", bands.window),
        array("float", f"{name}_turn", fft.turn.reshape(-1)),
        array("uint8_t", f"{name}_place", fft.places),
        array("uint8_t", f"{name}_first", bands.first),
        array("uint8_t", f"{name}_count", bands.count),
        array("float", f"{name}_weight", bands.weights),
        f"const acula_spectrum acula_{name} = {{{name}_window, twiddles + {behind}, {name}_turn,"
        f" {name}_place, {name}_first, {name}_count, {name}_weight, {fft.points},"
        f" {bands.spectrum.bands}}};\n",
    ]
    return "\n".join(parts)


def folded_bias(layer: Block | Head) -> NDArray[np.int64]:
    """Biases for codes that keep their zero point: `bias - zero * sum(weights)`."""
    sums = layer.weight.reshape(len(layer.weight), -1).astype(np.int64).sum(axis=1)
    folded: NDArray[np.int64] = layer.bias.astype(np.int64) - layer.source.zero * sums
    return folded


def _block(model: McuModel, index: int) -> tuple[str, str]:
    block, name = model.blocks[index], f"block{index}"
    factors = fixed_factors(block)
    parts = [
        array("int8_t", f"{name}_weight", block.weight.transpose(0, 2, 1).reshape(-1)),
        array("int32_t", f"{name}_bias", folded_bias(block)),
        "#if ACULA_ROUNDING == ACULA_ROUNDING_FLOAT",
        array("float", f"{name}_factor", float_factors(block)) + "#else",
        array("int32_t", f"{name}_quotient", [f.quotient for f in factors]),
        array("int32_t", f"{name}_shift", [f.shift for f in factors]) + "#endif\n",
    ]
    sums = fixed_sum(block.source, block.relu, block.output)
    shape = shapes_of(model).index((block.inputs, block.kernel, block.stride))
    fields = [
        f".weight = {name}_weight, .bias = {name}_bias, ACULA_FACTORS({name})",
        f".source = {_scale(block.source)}, .relu = {_scale(block.relu)}",
        f".output = {_scale(block.output)}",
        f".of_source = {_multiplier(sums.of_x)}, .of_relu = {_multiplier(sums.of_y)}",
        f".of_sum = {_multiplier(sums.of_sum)}",
        f".at = {history_offsets(model)[index]}, .inputs = {block.inputs}",
        f".outputs = {block.outputs}, .shape = {shape}, .taps = {block.kernel}",
        f".dilation = {block.dilation}, .stride = {block.stride}, .history = {block.history}",
        f".frames = {model.frames_of(index)}, .residual = {int(block.residual)}",
    ]
    return "\n".join(parts), "{" + ",\n     ".join(fields) + "}"


def _head(head: Head) -> str:
    name = head.name
    return "\n".join(
        [
            array("int8_t", f"{name}_weight", head.weight.reshape(-1)),
            array("int32_t", f"{name}_bias", folded_bias(head)),
            array("float", f"{name}_factor", logit_factors(head)),
            f"const acula_head acula_{name}_head = {{{name}_weight, {name}_bias, {name}_factor,"
            f" {head.outputs}}};\n",
        ]
    )


def _finding(spec: FindingSpec) -> str:
    sharpness = 0.0 if spec.pooling.kind == "mean" else spec.pooling.sharpness
    values = (
        spec.bias,
        spec.temperature,
        sharpness,
        spec.present,
        spec.absent,
        spec.enter,
        spec.leave,
    )
    return "{" + ", ".join(double(value) for value in values) + "}"


def _scale(scale: Scale) -> str:
    return f"{{{single(scale.scale)}, {scale.zero}}}"


def _multiplier(multiplier: Multiplier) -> str:
    return MULTIPLIER.format(multiplier.quotient, multiplier.shift)
