"""From sound to text: retrieval of reports, and classification by prompts nobody trained on.

All vectors of recordings and texts are in one space; encoders whose objective leaves the two spaces
rotated against each other (CKA) come there by `map_to_text`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from align.corpora.recording import Recording
from align.probe.linear import ridge_path
from align.probe.problem import Floats, Indices, ProbeError, members
from align.probe.run import TaskResult, result_of
from align.probe.score import TaskScores, patient_rows, weighted_mean
from align.statistics import RESAMPLES, Estimate
from align.tasks import Task

Vectors = NDArray[np.float32]
TOPS = (1, 5, 10)


@dataclass(frozen=True)
class Recall:
    """How often a recording's own report is among the `top` nearest of its corpus.

    `chance` is a random order of the `reports` distinct ones; `constant` always answers with the
    most frequent ones, which is what a model that hears nothing can reach.
    """

    corpus: str
    top: int
    recordings: int
    reports: int
    recall: Estimate
    chance: float
    constant: float


def report_retrieval(
    rows: Sequence[Recording],
    reports: Sequence[str],
    audio: Vectors,
    text: Vectors,
    *,
    tops: Sequence[int] = TOPS,
    resamples: int = RESAMPLES,
) -> list[Recall]:
    """Recall by cosine similarity within each corpus, with patient-bootstrap intervals.

    Row i of `audio` (n, k) is recording i, row i of `text` (n, k) its report `reports[i]`. Equal
    reports are one candidate, so that finding another recording's equal report is a hit; candidates
    exactly as near as the right one share its place.

    Raises:
        ProbeError: the lengths differ, or a vector is not finite.
    """
    if not len(rows) == len(reports) == len(audio) == len(text):
        raise ProbeError("retrieval needs one report, audio vector and text vector per recording")
    found = []
    for corpus in sorted({row.corpus for row in rows}):
        own = [i for i, row in enumerate(rows) if row.corpus == corpus]
        texts = [reports[i] for i in own]
        candidates = list(dict.fromkeys(texts))
        place = {one: number for number, one in enumerate(candidates)}
        right = np.asarray([place[one] for one in texts])
        first = [own[texts.index(one)] for one in candidates]
        similarity = _unit(audio[own]) @ _unit(text[first]).T
        weights = patient_rows([rows[i] for i in own], resamples)
        common = [count for _, count in Counter(texts).most_common()]
        for top in tops:
            hits = _hits(similarity, right, top)
            found.append(
                Recall(
                    corpus=corpus,
                    top=top,
                    recordings=len(own),
                    reports=len(candidates),
                    recall=weighted_mean(hits, weights),
                    chance=min(1.0, top / len(candidates)),
                    constant=sum(common[:top]) / len(own),
                )
            )
    return found


def zero_shot(audio: Vectors, prompts: Sequence[Vectors]) -> Floats:
    """Scores of recordings (n, k) against the prompts of each class, each (p, k).

    A class's score is the mean cosine similarity to its prompts: (n, classes), or for two classes
    the difference of class 1 and class 0: (n, 1).

    Raises:
        ProbeError: fewer than two classes, a class without prompts, or a vector that is not finite.
    """
    if len(prompts) < 2 or not all(len(one) for one in prompts):
        raise ProbeError("zero-shot needs at least two classes and a prompt for each")
    vectors = _unit(audio)
    scores = np.stack([(vectors @ _unit(one).T).mean(axis=1) for one in prompts], axis=1)
    return scores[:, 1:] - scores[:, :1] if len(prompts) == 2 else scores


def zero_shot_task(
    task: Task,
    rows: Sequence[Recording],
    audio: Vectors,
    prompts: Sequence[Vectors],
    *,
    resamples: int = RESAMPLES,
) -> TaskResult:
    """Zero-shot scores on a task's test recordings, as `probe_tasks` reports a probe's.

    Raises:
        ProbeError: no test recordings, or not one prompt list for each class.
    """
    if len(prompts) != task.class_count:
        raise ProbeError(f"task {task.name}: needs prompts for {task.class_count} classes")
    indices, truth = members(task, rows)
    tested = np.asarray([task.split != "corpus" or rows[i].split == "test" for i in indices])
    if len(np.unique(truth[tested])) < task.class_count:
        raise ProbeError(f"task {task.name}: the test fold lacks a class")
    own = [rows[i] for i in indices[tested]]
    scores = TaskScores(
        task=task,
        rows=tuple(own),
        groups=tuple(row.metadata[task.hold_out] if task.hold_out else "" for row in own),
        truth=truth[tested],
        scores=zero_shot(audio[indices[tested]], prompts)[None],
    )
    return result_of(scores, resamples)


def map_to_text(audio: Vectors, text: Vectors, train: Indices, val: Indices) -> Vectors:
    """Recordings (n, d) in the space of their texts (n, k), by ridge regression.

    Fitted on rows `train`; the penalty is the one with the highest mean cosine similarity on `val`.
    Only rows of those two folds need a text that means anything.

    Raises:
        ProbeError: an empty fold, or vectors that are not finite.
    """
    if not len(train) or not len(val):
        raise ProbeError("mapping sound to text needs training and validation recordings")
    x, y = _finite(audio), _finite(text[np.concatenate([train, val])])
    mean, spread = x[train].mean(axis=0), x[train].std(axis=0)
    x = (x - mean) / np.where(spread > 0, spread, 1)
    offset = y[: len(train)].mean(axis=0)
    truth = _unit(y[len(train) :])
    best, chosen = -np.inf, np.empty(0)
    for centred in ridge_path(x[train], y[: len(train)] - offset, x):
        mapped = centred + offset
        reached = float((_unit(mapped[val]) * truth).sum(axis=1).mean())
        if reached > best:
            best, chosen = reached, mapped
    return chosen.astype(np.float32)


def _hits(similarity: Floats, right: Indices, top: int) -> Floats:
    """Probability (n,) that the right candidate is among the top, ties being broken at random."""
    own = similarity[np.arange(len(right)), right][:, None]
    nearer = (similarity > own).sum(axis=1)
    equal = (similarity == own).sum(axis=1)
    return np.asarray(((top - nearer) / equal).clip(0, 1))


def _finite(vectors: Vectors | Floats) -> Floats:
    if not np.isfinite(vectors).all():
        raise ProbeError("a vector of a recording or text is not finite")
    return vectors.astype(np.float64)


def _unit(vectors: Vectors | Floats) -> Floats:
    finite = _finite(vectors)
    norms = np.linalg.norm(finite, axis=1, keepdims=True)
    return np.asarray(finite / np.maximum(norms, 1e-12))
