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
from align.objectives import debiased_cka
from align.objectives.cka import MINIMUM_ROWS
from align.probe.baselines import metadata_baseline, origin_probe
from align.probe.embed import Embedded
from align.probe.problem import ProbeError
from align.probe.retrieval import map_to_text, report_retrieval, zero_shot_task
from align.reports import texts_for
from align.tasks import Task
from align.teacher import embed_texts
from align.training.losses import UNKNOWN
from align.training.recipe import Recipe
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


def text_space(
    runs: Sequence[Embedded], recipe: Recipe, tasks: Sequence[Task], cache: Path
) -> dict[str, Any]:
    """Retrieval of test patients' template reports and zero-shot AUROC, over seeds.

    Every encoder gets the same linear map to the teacher's space, fitted on training patients'
    reports and chosen on validation patients': CKA leaves the two spaces rotated.
    """
    found: dict[str, list[float]] = {}
    for run in runs:
        for corpus in sorted(WITH_PATIENTS & {row.corpus for row in run.rows}):
            own = [index for index, row in enumerate(run.rows) if row.corpus == corpus]
            mine = [task for task in tasks if task.corpus == corpus]
            part = Embedded(run.vectors[own], tuple(run.rows[index] for index in own))
            for name, value in _one_corpus(part, corpus, recipe, mine, cache).items():
                found.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _one_corpus(
    embedded: Embedded, corpus: str, recipe: Recipe, tasks: Sequence[Task], cache: Path
) -> dict[str, float]:
    rows = embedded.rows
    reports = [report.text if report else corpus for report in texts_for(rows, "template")]
    config = teacher_config(recipe)
    table = embed_texts(reports, config, cache)
    text = table.gather(torch.arange(len(rows))).numpy()
    folds = np.asarray([row.split for row in rows])
    mapped = map_to_text(
        embedded.vectors, text, np.flatnonzero(folds == "train"), np.flatnonzero(folds == "val")
    )
    tested = np.flatnonzero(folds == "test")
    recalls = report_retrieval(
        [rows[index] for index in tested],
        [reports[index] for index in tested],
        mapped[tested],
        text[tested],
        resamples=1,
    )
    found = {}
    for recall in recalls:
        found[f"{corpus} recall@{recall.top}"] = recall.recall.value
        found[f"{corpus} recall@{recall.top} chance"] = recall.chance
        found[f"{corpus} recall@{recall.top} constant"] = recall.constant
    for task in tasks:
        if task.prompts:
            prompts = [embed_texts(list(one), config, cache) for one in task.prompts]
            vectors = [prompt.vectors.float().numpy() for prompt in prompts]
            result = zero_shot_task(task, rows, mapped, vectors, resamples=1)
            found[f"{task.name} zero-shot AUROC"] = result.estimate.value
    return found
