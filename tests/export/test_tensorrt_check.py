"""The static check names each node that TensorRT's parser refuses, and nothing else."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from acula_edge.bundle import load_bundle
from export.tensorrt import TensorRTError, check_graph


def tensor(name, value, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(value, dtype), name)


def quantised_model():
    """A convolution as TensorRT wants it: int8, symmetric, per-channel weights, float bias."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x.scale", "x.zero"], ["x.q"], "x.quantise"),
        helper.make_node("DequantizeLinear", ["x.q", "x.scale", "x.zero"], ["x.dq"], "x.back"),
        helper.make_node(
            "DequantizeLinear", ["w", "w.scale", "w.zero"], ["w.dq"], "w.back", axis=0
        ),
        helper.make_node("Conv", ["x.dq", "w.dq", "bias"], ["conv"], "conv"),
        helper.make_node("Unsqueeze", ["conv", "axes"], ["y"], "unsqueeze"),
    ]
    constants = [
        tensor("x.scale", 0.1),
        tensor("x.zero", 0, np.int8),
        tensor("w", np.ones((2, 3, 1)), np.int8),
        tensor("w.scale", [0.1, 0.2]),
        tensor("w.zero", [0, 0], np.int8),
        tensor("bias", [0.0, 1.0]),
        tensor("axes", [0], np.int64),
    ]
    graph = helper.make_graph(
        nodes,
        "quantised",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 2, 8])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def replace(model, name, value, dtype):
    for index, item in enumerate(model.graph.initializer):
        if item.name == name:
            model.graph.initializer[index].CopyFrom(tensor(name, value, dtype))


def node(model, name):
    return next(node for node in model.graph.node if node.name == name)


def test_a_graph_quantised_for_tensorrt_passes():
    model = quantised_model()
    onnx.checker.check_model(model, full_check=True)
    assert check_graph(model) == []


def unsigned(model):
    replace(model, "x.zero", 0, np.uint8)


def shifted(model):
    replace(model, "w.zero", [0, -3], np.int8)


def integer_bias(model):
    replace(model, "bias", [0, 1], np.int32)
    model.graph.initializer.append(tensor("bias.scale", 0.1))
    back = helper.make_node("DequantizeLinear", ["bias", "bias.scale"], ["bias.dq"], "bias.back")
    model.graph.node.insert(0, back)
    node(model, "conv").input[2] = "bias.dq"


def no_zero_point(model):
    del node(model, "x.quantise").input[2]


def negative_scale(model):
    replace(model, "w.scale", [0.1, -0.2], np.float32)


def too_new(model):
    model.opset_import[0].version = 26


def growing(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"


def foreign(model):
    node(model, "conv").domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def unknown(model):
    node(model, "unsqueeze").op_type = "MelWeightMatrix"


def computed_axes(model):
    replace(model, "axes", [1], np.int64)
    last = helper.make_node("Abs", ["axes"], ["axes.abs"], "abs")
    model.graph.node.insert(0, last)
    node(model, "unsqueeze").input[1] = "axes.abs"


def double(model):
    model.graph.initializer.append(tensor("one", 1.0, np.float64))
    model.graph.node.append(helper.make_node("Sin", ["one"], ["sine"], "sine"))


def small_integers(model):
    model.graph.initializer.append(tensor("one", 1, np.int16))
    model.graph.node.append(helper.make_node("Add", ["one", "one"], ["two"], "add"))


@pytest.mark.parametrize(
    ("edit", "named", "reason", "blocking"),
    [
        (unsigned, "x.quantise", "uint8 codes", True),
        (shifted, "w.back", "zero point -3", True),
        (integer_bias, "bias.back", "int32 codes", True),
        (no_zero_point, "x.quantise", "uint8 codes", True),
        (negative_scale, "w.back", "scales must be greater", True),
        (too_new, "opset", "opset 9 to 24", True),
        (growing, "x", "not fixed", True),
        (foreign, "conv", "com.microsoft", True),
        (unknown, "unsqueeze", "no such operator", True),
        (computed_axes, "unsqueeze", "'axes.abs' must be a constant", True),
        (double, "sine", "cut down to float", False),
        (small_integers, "add", "int16", True),
    ],
)
def test_each_fault_is_named_with_its_node(edit, named, reason, blocking):
    model = quantised_model()
    edit(model)
    problems = [problem for problem in check_graph(model) if problem.node == named]
    assert [problem.blocking for problem in problems] == [blocking]
    assert reason in problems[0].reason
    assert str(problems[0]).startswith(named)


def test_the_shipped_float_graph_fits():
    shipped = load_bundle("heart-lung")
    assert check_graph(onnx.load_from_string(shipped.graph("fp32"))) == []


def test_the_shipped_cpu_graph_is_refused_for_its_codes_and_nothing_else():
    model = onnx.load_from_string(load_bundle("heart-lung").graph("cpu-int8"))
    problems = check_graph(model)
    # A transpose between quantise and dequantise carries the codes, so it is named with them.
    carriers = {"QuantizeLinear", "DequantizeLinear", "Transpose"}
    quantised = {n.name for n in model.graph.node if n.op_type in carriers}
    assert {"QuantizeLinear", "DequantizeLinear"} <= {p.op for p in problems} <= carriers
    assert {p.node for p in problems} <= quantised
    for part in ("uint8 codes", "int32 codes", "zero point"):
        assert any(part in p.reason for p in problems), part


def test_a_graph_that_contradicts_itself_is_one_sentence():
    model = quantised_model()
    node(model, "conv").domain = "com.microsoft"
    with pytest.raises(TensorRTError, match=r"not a sound graph.*com\.microsoft"):
        check_graph(model)


def test_nodes_inside_a_branch_are_checked():
    inner = helper.make_graph(
        [helper.make_node("Unique", ["x"], ["u"], "inside")],
        "then",
        [],
        [helper.make_tensor_value_info("u", TensorProto.FLOAT, None)],
    )
    model = quantised_model()
    model.graph.initializer.append(tensor("yes", True, np.bool_))
    model.graph.node.append(
        helper.make_node("If", ["yes"], ["z"], "if", then_branch=inner, else_branch=inner)
    )
    assert [p.node for p in check_graph(model)] == ["inside", "inside"]
