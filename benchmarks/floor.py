"""How far a stream graph is from the arithmetic it needs: beside a bare GEMM and Silero VAD.

The floor is the time that the graph's multiply-accumulates would take at the rate of one large
matrix product in the same runtime, int8 and float32 each at their own rate. All sides run in turn
in one process, on one thread, because on a shared machine only such ratios mean anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.engine import open_graph
from acula_edge.errors import MissingDependencyError
from benchmarks.interleaved import Ratio, ratio_of_pairs
from benchmarks.peers.silero import CHUNK, SileroStream
from benchmarks.peers.silero import RATE as SILERO_RATE

if TYPE_CHECKING:
    import onnxruntime as ort
    from onnx import ModelProto, NodeProto

SIZE = 384  # of the matrices: large enough for full rate, small enough for the cache
OPSET, IR_VERSION = 20, 10
SHARED = {"Conv", "MatMul", "Gemm"}


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of one run of a graph, by the arithmetic that does them."""

    int8: int
    float32: int


@dataclass(frozen=True)
class FloorResult:
    """CPU ms per second of audio (medians), and ratios of pairs.

    `floor_ms` is all of the graph's arithmetic at the rate of a large product, `layers_ms` its int8
    convolutions alone, run one after another in their own shapes.
    """

    macs: Macs
    nodes: int
    graph_ms: float
    floor_ms: float
    layers_ms: float
    silero_ms: float
    to_floor: Ratio
    to_silero: Ratio


