"""A student small enough for tests, with weights that are not the identity's."""

from functools import cache

import numpy as np
import onnxruntime as ort
import torch

from export.onnx_graphs import export_plain_stream, export_stream, export_window
from export.recipe import Block, FrontEnd, StudentConfig
from export.student import Student

CONFIG = StudentConfig(
    findings=("murmur", "wheeze"),
    phases=True,
    front_end=FrontEnd(short_frame=64, bands=24),
    window=768 * 10,
    width=16,
    blocks=(Block(3), Block(3), Block(4, stride=2), Block(3, dilation=4)),
)


def make_student(config=CONFIG, seed=0):
    torch.manual_seed(seed)
    student = Student(config).eval()
    with torch.no_grad():
        for block in student.causal_blocks():
            block.norm.running_mean.uniform_(-0.3, 0.3)
            block.norm.running_var.uniform_(0.05, 0.5)
            block.norm.bias.uniform_(-0.2, 0.2)
        student.findings.weight.mul_(3)
    return student


@cache
def graph_of(kind, config=CONFIG):
    """The "stream", "plain" or "window" graph of `make_student(config)`; not to be changed."""
    export = {"stream": export_stream, "plain": export_plain_stream, "window": export_window}
    return export[kind](make_student(config))


def make_sound(batch=2, samples=CONFIG.window, seed=0):
    """Noise whose level rises twentyfold and falls again."""
    swell = 0.02 + 0.2 * np.sin(np.linspace(0, np.pi, samples)) ** 2
    noise = np.random.default_rng(seed).standard_normal((batch, samples))
    return (swell * noise).astype(np.float32)


def run_window(model, pcm):
    """Outputs of a window graph by name."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {"pcm": pcm}), strict=True))


def run_stream(model, pcm):
    """Outputs of a stream graph over (n,) samples, joined as the window graph has them."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    hop = session.get_inputs()[0].shape[1]
    state = np.zeros(session.get_inputs()[1].shape, np.float32)
    names = [value.name for value in session.get_outputs()]
    parts = {name: [] for name in names if name != "next_state"}
    for start in range(0, len(pcm), hop):
        feeds = {"pcm": pcm[None, start : start + hop], "state": state}
        out = dict(zip(names, session.run(names, feeds), strict=True))
        state = out.pop("next_state")
        for name, value in out.items():
            parts[name].append(value if value.ndim == 3 else value[:, :, None])
    return {name: np.concatenate(values, axis=2) for name, values in parts.items()}
