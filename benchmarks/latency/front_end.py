"""The front end's share of the network: its part of the graph, cut out and run in turn with all.

ONNX Runtime's profiler is no help: reading its clock around each of a hundred small nodes takes
five times as long as the graph itself, so its shares count nodes. The cut is made on the protobuf
wire (https://protobuf.dev/programming-guides/encoding/), because a device has no `onnx` package.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acula_edge.engine import open_graph
from acula_edge.errors import BundleError

if TYPE_CHECKING:
    import onnxruntime as ort

CONVOLUTIONS = frozenset({"Conv", "ConvInteger", "QLinearConv", "FusedConv"})
GRAPH, NODES, INPUTS, OUTPUTS, OP_TYPE = 7, 1, 1, 2, 4
GRAPH_OUTPUTS = 12


@dataclass(frozen=True)
class _Node:
    """A node's bytes with its tag, and what was read of them."""

    raw: bytes
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def front_end_share(graph: bytes, runs: int) -> float | None:
    """Median time of the graph's front end over that of the whole graph, both on ONNX Runtime.

    Both include what a call costs however small its graph. None where the graph has no convolution
    with work before it.

    Raises:
        BundleError: ONNX Runtime refuses the graph.
    """
    part = cut_front_end(graph)
    if part is None:
        return None
    whole, front = _Timed(graph), _Timed(part)
    times = [(front.run(), whole.run()) for _ in range(runs + 10)][10:]
    fronts, wholes = zip(*times, strict=True)
    return float(np.median(fronts) / np.median(wholes))


def cut_front_end(model: bytes) -> bytes | None:
    """The model of all that the first convolution's input needs, and nothing else.

    In this family of models the front end is matrix products, and convolutions are the trunk. None
    where there is no convolution, or no node before it.

    Raises:
        BundleError: not an ONNX model.
    """
    graphs = [data for number, _, data in _fields(model) if number == GRAPH]
    if len(graphs) != 1:
        raise BundleError("the stream graph is not one ONNX graph")
    fields = list(_fields(graphs[0]))
    nodes = [_node(raw, data) for number, raw, data in fields if number == NODES]
    first = next((node for node in nodes if node.op in CONVOLUTIONS), None)
    if first is None:
        return None
    kept = _needed(nodes, first.inputs[0])
    if not kept:
        return None
    rest = [raw for number, raw, _ in fields if number not in (NODES, GRAPH_OUTPUTS)]
    output = _sized(GRAPH_OUTPUTS, _sized(1, first.inputs[0].encode()))
    graph = b"".join([*(node.raw for node in kept), *rest, output])
    others = [raw for number, raw, _ in _fields(model) if number != GRAPH]
    return b"".join([*others, _sized(GRAPH, graph)])


def _needed(nodes: list[_Node], wanted: str) -> list[_Node]:
    needed, kept = {wanted}, []
    for node in reversed(nodes):  # ONNX keeps nodes in topological order
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    return kept[::-1]


def _node(raw: bytes, data: bytes) -> _Node:
    texts: dict[int, list[str]] = {INPUTS: [], OUTPUTS: [], OP_TYPE: []}
    for number, _, value in _fields(data):
        if number in texts:
            texts[number].append(value.decode())
    return _Node(raw, texts[OP_TYPE][-1], tuple(texts[INPUTS]), tuple(texts[OUTPUTS]))


def _fields(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, bytes with the tag, and value of each field; numbers have an empty value."""
    at = 0
    try:
        while at < len(data):
            start = at
            tag, at = _varint(data, at)
            low = at
            if tag & 7 == 0:
                _, at = _varint(data, at)
                low = at
            elif tag & 7 == 2:
                size, low = _varint(data, at)
                at = low + size
            else:
                at = low = at + {1: 8, 5: 4}[tag & 7]
            yield tag >> 3, data[start:at], data[low:at]
    except (IndexError, KeyError):
        raise BundleError("the stream graph is not an ONNX model") from None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _sized(number: int, value: bytes) -> bytes:
    head, size = bytearray([number << 3 | 2]), len(value)
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(head) + bytes([size]) + value


class _Timed:
    """A graph on noise from zero states."""

    def __init__(self, graph: bytes):
        self._session: ort.InferenceSession = open_graph(graph)
        random = np.random.default_rng(0)
        self._feed = {
            value.name: (0.1 * random.standard_normal(value.shape)).astype(np.float32)
            if value.name == "pcm"
            else np.zeros(value.shape, np.float32)
            for value in self._session.get_inputs()
        }

    def run(self) -> float:
        """Seconds of one run."""
        began = time.perf_counter()
        self._session.run(None, self._feed)
        return time.perf_counter() - began
