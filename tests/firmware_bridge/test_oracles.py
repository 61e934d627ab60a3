"""The reference against implementations by others: an ONNX-to-C compiler, TFLM and LiteRT."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcu_bundle import MCU_INT8, mcu_bundle, mcu_pcm

from acula_edge.bundle import Bundle
from firmware_bridge.arithmetic import ROUNDINGS, fixed_point, mean, scaled
from firmware_bridge.emit.tflite import output_scales, tflite_bytes
from firmware_bridge.front_end import LogMel
from firmware_bridge.model import Head, Int8s, McuModel, Scale, read_model
from firmware_bridge.network import Network, linear

HOPS = 60
NARROW = 16


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return mcu_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> McuModel:
    return read_model(bundle)


@pytest.fixture(scope="module")
def features(model: McuModel) -> Int8s:
    return LogMel(model.front_end).push(mcu_pcm(HOPS, seed=2))


# --- emx-onnx-cgen compiles the trunk to C: an oracle for the float rounding ---


@dataclass(frozen=True)
class Trunk:
    """The trunk of a stream graph as a graph of its own: features and histories in, logits out."""

    graph: Any
    features: str
    histories: tuple[str, str]


def trunk_of(bundle: Bundle) -> Trunk:
    import onnx

    whole = onnx.load_from_string(bundle.graph(MCU_INT8, "stream"))
    makers = {name: node for node in whole.graph.node for name in node.output}
    features = makers[makers["block0.in.q"].input[0]].input[1]
    split = next(node for node in whole.graph.node if "state" in node.input)
    histories = split.output[-2], split.output[-1]
    mean = makers["text.in.q"].input[0]
    outputs = ["step_scores", "phases", mean, *makers["next_state"].input[-2:]]
    shaped = onnx.shape_inference.infer_shapes(whole)
    part = onnx.utils.Extractor(shaped).extract_model([features, *histories], outputs)
    return Trunk(part, features, histories)


def with_integer_operators(trunk: Trunk, folder: Path) -> Any:
    """Each Q/DQ group as one integer operator, by ONNX Runtime's optimiser; nothing is run."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.optimized_model_filepath = str(folder / "fused.onnx")
    data = trunk.graph.SerializeToString()
    onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    fused = onnx.load(folder / "fused.onnx")
    kinds = [node.op_type for node in fused.graph.node]
    assert kinds.count("QLinearConv") == 8 and kinds.count("QLinearAdd") == 6
    return with_shapes(fused)


def with_shapes(fused: Any) -> Any:
    """ONNX cannot infer QLinearAdd's shapes, so they come from a copy with plain additions."""
    import onnx

    plain = onnx.ModelProto()
    plain.CopyFrom(fused)
    for node in plain.graph.node:
        if node.op_type == "QLinearAdd":
            terms = node.input[0], node.input[3]
            node.op_type, node.domain = "Add", ""
            del node.input[:]
            node.input.extend(terms)
    shaped = onnx.shape_inference.infer_shapes(plain, strict_mode=True)
    del fused.graph.value_info[:]
    fused.graph.value_info.extend(shaped.graph.value_info)
    return fused


class CompiledTrunk:
    """The C of another compiler, loaded and streamed hop by hop from zero state."""

    def __init__(self, trunk: Trunk, model: McuModel, folder: Path):
        import onnx

        fused = with_integer_operators(trunk, folder)
        onnx.save(fused, folder / "trunk.onnx")
        limits = ["--large-weight-threshold", "0", "--large-temp-threshold", "0"]
        code = [sys.executable, "-m", "emx_onnx_cgen", "compile", "trunk.onnx", "trunk.c"]
        subprocess.run([*code, *limits], cwd=folder, check=True, capture_output=True)
        build = ["gcc", "-O0", "-ffp-contract=off", "-shared", "-fPIC", "trunk.c", "-lm"]
        subprocess.run([*build, "-o", "trunk.so"], cwd=folder, check=True, capture_output=True)
        self._library = ctypes.CDLL(str(folder / "trunk.so"))
        self._inputs = [value.name for value in fused.graph.input]
        self._outputs = [
            (value.name, [each.dim_value for each in value.type.tensor_type.shape.dim])
            for value in fused.graph.output
        ]
        self._trunk, self._model = trunk, model
        first = model.blocks[0]
        rest = sum(block.history for block in model.blocks[1:]) * model.width
        sizes = (first.history * first.inputs, rest)
        self._histories = [np.zeros((1, size), np.float32) for size in sizes]

    def push(self, codes: Int8s) -> list[np.ndarray]:
        scale = self._model.blocks[0].source
        real = (codes.astype(np.float32) - scale.zero) * np.float32(scale.scale)
        given = dict(zip(self._trunk.histories, self._histories, strict=True))
        given[self._trunk.features] = real[None]
        found = {name: np.zeros(shape, np.float32) for name, shape in self._outputs}
        arrays = [np.ascontiguousarray(given[name]) for name in self._inputs] + list(found.values())
        self._library.model(*(array.ctypes.data_as(ctypes.c_void_p) for array in arrays))
        self._histories = [found[name] for name, _ in self._outputs[-2:]]
        return list(found.values())


