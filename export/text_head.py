"""The student's text head: a linear map from its trunk to the text space, fitted after distilling.

The trunk learned the aligned encoder's space; what is left is a linear map, and that has a closed
form. A recording's embedding is the mean over its hops, so the map is fitted on those means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from acula_edge.bundle import Passage, TextSpace
from align.corpora import Recording, read_corpus
from align.probe.language import Texts, embed_language
from align.settings import RecipeError
from align.tasks import Task, load_tasks
from align.teacher import TeacherConfig
from export.data import load_clips
from export.distill import trunk_means
from export.recipe import Recipe
from export.student import Student
from export.text_space import (
    SOUND_CORPORA,
    TextSpaceFit,
    fit_reports,
    reference_passage,
    report_index,
    text_files,
    training_targets,
    unit,
)

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # per recording; chosen on validation patients
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Language:
    """Reports of a recipe's recordings in the teacher's space, and the student's part of it."""

    teacher: TeacherConfig
    cache: Path
    rows: tuple[Recording, ...]  # every labelled recording of the corpora whose reports name sounds
    tasks: tuple[Task, ...]
    texts: Texts
    fit: TextSpaceFit

    def of_split(self, split: str) -> list[Recording]:
        """The recordings of `train`, `val` or `test`."""
        return [row for row in self.rows if row.split == split]

    @cached_property
    def reports(self) -> tuple[Passage, ...]:
        """The bundle's report index: training recordings alone."""
        return report_index(self.of_split("train"), self.texts, self.fit)

    def files(self) -> tuple[TextSpace, dict[str, bytes]]:
        """The manifest's entry and the files of the text space."""
        reference = reference_passage(self.fit, self.teacher, self.cache)
        return text_files(self.fit, self.teacher, self.reports, reference)


def read_texts(recipe: Recipe, data_root: Path, cache: Path) -> Language:
    """Embed the reports of the recipe's recordings and fit the text space on training ones.

    Raises:
        RecipeError: no corpus of the recipe has reports that name sounds.
        TeacherError: the language model cannot be had.
        TextSpaceError: the reports span fewer dimensions than the recipe wants.
    """
    corpora = [name for name in recipe.training.corpora if name in SOUND_CORPORA]
    if not corpora:
        raise RecipeError(f"[student] text needs one of the corpora {', '.join(SOUND_CORPORA)}")
    rows = tuple(r for name in corpora for r in read_corpus(name, data_root) if r.labels)
    tasks = tuple(t for t in load_tasks().values() if t.corpus in corpora and t.prompts)
    teacher = TeacherConfig(model=recipe.text_teacher)
    texts = embed_language(rows, tasks, teacher, cache)
    fit = fit_reports([r for r in rows if r.split == "train"], texts, recipe.student.text)
    return Language(teacher, cache, rows, tasks, texts, fit)


def fit_text_head(student: Student, recipe: Recipe, language: Language) -> dict[str, Any]:
    """Set the student's text head from training recordings; returns how it was chosen.

    The penalty of the ridge is the one whose map has the highest mean cosine to the targets of the
    validation patients.
    """
    assert student.text is not None
    (x, y), (val_x, val_y) = (
        _pairs(student, recipe, language, language.of_split(split)) for split in ("train", "val")
    )
    best, chosen, penalty = -np.inf, None, 0.0
    for candidate in PENALTIES:
        model = Ridge(alpha=candidate * len(x)).fit(x, y)
        reached = float((unit(model.predict(val_x).astype(np.float32)) * val_y).sum(axis=1).mean())
        if reached > best:
            best, chosen, penalty = reached, model, candidate
    assert chosen is not None
    with torch.no_grad():
        student.text.weight.copy_(torch.from_numpy(chosen.coef_).float()[:, :, None])
        assert student.text.bias is not None
        student.text.bias.copy_(torch.from_numpy(np.asarray(chosen.intercept_)).float())
    return {"penalty": penalty, "validation_cosine": round(best, 4)}


def _pairs(
    student: Student, recipe: Recipe, language: Language, rows: Sequence[Recording]
) -> tuple[Floats, Floats]:
    """Trunk means (n, width) and targets (n, size) of recordings."""
    clips = load_clips(rows, recipe.student.front_end.rate, recipe.student.targets)
    kept = [clip.recording for clip in clips]
    targets = training_targets(kept, language.texts, language.fit)
    return (
        trunk_means(student, clips),
        np.stack([targets[row.corpus, row.name] for row in kept]),
    )
