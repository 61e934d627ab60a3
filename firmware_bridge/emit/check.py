"""What must hold before code is emitted: no sum overflows, and the front end is the graph's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.bundle import Bundle
from acula_edge.errors import BundleError
from firmware_bridge.arithmetic import fixed_factors, float_factors
from firmware_bridge.decision import FULL_SCALE
from firmware_bridge.emit.tables import folded_bias
from firmware_bridge.front_end import LogMel
from firmware_bridge.model import Block, Int8s, McuModel

PAIRED = 2**22  # acula_nn.c keeps two sums this far apart
EXACT = 2**22  # acula_round is exact below
WIDEST = 2**31
CODE = 128  # largest magnitude of a code
BYTE = 255  # fields of acula_block
LONGEST_SHIFT = 7  # of a fixed-point factor, so that a shifted accumulator stays in 32 bits
NOISE_HOPS = 40
MOST_DIFFERENT = 2e-3  # share of the codes; each by one step


def check_limits(model: McuModel) -> None:
    """Refuse a model whose sums could leave the ranges that the C code relies on.

    Raises:
        BundleError: naming the block.
    """
    for index, block in enumerate(model.blocks):
        sums = np.abs(block.weight.astype(np.int64)).sum(axis=(1, 2)) * CODE
        total = sums + np.abs(folded_bias(block))
        if sums.max() >= PAIRED or total.max() >= WIDEST:
            raise BundleError(f"node {block.name!r}: its sums are too large for firmware")
        if (total * float_factors(block)).max() >= EXACT or _sum_bound(block) >= EXACT:
            raise BundleError(f"node {block.name!r}: its scales are too far apart for firmware")
        if any(factor.shift > LONGEST_SHIFT for factor in fixed_factors(block)):
            raise BundleError(f"node {block.name!r}: its scales are too far apart for firmware")
        sizes = block.kernel, block.dilation, block.stride, block.history, model.frames_of(index)
        if max(sizes) > BYTE:
            raise BundleError(f"node {block.name!r}: is longer than firmware has room for")
    if model.hop >= 2**16 or model.front_end.long.frame > 2 * (BYTE + 1):
        raise BundleError("the hop or the frame is longer than firmware has room for")


def _sum_bound(block: Block) -> float:
    if not block.residual:
        return 0.0
    return 2 * CODE * (block.source.scale + block.relu.scale) / block.output.scale


def check_front_end(model: McuModel, bundle: Bundle) -> float:
    """Hold the front end to the graph's on seeded noise; the share of codes that differ by 1.

    Raises:
        BundleError: a code differs by more, or too many differ: the manifest describes another
            front end than the graph has.
    """
    pcm = noise(NOISE_HOPS * model.hop)
    mine = LogMel(model.front_end).push(pcm)
    gap = np.abs(mine.astype(int) - graph_codes(model, bundle, pcm))
    share = float(np.mean(gap > 0))
    if gap.max() > 1 or share > MOST_DIFFERENT:
        raise BundleError(
            f"{bundle.origin}: the front end that the manifest describes does not give the graph's"
            f" codes: {share:.2%} of them differ, by up to {gap.max()}"
        )
    return share


def noise(samples: int) -> NDArray[np.int16]:
    """Seeded noise whose level rises from 2 to 20,000 and whose colour changes."""
    random = np.random.default_rng(11)
    white = random.standard_normal(samples)
    brown = np.convolve(white, np.ones(12) / 4, mode="same")
    blend = np.linspace(0, 1, samples)
    level = np.geomspace(2, 6000, samples)
    values = level * (white * (1 - blend) + brown * blend)
    return np.clip(np.rint(values), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def graph_codes(model: McuModel, bundle: Bundle, pcm: NDArray[np.int16]) -> Int8s:
    """Feature codes (frames, channels) as ONNX Runtime computes them in the variant's graph."""
    import onnx  # noqa: PLC0415 - an extra

    from acula_edge.engine import open_graph  # noqa: PLC0415 - brings ONNX Runtime

    model_proto = onnx.load_from_string(bundle.graph(model.variant, "stream"))
    name = _codes_name(model_proto.graph)
    model_proto.graph.output.append(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT8, None)
    )
    session = open_graph(model_proto.SerializeToString())
    state = np.zeros(session.get_inputs()[1].shape, np.float32)
    rows = []
    for hop in pcm.reshape(-1, model.hop):
        feeds = {"pcm": hop[None].astype(np.float32) / FULL_SCALE, "state": state}
        codes, state = session.run([name, "next_state"], feeds)
        rows.append(codes[0][-model.frames :])
    return np.concatenate(rows)


def _codes_name(graph: Any) -> str:
    """The tensor of the first convolution's codes, history first."""
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            return str(node.output[0])
    raise BundleError("the graph quantises nothing")