def measure_floor(
    stream: bytes, hop_seconds: float, *, pairs: int = 10, hops: int = 200
) -> FloorResult:
    """Measure a stream graph of fixed shapes, `hops` hops per turn.

    Raises:
        MissingDependencyError: onnx or silero-vad is not installed.
        BundleError: ONNX Runtime refuses the graph.
    """
    model = _load(stream)
    macs = count_macs(model)
    seconds = hops * hop_seconds
    sides: dict[str, Callable[[], float]] = {
        "graph": _repeat(_stream_runner(stream), hops),
        "layers": _repeat(_runner(_layers(model)), hops),
        "int8": _repeat(_runner(_product(integers=True)), 10),
        "float32": _repeat(_runner(_product(integers=False)), 10),
        "silero": _silero(seconds),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(pairs + 1):
        for name, run in sides.items():
            spent = run()
            if turn:  # the first turn warms caches
                times[name].append(spent)
    per_product = 10 * SIZE**3
    floor = [
        hops * (macs.int8 * a + macs.float32 * b) / per_product
        for a, b in zip(times["int8"], times["float32"], strict=True)
    ]

    def per_second(values: list[float]) -> float:
        return float(np.median(values)) / seconds * 1e3

    return FloorResult(
        macs,
        len(working_nodes(model)),
        per_second(times["graph"]),
        per_second(floor),
        per_second(times["layers"]),
        per_second(times["silero"]),
        ratio_of_pairs(times["graph"], floor),
        ratio_of_pairs(times["graph"], times["silero"]),
    )


def count_macs(model: ModelProto) -> Macs:
    """Products in convolutions and matrix products; int8 where the weight is dequantised.

    Raises:
        ValueError: a shape that is not fixed, so that the products cannot be counted.
    """
    shapes = _shapes(model)
    codes = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    integer = real = 0
    for node in working_nodes(model):
        if node.op_type not in SHARED:
            continue
        weight, output = shapes[node.input[1]], shapes[node.output[0]]
        inner = int(np.prod(weight[1:])) if node.op_type == "Conv" else weight[-2]
        products = int(np.prod(output)) * inner
        if node.input[1] in codes:
            integer += products
        else:
            real += products
    return Macs(integer, real)


def working_nodes(model: ModelProto) -> list[NodeProto]:
    """Nodes that a run has to do: those that depend on an input."""
    fed = {value.name for value in model.graph.input}
    found = []
    for node in model.graph.node:
        if any(name in fed for name in node.input):
            fed.update(node.output)
            found.append(node)
    return found


def _load(stream: bytes) -> ModelProto:
    try:
        import onnx  # noqa: PLC0415 - only this command needs it
    except ImportError:
        raise MissingDependencyError("onnx is missing: pip install 'acula-edge[export]'") from None
    return onnx.load_from_string(stream)


def _shapes(model: ModelProto) -> dict[str, list[int]]:
    from onnx import shape_inference  # noqa: PLC0415

    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {item.name: list(item.dims) for item in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        sizes = [size.dim_value for size in value.type.tensor_type.shape.dim]
        shapes.setdefault(value.name, sizes)
    for node in model.graph.node:
        if node.op_type in SHARED and not all(shapes.get(node.output[0], [0])):
            raise ValueError(f"{node.name!r} has no fixed output shape")
    return shapes


def _layers(model: ModelProto) -> bytes:
    """The int8 convolutions alone, each on an input of its own, channels last as runtimes want."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    shapes = _shapes(model)
    constants = {item.name: item for item in model.graph.initializer}
    made = {name: node for node in model.graph.node for name in node.output}
    scale = numpy_helper.from_array(np.array(0.05, np.float32), "scale")
    zero = numpy_helper.from_array(np.array(0, np.uint8), "zero")
    nodes, inputs, outputs, kept = [], [], [], [scale, zero]
    for index, node in enumerate(model.graph.node):
        pair = made.get(node.input[1]) if node.op_type == "Conv" else None
        if pair is None or pair.op_type != "DequantizeLinear":
            continue
        kept += [constants[name] for name in pair.input]
        x, y = f"x{index}", f"y{index}"
        sizes = {"x": shapes[node.input[0]], "y": shapes[node.output[0]]}
        inputs.append(_codes(x, sizes["x"]))
        outputs.append(_codes(y, sizes["y"]))
        conv = helper.make_node("Conv", [f"{x}.real", pair.output[0]], [f"{y}.real"])
        conv.attribute.extend(node.attribute)
        constant = ["scale", "zero"]
        nodes += [
            pair,
            helper.make_node("Transpose", [x], [f"{x}.turned"], perm=[0, 2, 1]),
            helper.make_node("DequantizeLinear", [f"{x}.turned", *constant], [f"{x}.real"]),
            conv,
            helper.make_node("QuantizeLinear", [f"{y}.real", *constant], [f"{y}.codes"]),
            helper.make_node("Transpose", [f"{y}.codes"], [y], perm=[0, 2, 1]),
        ]
    if not nodes:  # a float graph: nothing to run, but a graph needs a node
        inputs = [helper.make_tensor_value_info("x", TensorProto.UINT8, [1])]
        outputs = [helper.make_tensor_value_info("y", TensorProto.UINT8, [1])]
        nodes = [helper.make_node("Identity", ["x"], ["y"])]
    return _serialised(nodes, inputs, outputs, kept)


def _codes(name: str, sizes: list[int]) -> Any:
    from onnx import TensorProto, helper  # noqa: PLC0415

    batch, channels, length = sizes
    return helper.make_tensor_value_info(name, TensorProto.UINT8, [batch, length, channels])


def _product(*, integers: bool) -> bytes:
    """A square matrix product with constant right side, uint8 x 7-bit int8 or float32."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    random = np.random.default_rng(0)
    codes = random.integers(-64, 65, (SIZE, SIZE)).astype(np.int8 if integers else np.float32)
    kind, out = (TensorProto.UINT8, TensorProto.INT32) if integers else (TensorProto.FLOAT,) * 2
    node = helper.make_node("MatMulInteger" if integers else "MatMul", ["x", "w"], ["y"])
    x = helper.make_tensor_value_info("x", kind, [SIZE, SIZE])
    y = helper.make_tensor_value_info("y", out, [SIZE, SIZE])
    return _serialised([node], [x], [y], [numpy_helper.from_array(codes, "w")])


def _serialised(nodes: Any, inputs: Any, outputs: Any, constants: Any) -> bytes:
    from onnx import helper  # noqa: PLC0415

    graph = helper.make_graph(nodes, "floor", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    data: bytes = model.SerializeToString()
    return data


TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int32)": np.int32}
Buffers = dict[str, NDArray[Any]]


class _Bound:
    """A session with bound buffers, which it keeps alive: a binding holds only addresses."""

    def __init__(self, session: ort.InferenceSession, inputs: Buffers, outputs: Buffers):
        self._session = session
        self._kept = inputs, outputs
        self._binding = session.io_binding()
        for buffers, bind in (
            (inputs, self._binding.bind_input),
            (outputs, self._binding.bind_output),
        ):
            for name, array in buffers.items():
                bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)


def _zeros(values: Any) -> Buffers:
    return {value.name: np.zeros(value.shape, TYPES[value.type]) for value in values}


def _runner(graph: bytes) -> Callable[[], None]:
    """Run a graph on noise."""
    session = open_graph(graph)
    random = np.random.default_rng(0)
    inputs = _zeros(session.get_inputs())
    for array in inputs.values():
        array[...] = random.integers(0, 100, array.shape)
    return _Bound(session, inputs, _zeros(session.get_outputs())).run


def _stream_runner(graph: bytes) -> Callable[[], None]:
    """Run a stream graph on sound, its state carried in two buffers as the engine does."""
    session = open_graph(graph)
    inputs, outputs = _zeros(session.get_inputs()), _zeros(session.get_outputs())
    pcm, first, second = inputs["pcm"], inputs["state"], outputs["next_state"]
    noise = np.random.default_rng(0).standard_normal((64, *pcm.shape))
    sound = (0.1 * noise).astype(np.float32)
    turns = cycle(
        (
            _Bound(session, inputs, outputs),
            _Bound(session, {**inputs, "state": second}, {**outputs, "next_state": first}),
        )
    )
    hops = cycle(sound)

    def run() -> None:
        np.copyto(pcm, next(hops))
        next(turns).run()

    return run


def _repeat(run: Callable[[], None], count: int) -> Callable[[], float]:
    def measured() -> float:
        before = time.process_time()
        for _ in range(count):
            run()
        return time.process_time() - before

    return measured


def _silero(seconds: float) -> Callable[[], float]:
    peer = SileroStream()
    chunks = max(1, round(seconds * SILERO_RATE / CHUNK))
    sound = 0.01 * np.random.default_rng(0).standard_normal((chunks, CHUNK)).astype(np.float32)

    def measured() -> float:
        before = time.process_time()
        for chunk in sound:
            peer.push(chunk)
        return time.process_time() - before

    return measured
