"""How well exams find their reports and answer prompts, in the space that the bundle ships."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from acula_edge.bundle import Passage
from align.corpora import Recording
from align.probe.language import Texts
from align.probe.retrieval import TOPS, report_retrieval, zero_shot_task
from align.probe.run import TaskResult
from align.probe.score import patient_rows, weighted_mean
from align.statistics import RESAMPLES
from align.tasks import Task
from export.figures import as_json
from export.text_space import (
    SOUND_CORPORA,
    TextSpaceError,
    TextSpaceFit,
    Vectors,
    heard_texts,
    unit,
)


def text_figures(
    rows: Sequence[Recording],
    embeddings: Vectors,
    texts: Texts,
    fit: TextSpaceFit,
    reports: Sequence[Passage],
    tasks: Sequence[Task],
    *,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Figures for a manifest's `metrics["text"]`, with 95 % patient-bootstrap intervals.

    `embeddings` (n, size) are those of exams (`Session.embedding`); a row with NaN stands for a
    recording without usable sound, which is counted as `unusable` and left out. By corpus:
    `retrieval` of a recording's own template report among the distinct ones of `rows`; `index`, how
    often the bundle's nearest reports hold exactly what the recording's report says of the sound.
    By task with prompts: `zero_shot` AUROC. `constant` always answers with the most frequent
    reports; for the index, with the first ones that any tested recording has.

    Raises:
        TextSpaceError: another number of embeddings than recordings, or none is usable.
        ProbeError: a task's recordings lack a class.
    """
    if len(rows) != len(embeddings):
        raise TextSpaceError(f"{len(embeddings)} embeddings for {len(rows)} recordings")
    usable = np.asarray(np.isfinite(embeddings).all(axis=1))
    if not usable.any():
        raise TextSpaceError("no recording has an embedding: text figures need usable sound")
    heard = [row for row, ok in zip(rows, usable, strict=True) if ok]
    places = embeddings[usable]
    corpora = {row.corpus for row in heard}
    own = [task for task in tasks if task.prompts and task.corpus in corpora]
    return {
        "unusable": int((~usable).sum()),
        "kept_variance": round(fit.kept, 4),
        "retrieval": _retrieval(heard, places, texts, fit, resamples),
        "index": _index(heard, places, reports, resamples),
        "zero_shot": {
            task.name: _zero_shot(task, heard, places, texts, fit, resamples) for task in own
        },
    }


def _retrieval(
    rows: list[Recording], places: Vectors, texts: Texts, fit: TextSpaceFit, resamples: int
) -> dict[str, Any]:
    reports = texts.reports_of(rows)
    own = fit.project(texts.of(reports))
    found: dict[str, Any] = {}
    for one in report_retrieval(rows, reports, places, own, resamples=resamples):
        entry = found.setdefault(one.corpus, {"recordings": one.recordings, "reports": one.reports})
        entry[f"recall@{one.top}"] = as_json(one.recall)
        entry[f"chance@{one.top}"] = round(one.chance, 4)
        entry[f"constant@{one.top}"] = round(one.constant, 4)
    return found


def _index(
    rows: list[Recording], places: Vectors, reports: Sequence[Passage], resamples: int
) -> dict[str, Any]:
    told = [i for i, row in enumerate(rows) if row.corpus in SOUND_CORPORA and row.labels]
    if not told or not reports:
        return {}
    wanted = heard_texts([rows[i] for i in told])
    vectors = unit(np.asarray([report.vector for report in reports], np.float32))
    order = np.argsort(-(unit(places[told]) @ vectors.T), axis=1, kind="stable")
    names = [report.text for report in reports]
    found: dict[str, Any] = {}
    for corpus in sorted({rows[i].corpus for i in told}):
        mine = [k for k, i in enumerate(told) if rows[i].corpus == corpus]
        weights = patient_rows([rows[told[k]] for k in mine], resamples)
        known = {wanted[k] for k in mine} & set(names)
        frequent = [name for name in names if name in known]
        entry: dict[str, Any] = {"recordings": len(mine), "reports": len(names)}
        entry["in_index"] = sum(wanted[k] in known for k in mine)
        for top in TOPS:
            hits = np.asarray([wanted[k] in {names[j] for j in order[k, :top]} for k in mine])
            constant = sum(wanted[k] in frequent[:top] for k in mine) / len(mine)
            entry[f"recall@{top}"] = as_json(weighted_mean(hits.astype(np.float64), weights))
            entry[f"constant@{top}"] = round(constant, 4)
        found[corpus] = entry
    return found


def _zero_shot(
    task: Task,
    rows: list[Recording],
    places: Vectors,
    texts: Texts,
    fit: TextSpaceFit,
    resamples: int,
) -> dict[str, Any]:
    prompts = [fit.project(texts.of(list(own))) for own in task.prompts]
    result = zero_shot_task(task, rows, places, prompts, resamples=resamples)
    return {
        "prompts": [list(own) for own in task.prompts],
        "recordings": len(result.scores.rows),
        "patients": len({row.patient for row in result.scores.rows}),
        "by_class": _by_class(result),
        "auroc": as_json(result.estimate),
    }


def _by_class(result: TaskResult) -> list[int]:
    counts = Counter(int(value) for value in result.scores.truth)
    return [counts[number] for number in range(result.scores.task.class_count)]
