"""Quantisation-aware fine-tuning through PT2E, written out by the usual exporter."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_student import CONFIG, make_sound, make_student, run_stream
from torch.nn.functional import mse_loss

from export.onnx_graphs import export_stream
from export.onnx_parts import folded
from export.qat import _features, _ranges, converted, prepare, quantisation_aware
from export.quantise import CPU, QuantiseError, measure_scales, quantise

SMALL = replace(CONFIG, blocks=CONFIG.blocks[1:], window=768 * 6)
COARSE = replace(CPU, weight_limit=3)


@pytest.fixture(scope="module")
def student():
    return make_student(SMALL)


@pytest.fixture(scope="module")
def pcm():
    return torch.from_numpy(make_sound(4, SMALL.window))


@pytest.fixture(scope="module")
def teacher(student, pcm):
    with torch.no_grad():
        return student(pcm).step_logits


def streamed(model, pcm):
    return np.concatenate([run_stream(model, clip)["step_scores"] for clip in pcm.numpy()])


def follow(output, target):
    return mse_loss(output.step_logits, target)


def test_training_brings_a_coarse_graph_nearer_to_its_teacher(student, pcm, teacher):
    before = {name: value.clone() for name, value in student.state_dict().items()}
    tuned = quantisation_aware(
        student, [(pcm, teacher)] * 20, follow, flavour=COARSE, learning_rate=1e-3
    )
    assert len(tuned.losses) == 20
    assert tuned.losses[-1] < 0.5 * tuned.losses[0]

    def error(model, ranges):
        scores = streamed(quantise(export_stream(model), ranges, COARSE), pcm)
        return np.square(scores - teacher.numpy()).mean()

    measured = measure_scales(student, [pcm])
    assert error(tuned.student, tuned.ranges) < 0.6 * error(student, measured)
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())


def test_the_exported_graph_is_the_one_trained(student, pcm):
    """PT2E's int8 module and our ONNX differ by single code flips, not in kind."""
    base = folded(student)
    features = _features(base, pcm)
    prepared = prepare(base, features, CPU)
    prepared(features)
    with torch.no_grad():
        theirs = converted(prepared, len(SMALL.blocks))(features)[1].numpy()
        exact = student(pcm).step_logits.numpy()
    ranges = _ranges(prepared, measure_scales(student, [pcm]))
    ours = streamed(quantise(export_stream(student), ranges, CPU), pcm)
    assert np.abs(theirs - exact).mean() > 0
    assert np.abs(ours - theirs).mean() < 0.5 * np.abs(theirs - exact).mean()


def test_training_that_cannot_be_is_refused(student, pcm, teacher):
    with pytest.raises(QuantiseError, match="at least one batch"):
        quantisation_aware(student, [], follow)
    with pytest.raises(QuantiseError, match="loss of step 0 is nan"):
        quantisation_aware(student, [(pcm, teacher)], lambda o, t: follow(o, t) * float("nan"))
    with pytest.raises(QuantiseError, match="one shape"):
        quantisation_aware(
            student, [(pcm, pcm), (pcm[:2], pcm)], lambda o, _: o.step_logits.square().mean()
        )
