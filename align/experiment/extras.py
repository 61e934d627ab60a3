"""What stands beside the controls table: baselines, origin probes, retrieval, zero-shot."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from align.corpora import Recording
from align.experiment.rows import Row
from align.objectives import debiased_cka
from align.objectives.cka import MINIMUM_ROWS
from align.objectives.ssl import UNKNOWN
from align.probe.baselines import metadata_baseline, origin_probe
from align.probe.embed import Embedded
from align.probe.language import Texts, embed_language, read_language
from align.probe.problem import ProbeError
from align.tasks import Task
from align.training.recipe import Recipe, TextConfig
from align.training.texts import NO_TEXT, teacher_config
from align.training.workspace import Workspace

WITH_PATIENTS = {"circor", "sprsound"}  # the corpora with folds of patients to map and to test on


def metadata_only(rows: Sequence[Recording], tasks: Sequence[Task]) -> dict[str, Any]:
    """AUROC of metadata alone, by task."""
    results = metadata_baseline(rows, tasks)
    return {result.scores.task.name: asdict(result.estimate) for result in results}


def origins(runs: Sequence[Embedded]) -> dict[str, float]:
    """How well embeddings tell the PhysioNet database and the corpus apart: accuracy over seeds."""
    found = {}
    for key in ("corpus", "database"):
        with suppress(ProbeError):  # too few recordings of an origin
            results = [origin_probe(run, key, resamples=1) for run in runs]
            found[key] = float(np.mean([result.accuracy.value for result in results]))
            found[f"{key}_chance"] = results[0].chance
    return found


def labels_in_texts(table: Sequence[Row], workspace: Workspace, seed: int) -> dict[str, Any]:
    """`labels_in_text` of each distinct text, under the first of `table`'s rows that has it."""
    told: list[TextConfig] = []
    found = {}
    for row in table:
        if row.recipe.text not in told:
            told.append(row.recipe.text)
            found[row.name] = labels_in_text(row.recipe, workspace, seed)
    return found


def labels_in_text(recipe: Recipe, workspace: Workspace, seed: int) -> dict[str, float]:
    """How much of the reports' geometry is the labels: their debiased CKA within each corpus.

    An encoder that follows the reports is led to the labels as far as this number, and for the rest
    to whatever else the reports tell.
    """
    material = workspace.material(recipe, seed)
    found = {}
    for corpus in recipe.corpora:
        own = [
            index
            for index in material.sampler.usable
            if workspace.store.rows[index].corpus == corpus.name
        ]
        rows = torch.tensor(own, device=workspace.device)
        labels, reports = material.labels[rows], material.texts.index[rows]
        known = (labels != UNKNOWN).any(dim=1) & (reports != NO_TEXT)
        if known.sum() >= MINIMUM_ROWS:
            text = material.texts.vectors[reports[known]]
            found[corpus.name] = float(debiased_cka(text, labels[known].clamp(min=0)))
    return found


def text_space(runs: Sequence[Embedded], tasks: Sequence[Task], texts: Texts) -> dict[str, float]:
    """Retrieval of test patients' template reports and zero-shot AUROC, over seeds.

    Every encoder gets the same linear map to the teacher's space: CKA leaves the two rotated.
    """
    found: dict[str, list[float]] = {}
    for run in runs:
        language = read_language(_by_corpus(run), tasks, texts, resamples=1)
        for recall in language.recalls:
            name = f"{recall.corpus} recall@{recall.top}"
            found.setdefault(name, []).append(recall.recall.value)
            found.setdefault(f"{name} chance", []).append(recall.chance)
            found.setdefault(f"{name} constant", []).append(recall.constant)
        for result in language.zero_shot:
            name = f"{result.scores.task.name} zero-shot AUROC"
            found.setdefault(name, []).append(result.estimate.value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def read_texts(
    rows: Sequence[Recording], tasks: Sequence[Task], recipe: Recipe, cache: Path
) -> Texts | None:
    """What `text_space` reads: template reports of `rows` and prompts, by the recipe's teacher.

    None where no corpus has patients.
    """
    spoken = [row for row in rows if row.corpus in WITH_PATIENTS]
    return embed_language(spoken, tasks, teacher_config(recipe), cache) if spoken else None


def _by_corpus(run: Embedded) -> list[Embedded]:
    """The recordings of each corpus that has patients."""
    parts = []
    for corpus in sorted(WITH_PATIENTS & {row.corpus for row in run.rows}):
        own = [index for index, row in enumerate(run.rows) if row.corpus == corpus]
        parts.append(Embedded(run.vectors[own], tuple(run.rows[index] for index in own)))
    return parts
