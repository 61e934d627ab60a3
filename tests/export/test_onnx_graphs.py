"""The graphs are the student's function: hand-written stream, exported stream, window."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from tiny_student import CONFIG, graph_of, make_sound, make_student, run_stream, run_window

from export.graph_writer import GraphWriter, fixed, sine_table
from export.onnx_graphs import OPSET, export_stream
from export.onnx_parts import IR_VERSION
from export.quantise import measure_scales, quantise
from export.recipe import Block, FrontEnd
from export.stream_graph import GraphError

# A history longer than the hop's frames, one as long, none at all, and frames of other lengths.
SHAPES = {
    "default": CONFIG,
    "text": replace(CONFIG, text=5, phases=False),
    "no short frames": replace(CONFIG, front_end=FrontEnd(bands=24)),
    "long histories": replace(CONFIG, blocks=(Block(3, dilation=8), Block(3, dilation=6))),
    "no history": replace(CONFIG, blocks=(Block(2, stride=2), Block(1), Block(3))),
    "first block alone": replace(CONFIG, blocks=(Block(3),)),
    "other frames": replace(
        CONFIG, front_end=FrontEnd(frame=320, frame_hop=32, bands=24, short_frame=48, low_hz=50)
    ),
    "decays differ": replace(CONFIG, front_end=FrontEnd(bands=24, level_seconds=1.0)),
}


def expected(student, pcm):
    with torch.no_grad():
        out = student(torch.from_numpy(pcm))
    named = {
        "scores": out.hop_logits,
        "step_scores": out.step_logits,
        "phases": out.phase_logits,
        "embedding": out.embedding,
    }
    return {name: value.numpy() for name, value in named.items() if value is not None}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_stream_graph_is_the_student(shape):
    student, pcm = make_student(SHAPES[shape]), make_sound(1)
    streamed = run_stream(export_stream(student), pcm[0])
    wanted = expected(student, pcm)
    assert list(streamed) == list(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(streamed[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


def test_the_exported_graphs_are_the_student_too():
    student, pcm = make_student(), make_sound(2)
    wanted = expected(student, pcm)
    windowed = run_window(graph_of("window"), pcm)
    plain = run_stream(graph_of("plain"), pcm[0])
    for name, value in wanted.items():
        np.testing.assert_allclose(windowed[name], value, rtol=1e-4, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(plain[name], value[:1], rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("kind", ["stream", "plain"])
def test_digital_silence_is_a_number_and_leaves_no_trace(kind):
    """An exporter that drops the power floor as a zero makes log 0, and NaN stays for good."""
    student = make_student()
    silence = np.zeros(3 * CONFIG.hop, np.float32)
    pcm = np.concatenate([silence, make_sound(1)[0], silence])
    out = run_stream(graph_of(kind), pcm)
    assert all(np.isfinite(value).all() for value in out.values())
    for name, value in expected(student, pcm[None]).items():
        np.testing.assert_allclose(out[name], value, rtol=1e-3, atol=1e-3, err_msg=name)


def test_windows_of_digital_silence_are_numbers():
    out = run_window(graph_of("window"), np.zeros((1, CONFIG.window), np.float32))
    assert all(np.isfinite(value).all() for value in out.values())


def test_the_hand_written_graph_runs_in_two_thirds_of_the_nodes(tmp_path):
    """Counted after ONNX Runtime's own optimiser, in int8: what a hop really executes."""
    ranges = measure_scales(make_student(), [torch.from_numpy(make_sound())])
    counts = {}
    for kind in ("stream", "plain"):
        path = tmp_path / f"{kind}.onnx"
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        model = quantise(graph_of(kind), ranges).SerializeToString()
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        counts[kind] = len(onnx.load(path).graph.node)
    assert counts["stream"] < 0.75 * counts["plain"]


@pytest.mark.parametrize("kind", ["stream", "plain", "window"])
def test_versions_are_stated_and_names_are_those_the_quantiser_knows(kind):
    model = graph_of(kind)
    assert model.ir_version == IR_VERSION
    assert {item.domain: item.version for item in model.opset_import} == {"": OPSET}
    onnx.checker.check_model(model, full_check=True)
    names = {item.name for item in model.graph.initializer}
    wanted = {f"student.blocks.{i}.conv.{part}" for i in range(4) for part in ("weight", "bias")}
    assert wanted | {"student.findings.weight", "student.phases.weight"} <= names


@pytest.mark.parametrize("bins_first", [True, False])
def test_stored_sines_are_the_nearest_floats(bins_first):
    writer, bins = GraphWriter(), np.array([1, 2, 31, 127])
    sine_table(writer, bins, 200, 256, bins_first=bins_first, to="table")
    shape = (8, 200) if bins_first else (200, 8)
    graph = onnx.helper.make_graph(
        writer.nodes, "table", [], [fixed("table", shape)], writer.constants
    )
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    table = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=opsets)).run(None, {})[0]
    angle = 2 * np.pi * bins[:, None] * np.arange(200) / 256
    exact = np.concatenate([np.cos(angle), np.sin(angle)])
    exact = exact if bins_first else exact.reshape(2, 4, 200).reshape(8, 200).T
    np.testing.assert_allclose(table, exact, atol=6e-8, rtol=0)


@pytest.mark.parametrize(
    "config", [replace(CONFIG, blocks=()), replace(CONFIG, front_end=FrontEnd(frame=255))]
)
def test_a_student_of_another_shape_is_refused(config):
    student = make_student()
    student.config = config
    with pytest.raises(GraphError, match="even frame length"):
        export_stream(student)