def test_the_float_rounding_is_what_another_compilers_c_gives(tmp_path: Path) -> None:
    pytest.importorskip("emx_onnx_cgen", reason="pip install emx-onnx-cgen")
    if shutil.which("gcc") is None:
        pytest.skip("apt-get install gcc")
    bundle = mcu_bundle(tmp_path, NARROW)
    model = read_model(bundle)
    other, network = CompiledTrunk(trunk_of(bundle), model, tmp_path), Network(model, "float")
    source = model.findings.source
    assert model.phases is not None
    for hop in np.split(LogMel(model.front_end).push(mcu_pcm(HOPS, seed=2)), HOPS):
        steps, phases, mean_of_hop, *_ = other.push(hop)
        codes = network.trunk(hop)[-1]
        # Its heads and its mean are float, so last bits differ; one wrong code changes far more.
        close = {"rtol": 1e-5, "atol": 1e-5}
        np.testing.assert_allclose(linear(model.findings, codes), steps[0], **close)
        np.testing.assert_allclose(linear(model.phases, codes), phases[0], **close)
        real = source.scale * (codes.astype(np.float64) - source.zero)
        np.testing.assert_allclose(real.mean(axis=0), mean_of_hop[0, :, 0], **close)


# --- TFLM and LiteRT run the .tflite: oracles for the double rounding ---


def expected(model: McuModel, features: Int8s) -> list[np.ndarray]:
    """Codes of the .tflite's outputs by the reference's arithmetic, double rounding."""
    scales, network = output_scales(model, features), Network(model, "double")
    trunk = [network.trunk(hop)[-1] for hop in np.split(features, HOPS)]
    steps = np.concatenate(trunk)
    pooled = np.stack([pooled_codes(each) for each in trunk])
    assert model.phases is not None and model.text is not None
    return [
        head_codes(model.findings, steps, scales["findings"]),
        head_codes(model.phases, steps, scales["phases"]),
        head_codes(model.text, pooled, scales["text"]),
    ]


def head_codes(head: Head, codes: Int8s, scale: Scale) -> np.ndarray:
    acc = (codes.astype(np.int64) - head.source.zero) @ head.weight.T.astype(np.int64) + head.bias
    columns = []
    for index, weight_scale in enumerate(head.weight_scale.astype(np.float64)):
        factor = fixed_point(head.source.scale * weight_scale / scale.scale)
        columns.append(scaled(acc[:, index], factor, "double") + scale.zero)
    return np.clip(np.stack(columns, axis=-1), -128, 127)


def pooled_codes(codes: Int8s) -> Int8s:
    """TFLite's average pooling: the mean of the codes themselves, ties away from code 0."""
    return mean(codes, 0, "double")


def test_tflm_gives_the_codes_of_the_double_rounding(model: McuModel, features: Int8s) -> None:
    tflite_micro = pytest.importorskip("tflite_micro", reason="pip install tflite-micro")
    data = tflite_bytes(model, features, HOPS)
    interpreter = tflite_micro.runtime.Interpreter.from_bytes(data, arena_size=2**20)
    interpreter.set_input(features[None, None], 0)
    interpreter.invoke()
    for index, wanted in enumerate(expected(model, features)):
        np.testing.assert_array_equal(interpreter.get_output(index)[0, 0], wanted)


def test_litert_gives_the_codes_of_the_double_rounding_in_every_block(
    model: McuModel, features: Int8s
) -> None:
    pytest.importorskip("tflite_micro", reason="pip install tflite-micro")
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="pip install ai-edge-litert")
    interpreter = litert.Interpreter(
        model_content=tflite_bytes(model, features, HOPS),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], features[None, None])
    interpreter.invoke()
    tensors = {each["name"]: each["index"] for each in interpreter.get_tensor_details()}
    network = Network(model, "double")
    hops = [network.trunk(hop) for hop in np.split(features, HOPS)]
    for index, block in enumerate(model.blocks):
        name = f"block{index}/{'sum' if block.residual else 'relu'}"
        wanted = np.concatenate([blocks[index] for blocks in hops])
        np.testing.assert_array_equal(interpreter.get_tensor(tensors[name])[0, 0], wanted)


def test_the_roundings_do_differ_so_that_the_oracles_tell_them_apart(
    model: McuModel, features: Int8s
) -> None:
    trunks = {}
    for rounding in ROUNDINGS:
        network = Network(model, rounding)
        trunks[rounding] = np.stack([network.trunk(hop)[-1] for hop in np.split(features, HOPS)])
    assert (trunks["double"] != trunks["float"]).mean() > 0.01
    assert (trunks["double"] != trunks["single"]).mean() > 0.01
