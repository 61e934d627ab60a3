"""Quantisation-aware fine-tuning keeps to the float student."""

from dataclasses import replace

import numpy as np
import torch
from tiny_recipe import tiny_recipe

from align.corpora import Recording
from export.aware import aware_student
from export.data import Clip
from export.recipe import Quantisation
from export.student import Student


def clips(count=6, seconds=9):
    random = np.random.default_rng(0)
    rows = []
    for index in range(count):
        pcm = (0.1 * random.standard_normal(4000 * seconds)).astype(np.float32)
        row = Recording(
            corpus="circor",
            name=str(index),
            path=None,
            patient=str(index),
            device="",
            site="heart",
            split="train",
            labels={},
        )
        rows.append(Clip(row, pcm, np.zeros((3, 1), np.int8), np.zeros(1, np.int8)))
    return rows


def test_a_few_steps_move_the_weights_and_hardly_the_answers():
    recipe = tiny_recipe(student={"text": 3})
    recipe = replace(recipe, quantise=Quantisation(aware_steps=4))
    torch.manual_seed(0)
    student = Student(recipe.student).eval()
    tuned = aware_student(student, recipe, clips())
    pcm = torch.from_numpy(clips(1)[0].pcm[: 768 * 10])[None]
    with torch.no_grad():
        before, after = student(pcm), tuned(pcm)
    moved = (tuned.findings.weight - student.findings.weight).abs().max()
    assert 0 < float(moved) < 1e-2
    torch.testing.assert_close(after.hop_logits, before.hop_logits, atol=0.05, rtol=0)
