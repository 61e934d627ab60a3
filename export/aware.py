"""Quantisation-aware fine-tuning of a distilled student, taught by its own float self.

No label is needed: what the float student says of training crops is the target, so that int8 moves
back towards it and towards nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from export.data import Clip, crop_at
from export.qat import quantisation_aware
from export.recipe import Recipe
from export.student import Student, StudentOutput

BATCH = 16


def aware_student(student: Student, recipe: Recipe, clips: Sequence[Clip]) -> Student:
    """The student after `recipe.quantise.aware_steps` steps, batch norms folded.

    Raises:
        QuantiseError: a loss that is not finite, or a block that stayed float.
    """
    batches = _batches(student.eval(), recipe, clips)
    return quantisation_aware(student, batches, _distance).student


def _batches(
    student: Student, recipe: Recipe, clips: Sequence[Clip]
) -> Iterator[tuple[Tensor, StudentOutput]]:
    random = np.random.default_rng(recipe.training.seed)
    span = np.arange(recipe.training.crop)
    for _ in range(recipe.quantise.aware_steps):
        crops = []
        for index in random.integers(len(clips), size=BATCH):
            pcm = clips[index].pcm
            crops.append(crop_at(pcm, int(random.integers(len(pcm))) + span))
        batch = torch.from_numpy(np.stack(crops).astype(np.float32))
        with torch.no_grad():
            target = student(batch)
        yield batch, target


def _distance(output: StudentOutput, target: StudentOutput) -> Tensor:
    """Mean squared difference of every exported head."""
    distance = F.mse_loss(output.step_logits, target.step_logits)
    distance = distance + F.mse_loss(output.embedding, target.embedding)
    if output.phase_logits is not None and target.phase_logits is not None:
        distance = distance + F.mse_loss(output.phase_logits, target.phase_logits)
    return distance
