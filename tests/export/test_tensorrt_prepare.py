"""What TensorRT is given computes what the bundle computes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from acula_edge.bundle import load_bundle
from acula_edge.engine import StreamEngine
from export.tensorrt import TensorRTError, check_graph, prepare
from export.tensorrt.prepare import fold_constants


@pytest.fixture(scope="module")
def shipped():
    return load_bundle("heart-lung")


def hops(shipped):
    return np.frombuffer(shipped.golden_input(), "<f4").reshape(-1, shipped.manifest.hop)


def golden(shipped):
    return np.array(shipped.manifest.golden.scores["fp32"])


def scores(shipped, graph):
    manifest = shipped.manifest
    engine = StreamEngine(
        graph,
        hop=manifest.hop,
        state_size=manifest.variant("fp32").state_size,
        findings=len(manifest.findings),
        phases=len(manifest.phases),
        embedding=manifest.embedding,
    )
    return np.array([engine.run(hop).scores.copy() for hop in hops(shipped)])


def types(model):
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    found = {t.name: t.data_type for t in graph.initializer}
    values = (*graph.input, *graph.value_info, *graph.output)
    return found | {v.name: v.type.tensor_type.elem_type for v in values}


def test_folding_computes_the_sines_and_changes_no_score(shipped):
    graph = shipped.graph("fp32")
    folded = prepare(graph, "fp32")
    onnx.checker.check_model(folded, full_check=True)
    assert len(folded.graph.node) < len(onnx.load_from_string(graph).graph.node)
    assert not {n.op_type for n in folded.graph.node} & {"Sin", "Cos", "Mod"}
    constants = {item.name for item in folded.graph.initializer}
    convolutions = [n for n in folded.graph.node if n.op_type == "Conv"]
    assert all(node.input[1] in constants for node in convolutions)
    data = folded.SerializeToString()
    np.testing.assert_array_equal(scores(shipped, data), scores(shipped, graph))


def test_folding_leaves_quantised_weights_alone(shipped):
    model = onnx.load_from_string(shipped.graph("cpu-int8"))
    before = sum(node.op_type.endswith("Linear") for node in model.graph.node)
    after = fold_constants(model).graph.node
    assert sum(node.op_type.endswith("Linear") for node in after) == before > 0


def test_folding_keeps_an_output_that_is_constant():
    from onnx import helper

    nodes = [helper.make_node("Add", ["two", "two"], ["y"], "add")]
    graph = helper.make_graph(
        nodes,
        "constant",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(np.array([2.0], np.float32), "two")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    folded = fold_constants(model).graph
    assert numpy_helper.to_array(folded.initializer[0]) == 4.0


def test_half_keeps_the_front_end_the_state_and_the_contract_in_float32(shipped):
    model = prepare(shipped.graph("fp32"), "fp16")
    kinds = types(model)
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT, value.name
    weights = {item.name for item in model.graph.initializer}
    halved = {name for name in weights if kinds[name] == TensorProto.FLOAT16}
    blocks = {name for name in weights if name.startswith("student.blocks.")}
    assert blocks <= halved
    assert not any("front_end" in name for name in halved)
    for node in model.graph.node:
        if node.op_type == "Log":
            assert kinds[node.input[0]] == TensorProto.FLOAT
        if blocks.intersection(node.input):
            assert {kinds[name] for name in node.input} == {TensorProto.FLOAT16}
    assert check_graph(model) == []


def test_half_agrees_with_float_in_onnx_runtime(shipped):
    ours = scores(shipped, prepare(shipped.graph("fp32"), "fp16").SerializeToString())
    worst = np.abs(ours - golden(shipped)).max()
    assert 0 < worst < shipped.manifest.parity.golden_tolerance


def test_half_agrees_with_float_when_every_step_is_rounded(shipped):
    """ONNX Runtime computes much of float16 in float32 on CPUs; the reference rounds each step."""
    evaluator = ReferenceEvaluator(prepare(shipped.graph("fp32"), "fp16"))
    state = np.zeros((1, shipped.manifest.variant("fp32").state_size), np.float32)
    rows = []
    for hop in hops(shipped):
        row, state = evaluator.run(["scores", "next_state"], {"pcm": hop[None], "state": state})
        assert state.dtype == np.float32
        rows.append(row[0])
    worst = np.abs(np.array(rows) - golden(shipped)).max()
    assert 0 < worst < shipped.manifest.parity.golden_tolerance


@pytest.mark.parametrize(
    ("variant", "precision", "reason"),
    [
        ("fp32", "int8", "no Q/DQ nodes"),
        ("cpu-int8", "fp16", "choose int8"),
        ("fp32", "bf16", "choose fp32, fp16, int8"),
    ],
)
def test_a_precision_that_does_not_fit_is_refused(shipped, variant, precision, reason):
    with pytest.raises(TensorRTError, match=reason):
        prepare(shipped.graph(variant), precision)


def test_a_weight_too_large_for_half_is_named(shipped):
    model = onnx.load_from_string(shipped.graph("fp32"))
    name = "student.blocks.3.conv.bias"
    for item in model.graph.initializer:
        if item.name == name:
            value = numpy_helper.to_array(item).copy()
            value[0] = 1e5
            item.CopyFrom(numpy_helper.from_array(value, name))
    with pytest.raises(TensorRTError, match=name):
        prepare(model.SerializeToString(), "fp16")


def test_a_graph_without_a_trunk_cannot_be_halved(shipped):
    model = onnx.load_from_string(shipped.graph("fp32"))
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = name.replace("student.blocks.", "net.")
    for item in model.graph.initializer:
        item.name = item.name.replace("student.blocks.", "net.")
    with pytest.raises(TensorRTError, match="nothing to halve"):
        prepare(model.SerializeToString(), "fp16")


def test_half_leaves_the_front_ends_state_bit_for_bit(shipped):
    """Running means and overlap are carried for minutes: they must not pass through float16."""
    import onnxruntime as ort

    state = np.zeros((1, shipped.manifest.variant("fp32").state_size), np.float32)
    pcm = hops(shipped)[:1]
    results = []
    for precision in ("fp32", "fp16"):
        session = ort.InferenceSession(
            prepare(shipped.graph("fp32"), precision).SerializeToString()
        )
        results.append(session.run(["next_state"], {"pcm": pcm, "state": state})[0][0])
    spec = shipped.manifest.front_end
    overlap, means = spec["frame"] - spec["frame_hop"], spec["bands"] + spec["short_bands"]
    front_end = overlap + means  # at least so many values, in this order, before the trunk's
    np.testing.assert_array_equal(results[0][:front_end], results[1][:front_end])
    assert not np.array_equal(results[0], results[1])
