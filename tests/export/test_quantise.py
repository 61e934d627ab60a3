"""Int8 graphs: what each flavour asks for, the same function twice, and ORT's own form."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from tiny_student import CONFIG, graph_of, make_sound, make_student, run_stream, run_window

from export.quantise import (
    CPU,
    MCU,
    TENSORRT,
    QuantiseError,
    Range,
    Scale,
    check_quantised,
    measure_scales,
    quantise,
)

FLAVOURS = {"cpu": CPU, "tensorrt": TENSORRT, "mcu": MCU}
BLOCKS = len(CONFIG.blocks)


@pytest.fixture(scope="module")
def student():
    return make_student()


@pytest.fixture(scope="module")
def ranges(student):
    return measure_scales(student, [torch.from_numpy(make_sound(4))])


@pytest.fixture(scope="module")
def graphs():
    return {kind: graph_of(kind) for kind in ("stream", "plain", "window")}


def constants(model):
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


def of(model, kind):
    return [node for node in model.graph.node if node.op_type == kind]


@pytest.mark.parametrize("name", FLAVOURS)
def test_all_three_graphs_stay_one_function_near_the_float_one(name, graphs, ranges):
    flavour, pcm = FLAVOURS[name], make_sound(1)
    quantised = {key: quantise(model, ranges, flavour) for key, model in graphs.items()}
    window = run_window(quantised["window"], pcm)["step_scores"]
    exact = run_window(graphs["window"], pcm)["step_scores"]
    noise = float(np.std(window - exact))
    assert 0 < noise < 0.05 * float(np.std(exact))
    for key in ("stream", "plain"):
        streamed = run_stream(quantised[key], pcm[0])["step_scores"]
        # float rounding before a quantiser turns into single code flips, no more
        assert np.abs(streamed - window).mean() < 0.3 * noise
        assert np.abs(streamed - window).max() < 6 * noise


@pytest.mark.parametrize("name", FLAVOURS)
@pytest.mark.parametrize("key", ["stream", "window"])
def test_a_flavour_has_its_types(name, key, graphs, ranges):
    flavour = FLAVOURS[name]
    model = quantise(graphs[key], ranges, flavour)
    values = constants(model)
    weights = [value for name, value in values.items() if name.endswith("weight.codes")]
    assert len(weights) == BLOCKS + 2 * flavour.whole_trunk
    assert all(value.dtype == np.int8 for value in weights)
    assert {int(np.abs(value.astype(int)).max()) for value in weights} == {flavour.weight_limit}
    zeros = [values[node.input[2]] for node in of(model, "QuantizeLinear")]
    assert {zero.dtype for zero in zeros} == {np.dtype("uint8" if name == "cpu" else "int8")}
    assert any(zero != 0 for zero in zeros) == (name != "tensorrt")
    codes = [values.get(node.input[0]) for node in of(model, "DequantizeLinear")]
    biases = [code for code in codes if code is not None and code.dtype == np.int32]
    assert len(biases) == (0 if name == "tensorrt" else len(weights))
    # the front end and the carried state stay float: no code leaves the graph or enters it
    kinds = {v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)}
    assert kinds == {onnx.TensorProto.FLOAT}


def test_the_microcontroller_flavour_rounds_residual_sums_once_and_keeps_head_sums(graphs, ranges):
    model = quantise(graphs["window"], ranges, MCU)
    users = {name: node for node in model.graph.node for name in node.input}
    sums = [node for node in of(model, "QuantizeLinear") if ".sum" in node.name]
    residual = sum(block.stride == 1 for block in CONFIG.blocks[1:])
    assert len(sums) == residual
    for head in ("step_scores", "phases"):  # 32-bit sums become logits without 8-bit rounding
        users_of = users.get(head)
        assert users_of is None or users_of.op_type != "QuantizeLinear"


class Clips(CalibrationDataReader):
    def __init__(self, pcm):
        self.batches = iter([{"pcm": pcm}])

    def get_next(self):
        return next(self.batches, None)


def test_the_cpu_flavour_has_the_form_of_onnx_runtimes_static_quantiser(
    student, graphs, ranges, tmp_path
):
    pcm, window = make_sound(4), graphs["window"]
    trunk = [node.name for node in of(window, "Conv") if node.input[1].startswith("student.blocks")]
    path = tmp_path / "window.onnx"
    onnx.save(window, path)
    quantize_static(
        path,
        tmp_path / "theirs.onnx",
        Clips(pcm),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Relu"],
        nodes_to_quantize=trunk + [node.name for node in of(window, "Relu")],
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
    )
    theirs = onnx.load(tmp_path / "theirs.onnx")
    ours = quantise(window, ranges, CPU)
    for index in range(BLOCKS):
        a, b = _convolution(ours, index), _convolution(theirs, index)
        assert a["types"] == b["types"] == ("uint8", "int8", "int32")
        assert a["axis"] == b["axis"] == 0
        np.testing.assert_array_equal(a["codes"], b["codes"])
        np.testing.assert_allclose(a["scale"], b["scale"], rtol=1e-6)
        np.testing.assert_allclose(a["input scale"], b["input scale"], rtol=0.25)
    got = run_window(ours, pcm)["step_scores"]
    want = run_window(theirs, pcm)["step_scores"]
    exact = run_window(window, pcm)["step_scores"]
    assert np.std(got - exact) < 1.5 * np.std(want - exact)


def _convolution(model, index):
    """Types, axis, codes and scales of the `index`-th quantised convolution."""
    values = constants(model)
    made = {name: node for node in model.graph.node for name in node.output}
    convs = [node for node in of(model, "Conv") if _dequantised(made, node.input[1])]
    conv = convs[index]
    pairs = [made[name] for name in conv.input]
    x, weight, _ = pairs
    return {
        "types": tuple(str(values[pair.input[2]].dtype) for pair in pairs),
        "axis": next(item.i for item in weight.attribute if item.name == "axis"),
        "codes": values[weight.input[0]],
        "scale": values[weight.input[1]],
        "input scale": values[x.input[1]],
    }


def _dequantised(made, name):
    return name in made and made[name].op_type == "DequantizeLinear"


def test_a_block_kept_float_is_left_alone(graphs, ranges):
    model = quantise(graphs["stream"], ranges, CPU, keep_float=[1])
    assert "student.blocks.1.conv.weight" in constants(model)
    assert len(of(model, "QuantizeLinear")) == 2 * (BLOCKS - 1)
    with pytest.raises(QuantiseError, match="block 9; the trunk has 4"):
        quantise(graphs["stream"], ranges, CPU, keep_float=[9])


def test_a_graph_without_the_block_is_refused(ranges, graphs):
    wider = replace(ranges, inputs=ranges.inputs * 2, outputs=ranges.outputs * 2)
    with pytest.raises(QuantiseError, match=r"student\.blocks\.4\.conv\.weight"):
        quantise(graphs["stream"], wider)


def _zero_point(model):
    _set(model, "block1.in.zero", np.asarray(7, np.int8))


def _unsigned(model):
    _set(model, "block1.in.zero", np.asarray(0, np.uint8))


def _wide_weight(model):
    codes = np.array(constants(model)["block2.weight.codes"])
    codes[0, 0, 0] = -128
    _set(model, "block2.weight.codes", codes)


def _one_scale(model):
    _set(model, "block2.weight.scale", np.ones(1, np.float32))


def _float_conv(model):
    conv = next(node for node in of(model, "Conv") if node.input[1] == "block0.weight.dq")
    pair = next(node for node in model.graph.node if conv.input[0] in node.output)
    source = next(node for node in model.graph.node if pair.input[0] in node.output)
    conv.input[0] = source.input[0]


def _old_opset(model):
    model.opset_import[0].version = 19


def _set(model, name, value):
    for item in model.graph.initializer:
        if item.name == name:
            item.CopyFrom(numpy_helper.from_array(value, name))
            return
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_zero_point, r"block1\.in\.q.*zero point must be 0, and is 7"),
        (_unsigned, r"block1\.in\.q.*codes are uint8, which the tensorrt flavour does not take"),
        (_wide_weight, r"block2\.weight\.dq.*up to 127"),
        (_one_scale, r"block2\.weight\.dq.*one scale per output channel"),
        (_float_conv, "stayed float"),
        (_old_opset, "opsets"),
    ],
)
def test_a_damaged_graph_is_refused_by_name(damage, message, graphs, ranges):
    model = quantise(graphs["window"], ranges, TENSORRT)
    damage(model)
    with pytest.raises(QuantiseError, match=message):
        check_quantised(model, BLOCKS, TENSORRT)


def test_a_graph_that_stayed_float_and_one_of_another_flavour_are_refused(graphs, ranges):
    with pytest.raises(QuantiseError, match="stayed float"):
        check_quantised(graphs["window"], BLOCKS, CPU)
    cpu = quantise(graphs["window"], ranges, CPU)
    with pytest.raises(QuantiseError, match="zero point must be 0"):
        check_quantised(cpu, BLOCKS, TENSORRT)
    with pytest.raises(QuantiseError, match="was to stay float"):
        check_quantised(cpu, BLOCKS, CPU, keep_float=[0])


def test_calibration_refuses_nan_and_nothing(student):
    with pytest.raises(QuantiseError, match="NaN"):
        measure_scales(student, [torch.full((1, CONFIG.hop), float("nan"))])
    with pytest.raises(QuantiseError, match="at least one"):
        measure_scales(student, [])


def test_one_loud_clip_among_many_is_not_cut_off(student):
    quiet = [torch.from_numpy(0.02 * make_sound(1, seed=i)) for i in range(5)]
    loud = torch.from_numpy(make_sound(1, seed=9))
    alone = measure_scales(student, [loud]).last.high
    assert measure_scales(student, [*quiet, loud, *quiet]).last.high >= alone


@pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=FLAVOURS)
@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.0, 2.0), (0.5, 2.0), (-2.0, -1.0)])
def test_a_scale_covers_its_range_and_holds_zero(low, high, flavour):
    scale = Range(low, high).scale(flavour)
    reach = [(code - scale.zero_point) * scale.scale for code in (flavour.low, flavour.high)]
    assert reach[0] <= min(low, 0.0) + 0.51 * scale.scale
    assert reach[1] >= high - 0.51 * scale.scale
    assert flavour.low <= scale.zero_point <= flavour.high
    assert scale == Scale.covering(low, high, flavour)
