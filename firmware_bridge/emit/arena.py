"""The static memory plan: how large every part of the instance in acula_internal.h is.

The C side refuses to compile if its structure outgrows what is planned here.
"""

from __future__ import annotations

from firmware_bridge.decision import gate_constants
from firmware_bridge.model import McuModel

ALIGN = 8
STEPS_AT_ONCE = 6  # of acula_nn.c


def arena_bytes(model: McuModel) -> int:
    """Bytes of the whole instance: state, then scratch shared by front end and layers."""
    findings, front, gate = len(model.specs), model.front_end, gate_constants(model.manifest)
    wide = 8 * (gate.hops + 3 + 5 * findings) + result_bytes(model)
    samples = front.history + model.hop
    floats = 4 * (front.channels + 3)
    scratch = 4 * max(
        samples + front.long.frame + front.long.frame // 2 + front.channels, pair_words(model)
    )
    words = 4 * 5
    halves = 2 * (samples + 2 * gate.hops + 2)
    small = history_offsets(model)[-1] + code_bytes(model) + 2 + 2 + 2 * findings + 3
    return _aligned(wide + floats + scratch + words + halves + small, ALIGN)


def result_bytes(model: McuModel) -> int:
    """Bytes of an `acula_result`."""
    findings, steps = len(model.specs), model.steps
    phases = 0 if model.phases is None else model.phases.outputs
    floats = findings + (findings + phases) * steps + model.embedding
    head = _aligned(8 + 4 + 2 + findings, 4)
    return _aligned(head + 4 * floats, 8) + 8 * findings


def history_offsets(model: McuModel) -> list[int]:
    """Where each block's history starts, and last where the next would."""
    offsets = [0]
    for block in model.blocks:
        offsets.append(offsets[-1] + block.history * block.inputs)
    return offsets


def code_bytes(model: McuModel) -> int:
    """Bytes of the codes that one layer hands to the next."""
    sizes = [model.frames * model.front_end.channels]
    for index, block in enumerate(model.blocks):
        sizes.append(model.frames_of(index + 1) * block.outputs)
    return max(sizes)


def pair_words(model: McuModel) -> int:
    """Words of the largest block's paired rows; sums are made for `STEPS_AT_ONCE` steps."""
    words = []
    for index, block in enumerate(model.blocks):
        steps = _aligned(model.frames_of(index + 1), STEPS_AT_ONCE)
        words.append((block.history + steps * block.stride) * block.inputs)
    return max(words)


def _aligned(size: int, to: int) -> int:
    return -(-size // to) * to
