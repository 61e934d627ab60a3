"""The .tflite as a file: its operators, types, scales, alignment, and that it is causal."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from mcu_bundle import mcu_bundle, mcu_pcm

from acula_edge.errors import MissingDependencyError, UsageError
from firmware_bridge.emit.tflite import output_scales, tflite_bytes
from firmware_bridge.emit.tflite_writer import ALIGNMENT
from firmware_bridge.front_end import LogMel
from firmware_bridge.model import Int8s, McuModel, read_model
from firmware_bridge.network import Network

HOPS = 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> McuModel:
    return read_model(mcu_bundle(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(scope="module")
def features(model: McuModel) -> Int8s:
    return LogMel(model.front_end).push(mcu_pcm(HOPS, seed=2))


@pytest.fixture(scope="module")
def schema() -> Any:
    pytest.importorskip("tflite_micro", reason="pip install tflite-micro")
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated

    return schema_py_generated


@pytest.fixture(scope="module")
def data(schema: Any, model: McuModel, features: Int8s) -> bytes:
    return tflite_bytes(model, features, HOPS)


def outputs(data: bytes, codes: Int8s) -> list[np.ndarray]:
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(data, arena_size=2**20)
    interpreter.set_input(codes[None, None], 0)
    interpreter.invoke()
    return [interpreter.get_output(index)[0, 0] for index in range(3)]


def test_it_holds_the_trunk_in_integer_operators_alone(schema: Any, data: bytes) -> None:
    assert data[4:8] == b"TFL3"
    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    names = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    kinds = [
        names[graph.operatorCodes[op.opcodeIndex].builtinCode]
        for op in graph.subgraphs[0].operators
    ]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "PAD": 8,
        "CONV_2D": 11,
        "ADD": 6,
        "AVERAGE_POOL_2D": 1,
    }
    types = {tensor.type for tensor in graph.subgraphs[0].tensors}
    assert types == {schema.TensorType.INT8, schema.TensorType.INT32}


def test_the_file_says_which_model_it_is(schema: Any, data: bytes, model: McuModel) -> None:
    description = schema.Model.GetRootAsModel(data, 0).Description().decode()
    assert model.sha256 in description and model.version in description


def test_constants_lie_where_strict_cpus_can_load_them(schema: Any, data: bytes) -> None:
    graph = schema.Model.GetRootAsModel(data, 0)
    checked = 0
    for index in range(graph.BuffersLength()):
        buffer = graph.Buffers(index)
        if buffer.DataLength():
            start = buffer._tab.Vector(buffer._tab.Offset(4))
            assert start % ALIGNMENT == 0
            checked += 1
    assert checked == 8 + 2 * 11  # paddings, weights, biases


def test_outputs_are_the_logits_in_steps_of_their_scales(
    data: bytes, model: McuModel, features: Int8s
) -> None:
    network = Network(model, "double")
    hops = [network.push(hop) for hop in np.split(features, HOPS)]
    scales = output_scales(model, features)
    wanted = {
        "findings": np.concatenate([hop.steps.T for hop in hops]),
        "phases": np.concatenate([hop.phases.T for hop in hops]),
    }
    for name, codes in zip(wanted, outputs(data, features), strict=False):
        scale = scales[name]
        real = (codes.astype(np.float64) - scale.zero) * scale.scale
        # rounding twice may go a little beyond half a step
        assert np.abs(real - wanted[name]).max() <= 0.52 * scale.scale
        assert codes.min() <= -120 and codes.max() >= 119  # the 8 bits are used


def test_it_is_causal_and_starts_from_zero_state(
    data: bytes, model: McuModel, features: Int8s
) -> None:
    changed = features.copy()
    half = HOPS // 2
    changed[half * model.frames :] = -77
    first, second = outputs(data, features), outputs(data, changed)
    steps = half * model.steps
    assert np.array_equal(first[0][:steps], second[0][:steps])
    assert np.array_equal(first[2][:half], second[2][:half])
    assert not np.array_equal(first[0][steps:], second[0][steps:])


def test_the_window_is_the_bundles_unless_told(
    schema: Any, model: McuModel, features: Int8s
) -> None:
    graph = schema.Model.GetRootAsModel(tflite_bytes(model, features), 0).Subgraphs(0)
    frames = model.manifest.hops_per_window * model.frames
    assert graph.Tensors(graph.Inputs(0)).ShapeAsNumpy().tolist() == [1, 1, frames, 96]


def test_the_same_model_gives_the_same_bytes(data: bytes, model: McuModel, features: Int8s) -> None:
    assert tflite_bytes(model, features, HOPS) == data


def test_too_little_to_calibrate_on_is_refused(model: McuModel, features: Int8s) -> None:
    with pytest.raises(UsageError, match="one hop"):
        tflite_bytes(model, features[: model.frames - 1])
    with pytest.raises(UsageError, match="one hop"):
        tflite_bytes(model, features, 0)


def test_without_the_schema_one_sentence_says_what_to_install(
    model: McuModel, features: Int8s, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "tflite_micro.tensorflow.lite.micro.python.schema_py_generated"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match="pip install tflite-micro"):
        tflite_bytes(model, features)
