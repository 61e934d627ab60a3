"""What every ONNX export of a student shares: versions, output names, folded batch norms."""

from __future__ import annotations

import copy

from torch import nn

from export.recipe import StudentConfig
from export.student import Student

OPSET = 20
IR_VERSION = 10


def window_outputs(config: StudentConfig) -> list[str]:
    """Names of the window graph's outputs, in order; the stream graph adds `next_state`."""
    return ["scores", "step_scores", *(["phases"] if config.phases else []), "embedding"]


def folded(student: Student) -> Student:
    """A copy in evaluation mode with every batch norm folded into its convolution."""
    student = copy.deepcopy(student).eval()
    for block in student.causal_blocks():
        if isinstance(block.norm, nn.BatchNorm1d):
            block.conv = nn.utils.fuse_conv_bn_eval(block.conv, block.norm)
            block.norm = nn.Identity()
    return student
