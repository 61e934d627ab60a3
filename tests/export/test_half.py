"""Half-precision storage changes no number that the graph computes."""

import numpy as np
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from onnx.onnx_pb import TensorProto
from tiny_recipe import tiny_recipe

from export.half import WORTHWHILE, half_stored, with_half_weights
from export.onnx_graphs import export_stream, with_contract
from export.student import Student


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    return with_half_weights(Student(tiny_recipe(student={"width": 48}).student).eval())


def run(model, student):
    session = ort.InferenceSession(with_contract(model, "{}"), providers=["CPUExecutionProvider"])
    pcm = np.random.default_rng(0).standard_normal((1, student.config.hop)).astype(np.float32)
    return session.run(None, {"pcm": 0.1 * pcm, "state": student.zero_state(1).numpy()})


def test_weights_survive_and_the_graph_shrinks(student):
    plain = export_stream(student)
    stored = half_stored(plain)
    for a, b in zip(run(plain, student), run(stored, student), strict=True):
        np.testing.assert_array_equal(a, b)
    assert stored.ByteSize() < 0.75 * plain.ByteSize()
    large = [
        item
        for item in stored.graph.initializer
        if item.name.startswith("student.blocks") and numpy_helper.to_array(item).size >= WORTHWHILE
    ]
    assert large
    assert all(item.data_type == TensorProto.FLOAT16 for item in large)


def test_what_half_precision_cannot_hold_stays(student):
    model = export_stream(student)
    weight = next(w for w in model.graph.initializer if w.name.startswith("student.blocks.1"))
    value = numpy_helper.to_array(weight) * np.float32(1 + 2**-15)
    weight.CopyFrom(numpy_helper.from_array(value, weight.name))
    kept = {item.name: item.data_type for item in half_stored(model).graph.initializer}
    assert kept[weight.name] == TensorProto.FLOAT


def test_rounding_is_the_only_change_to_the_student():
    torch.manual_seed(0)
    student = Student(tiny_recipe().student).eval()
    rounded = with_half_weights(student)
    pcm = 0.1 * torch.randn(1, 768 * 10)
    with torch.no_grad():
        before, after = student(pcm), rounded(pcm)
    torch.testing.assert_close(before.hop_logits, after.hop_logits, atol=5e-3, rtol=0)
    for block in rounded.causal_blocks():
        assert torch.equal(block.conv.weight, block.conv.weight.half().float())
