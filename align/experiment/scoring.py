"""A trained encoder's embeddings and probe scores, kept beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from align.corpora import Recording
from align.encoders import Encoder
from align.probe.embed import Embedded, embed_waves
from align.probe.run import FITS, score_task
from align.probe.score import TaskScores, stack_seeds
from align.tasks import Task
from align.training.workspace import Workspace

BY_DATABASE = "leave-one-database-out"
EMBEDDINGS = "embeddings.safetensors"
SCORES = "scores.json"


def embed_run(
    encoder: Encoder, workspace: Workspace, tasks: Sequence[Task], folder: Path
) -> Embedded:
    """Embeddings of every recording that a task uses, from `folder` if they are there already."""
    store = workspace.store
    wanted = [
        index
        for index, row in enumerate(store.rows)
        if any(task.truth(row) is not None for task in tasks)
    ]
    kept = tuple(store.rows[index] for index in wanted)
    path = folder / EMBEDDINGS
    if path.is_file():
        vectors = load_file(path)["vectors"].astype(np.float32)
        if len(vectors) == len(kept):
            return Embedded(vectors, kept)
    waves = [store.wave(index) for index in wanted]
    vectors = embed_waves(encoder.to(workspace.device), waves)
    save_file({"vectors": vectors.astype(np.float16)}, path)
    return Embedded(vectors.astype(np.float16).astype(np.float32), kept)


def score_run(
    embedded: Embedded, tasks: Sequence[Task], holdout: str, folder: Path
) -> list[TaskScores]:
    """Scores of each task's test recordings; of PhysioNet, of the database never trained on."""
    scores = []
    for task in tasks:
        found = score_task(embedded, task, FITS["ridge"])
        if task.split == BY_DATABASE:
            found = _only(found, holdout)
        scores.append(found)
    record = {
        one.task.name: {
            "recordings": [row.name for row in one.rows],
            "groups": list(one.groups),
            "scores": [round(float(value), 5) for value in one.scores[0, :, 0]],
        }
        for one in scores
    }
    (folder / SCORES).write_text(json.dumps(record) + "\n")
    return scores


def join_seeds(runs: Sequence[list[TaskScores]]) -> list[TaskScores]:
    """Scores of several seeds as one: seeds side by side, held-out databases end to end."""
    return [
        _end_to_end(parts) if parts[0].task.split == BY_DATABASE else stack_seeds(parts)
        for parts in zip(*runs, strict=True)
    ]


def _end_to_end(parts: Sequence[TaskScores]) -> TaskScores:
    return replace(
        parts[0],
        rows=tuple(row for part in parts for row in part.rows),
        groups=tuple(group for part in parts for group in part.groups),
        truth=np.concatenate([part.truth for part in parts]),
        scores=np.concatenate([part.scores for part in parts], axis=1),
    )


def _only(scores: TaskScores, group: str) -> TaskScores:
    own = [index for index, name in enumerate(scores.groups) if name == group]
    return replace(
        scores,
        rows=tuple(scores.rows[index] for index in own),
        groups=tuple(scores.groups[index] for index in own),
        truth=scores.truth[own],
        scores=scores.scores[:, own],
    )


def read_scores(folder: Path, tasks: Sequence[Task], rows: Sequence[Recording]) -> list[TaskScores]:
    """What `score_run` left in `folder`; `rows` hold the recordings that it names."""
    record = json.loads((folder / SCORES).read_text())
    scores = []
    for task in tasks:
        saved = record[task.name]
        known = {row.name: row for row in rows if row.corpus == task.corpus}
        mine = tuple(known[name] for name in saved["recordings"])
        truth = np.asarray([task.truth(row) for row in mine], dtype=np.float64)
        values = np.asarray(saved["scores"], dtype=np.float64)[None, :, None]
        scores.append(TaskScores(task, mine, tuple(saved["groups"]), truth, values))
    return scores
