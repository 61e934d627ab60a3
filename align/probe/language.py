"""What an encoder knows of language: report retrieval and zero-shot classes, by way of one map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from align.corpora import Recording
from align.probe.embed import Embedded
from align.probe.problem import Indices, ProbeError
from align.probe.retrieval import Recall, Vectors, map_to_text, report_retrieval, zero_shot_task
from align.probe.run import TaskResult
from align.reports import Labels, texts_for
from align.splits import patient_fold
from align.statistics import RESAMPLES
from align.tasks import Task
from align.teacher import TeacherConfig, embed_texts
from align.training.selection import trains

VALIDATION_SHARE = 0.15  # of the patients whose reports the map is fitted on


@dataclass(frozen=True)
class Language:
    """Retrieval of template reports and zero-shot results; `notes` say what could not be had.

    Sound reaches the teacher's space by a ridge map of each corpus, fitted on the reports of its
    training and validation patients: with `labels` included in them, zero-shot means that no
    prompt was trained on, not that no label was.
    """

    teacher: str
    labels: Labels
    recalls: tuple[Recall, ...]
    zero_shot: tuple[TaskResult, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Texts:
    """A teacher's vectors of distinct texts, and the report of each recording."""

    teacher: str
    labels: Labels
    reports: Mapping[tuple[str, str], str]  # by corpus and name
    place: Mapping[str, int]
    vectors: Vectors

    def of(self, texts: Sequence[str]) -> Vectors:
        """Vectors (n, k) of texts."""
        return self.vectors[[self.place[text] for text in texts]]

    def reports_of(self, rows: Sequence[Recording]) -> list[str]:
        """The report of each recording."""
        return [self.reports[row.corpus, row.name] for row in rows]


def embed_language(
    rows: Sequence[Recording],
    tasks: Sequence[Task],
    teacher: TeacherConfig,
    cache: Path,
    labels: Labels = "include",
) -> Texts:
    """The teacher's vectors of the recordings' template reports and the tasks' prompts.

    Raises:
        TeacherError: the teacher cannot be had.
    """
    written = zip(rows, texts_for(rows, "template", labels), strict=True)
    reports = {(row.corpus, row.name): report.text for row, report in written if report}
    prompts = [text for task in tasks for own in task.prompts for text in own]
    distinct = list(dict.fromkeys([*reports.values(), *prompts]))
    vectors = embed_texts(distinct, teacher, cache).vectors.float().numpy()
    place = {text: number for number, text in enumerate(distinct)}
    return Texts(teacher.model, labels, reports, place, vectors)


def read_language(
    embedded: Sequence[Embedded],
    tasks: Sequence[Task],
    texts: Texts,
    *,
    holdout: str = "",
    resamples: int = RESAMPLES,
) -> Language:
    """Score retrieval on each of `embedded` (one corpus each), and zero-shot on tasks with prompts.

    Tested are test patients; of PhysioNet, whose patients are unknown, the database `holdout`.
    """
    recalls: list[Recall] = []
    results: list[TaskResult] = []
    notes: list[str] = []
    for one in embedded:
        corpus = one.rows[0].corpus
        try:
            rows, mapped = _map(one, texts, holdout)
        except ProbeError as error:
            notes.append(f"{corpus}: {error}")
            continue
        reports = texts.reports_of(rows)
        recalls += report_retrieval(rows, reports, mapped, texts.of(reports), resamples=resamples)
        for task in tasks:
            if task.corpus != corpus or not task.prompts:
                continue
            classes = [texts.of(own) for own in task.prompts]
            try:
                results.append(zero_shot_task(task, rows, mapped, classes, resamples=resamples))
            except ProbeError as error:
                notes.append(str(error))
    return Language(texts.teacher, texts.labels, tuple(recalls), tuple(results), tuple(notes))


def _map(one: Embedded, texts: Texts, holdout: str) -> tuple[list[Recording], Vectors]:
    """The tested recordings of a corpus, and their place (n, k) among its texts."""
    train, val, test = _folds(one.rows, holdout)
    if not len(test):
        raise ProbeError("no recording to test (PhysioNet: no database was held out)")
    mapped = map_to_text(one.vectors, texts.of(texts.reports_of(one.rows)), train, val)
    return [one.rows[i] for i in test], mapped[test]


def _folds(rows: Sequence[Recording], holdout: str) -> tuple[Indices, Indices, Indices]:
    """Rows to fit the map on, to choose its penalty on, and to test it on."""
    tested = np.asarray([row.split == "test" and not trains(row, holdout) for row in rows])
    fold = np.asarray([patient_fold(f"text-map/{row.corpus}", row.patient) for row in rows])
    chooses = ~tested & (fold < VALIDATION_SHARE)
    return np.flatnonzero(~tested & ~chooses), np.flatnonzero(chooses), np.flatnonzero(tested)
