"""Streaming is the same function as the long pass, in torch and in ONNX, float and int8."""

import numpy as np
import onnxruntime as ort
import pytest
import torch

from export.onnx_graphs import export_stream, export_window, with_contract
from export.quantise import QuantiseError, Scale, measure_scales, quantise
from export.recipe import Block, FrontEnd, StudentConfig
from export.student import Student

CONFIG = StudentConfig(
    findings=("murmur", "wheeze"),
    front_end=FrontEnd(short_frame=64, bands=24),
    window=768 * 10,
    width=16,
    blocks=(Block(3), Block(4, stride=2), Block(3, dilation=4)),
)


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    model = Student(CONFIG)
    with torch.no_grad():  # batch norms and heads of a trained net are not the identity
        for block in model.blocks:
            block.norm.running_mean.uniform_(-0.3, 0.3)
            block.norm.running_var.uniform_(0.5, 2.0)
    return model.eval()


@pytest.fixture(scope="module")
def pcm():
    random = np.random.default_rng(0)
    return (0.1 * random.standard_normal((2, CONFIG.window))).astype(np.float32)


def session(model):
    return ort.InferenceSession(with_contract(model, "{}"), providers=["CPUExecutionProvider"])


def stream(graph, pcm, state_size):
    state, scores, embeddings = np.zeros((1, state_size), np.float32), [], []
    for hop in pcm.reshape(-1, CONFIG.hop):
        out = graph.run(None, {"pcm": hop[None], "state": state})
        scores.append(out[0][0])
        embeddings.append(out[2][0])
        state = out[3]
    return np.stack(scores, 1), np.stack(embeddings, 1)


def test_torch_stream_equals_long_pass(student, pcm):
    with torch.no_grad():
        whole = student(torch.from_numpy(pcm))
        state, parts = None, []
        for hop in torch.from_numpy(pcm).split(CONFIG.hop, dim=1):
            out = student(hop, state)
            state = out.state
            parts.append(out.hop_logits)
    torch.testing.assert_close(torch.cat(parts, 2), whole.hop_logits, atol=2e-5, rtol=0)


def test_the_student_is_causal(student, pcm):
    later = pcm.copy()
    later[:, 5 * CONFIG.hop :] = 0.0
    with torch.no_grad():
        a = student(torch.from_numpy(pcm)).hop_logits[:, :, :5]
        b = student(torch.from_numpy(later)).hop_logits[:, :, :5]
    torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_onnx_graphs_equal_torch(student, pcm):
    window = session(export_window(student)).run(None, {"pcm": pcm})
    scores, embedding = stream(session(export_stream(student)), pcm[0], student.state_size)
    with torch.no_grad():
        expected = student(torch.from_numpy(pcm))
    np.testing.assert_allclose(window[0], expected.hop_logits.numpy(), atol=1e-3)
    np.testing.assert_allclose(scores, window[0][0], atol=1e-4)
    np.testing.assert_allclose(embedding, window[2][0], atol=1e-4)


def test_the_stream_graph_has_fixed_shapes_and_no_stored_sines(student):
    model = export_stream(student)
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes["pcm"] == [1, CONFIG.hop]
    assert shapes["state"] == shapes["next_state"] == [1, student.state_size]
    assert shapes["scores"] == [1, 2]
    assert "student.front_end.long.rows" not in {item.name for item in model.graph.initializer}


def test_int8_stream_equals_int8_window_and_stays_near_float(student, pcm):
    scales = measure_scales(student, [torch.from_numpy(pcm)])
    quantised = quantise(export_stream(student), scales)
    window = session(quantise(export_window(student), scales)).run(None, {"pcm": pcm})
    scores, _ = stream(session(quantised), pcm[0], student.state_size)
    np.testing.assert_allclose(scores, window[0][0], atol=0.02)
    with torch.no_grad():
        expected = student(torch.from_numpy(pcm)).hop_logits[0].numpy()
    assert 0 < np.abs(scores - expected).max() < 0.15


def test_calibration_refuses_nan_and_nothing(student):
    with pytest.raises(QuantiseError, match="NaN"):
        measure_scales(student, [torch.full((1, CONFIG.hop), float("nan"))])
    with pytest.raises(QuantiseError, match="at least one"):
        measure_scales(student, [])


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.0, 2.0), (0.5, 2.0)])
def test_a_scale_covers_its_range_and_holds_zero(low, high):
    scale = Scale.covering(low, high)
    reach = [(code - scale.zero_point) * scale.scale for code in (0, 255)]
    assert reach[0] <= min(low, 0.0) + scale.scale
    assert reach[1] >= high - scale.scale
    assert 0 <= scale.zero_point <= 255
