"""`align probe`: everything that the linear probes say of one encoder, and what to hold it against.

Each corpus is embedded once for each way in which its tasks prepare recordings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

import numpy as np
import torch

from align.corpora import Recording
from align.probe.baselines import Origin, metadata_baseline, origin_probe
from align.probe.embed import Embedded, embed_rows
from align.probe.here import Corpus, find_corpus
from align.probe.language import Language, Texts, embed_language, read_language
from align.probe.problem import ProbeError
from align.probe.run import FITS, ProbeName, TaskResult, result_of, score_task
from align.probe.score import TaskScores
from align.probe.subject import Subject, Training, Unseen, certify_subject, open_subject
from align.statistics import RESAMPLES
from align.tasks import Task, select
from align.teacher import TeacherConfig
from align.training.texts import teacher_config

TEACHER_CACHE = Path("runs/teacher")
ORIGINS = ("corpus", "device", "database")  # the last is PhysioNet's
Rows = Mapping[str, Sequence[Recording]]  # by corpus


@dataclass(frozen=True)
class Part:
    """The embeddings of a corpus, prepared in one way, and the tasks that want them so."""

    corpus: str
    tasks: tuple[Task, ...]
    embedded: Embedded


@dataclass(frozen=True)
class Line:
    """A task's result beside that of metadata alone; `notes` say what is missing or left out."""

    task: Task
    result: TaskResult | None
    metadata: TaskResult | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ProbeReport:
    """What `probe_encoder` found.

    `failures` are recordings that could not be embedded, and why; `notes` say which origins could
    not be probed.
    """

    subject: Subject
    probe: ProbeName
    corpora: tuple[Corpus, ...]
    lines: tuple[Line, ...]
    origins: tuple[Origin, ...]
    unseen: Unseen
    failures: tuple[tuple[Path, str], ...]
    language: Language | None
    notes: tuple[str, ...]


def probe_encoder(
    encoder: str,
    data: Path,
    tasks: str | Sequence[str] = "all",
    probe: str = "ridge",
    weights: Path | None = None,
    *,
    untrained: bool = False,
    retrieval: bool = False,
    teacher: str | None = None,
    cache: Path = TEACHER_CACHE,
    resamples: int = RESAMPLES,
) -> ProbeReport:
    """Probe an encoder on every selected task whose corpus is under `data`.

    For `encoder`, `weights` and `untrained` see `open_subject`. A run is tested only on recordings
    that it cannot have heard: of PhysioNet, on the database that its record says it left out.
    `retrieval` adds report retrieval and zero-shot classes with `teacher`, by default the run's
    own, whose vectors are kept in `cache`.

    Raises:
        EncoderError: the encoder or its weights cannot be had.
        LeakageError: the run trained on a patient that it would be tested on.
        ProbeError: an unknown probe, none of the corpora is here, or no task can be scored.
        TaskError: an unknown task.
        TeacherError: the teacher of `retrieval` cannot be had.
    """
    if probe not in FITS:
        raise ProbeError(f"unknown probe {probe!r}; known: {', '.join(get_args(ProbeName))}")
    kind = cast(ProbeName, probe)
    chosen = select(tasks)
    subject = open_subject(encoder, weights, untrained=untrained)
    reader = _teacher(subject, teacher) if retrieval else None
    training = subject.training
    corpora = _corpora(chosen, data)
    here = {corpus.name: corpus.rows for corpus in corpora if not corpus.unusable}
    unseen = _certify(subject, chosen, corpora, data)
    texts = _texts(subject, reader, chosen, here, cache) if reader else None
    parts = _embed(subject, chosen, here)
    lines = [_line(training, part, task, kind, resamples) for part in parts for task in part.tasks]
    if not any(line.result for line in lines):
        raise ProbeError(f"no task can be scored; {lines[0].notes[0]}")
    firsts = _firsts(parts)
    origins, notes = _origins(firsts, resamples)
    holdout = training.holdout if training else ""
    language = None
    if texts is not None:
        language = read_language(firsts, chosen, texts, holdout=holdout, resamples=resamples)
    return ProbeReport(
        subject=subject,
        probe=kind,
        corpora=corpora,
        lines=tuple(sorted(lines, key=lambda line: chosen.index(line.task))),
        origins=origins,
        unseen=unseen,
        failures=tuple(dict.fromkeys(item for part in parts for item in part.embedded.failures)),
        language=language,
        notes=notes,
    )


def _corpora(tasks: Sequence[Task], data: Path) -> tuple[Corpus, ...]:
    if not data.is_dir():
        raise ProbeError(f"no data folder at {data}")
    names = dict.fromkeys(task.corpus for task in tasks)
    found = tuple(find_corpus(name, data) for name in names)
    if all(corpus.unusable for corpus in found):
        others = f"; nor are {len(found) - 1} others usable" if len(found) > 1 else ""
        raise ProbeError(f"{found[0].name} is {found[0].unusable}{others}")
    return found


def _teacher(subject: Subject, named: str | None) -> TeacherConfig:
    if named is not None:
        return TeacherConfig(model=named)
    if subject.training is None:
        raise ProbeError(
            f"retrieval needs a teacher, and {subject.title} has no record that names one:"
            " give --teacher"
        )
    return teacher_config(subject.training.recipe)


def _texts(
    subject: Subject, teacher: TeacherConfig, tasks: Sequence[Task], here: Rows, cache: Path
) -> Texts:
    labels = subject.training.recipe.text.labels if subject.training else "include"
    rows = [row for own in here.values() for row in own if _asked(row, tasks)]
    return embed_language(rows, tasks, teacher, cache, labels)


def _certify(
    subject: Subject, tasks: Sequence[Task], corpora: Sequence[Corpus], data: Path
) -> Unseen:
    training = subject.training
    if training is None:
        return certify_subject(subject, (), ())
    found = {corpus.name: corpus for corpus in corpora}
    names = [corpus.name for corpus in training.recipe.corpora]
    trained = [row for name in names for row in (found.get(name) or find_corpus(name, data)).listed]
    tested = [
        row
        for corpus in corpora
        for row in corpus.rows
        if row.split == "test" and not training.heard(row) and _asked(row, tasks)
    ]
    return certify_subject(subject, trained, tested)


def _asked(row: Recording, tasks: Sequence[Task]) -> bool:
    return any(task.truth(row) is not None for task in tasks)


def _embed(subject: Subject, tasks: Sequence[Task], here: Rows) -> list[Part]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    wanted: dict[tuple[str, str], list[Task]] = {}
    for task in tasks:
        options = json.dumps(task.encoder_options.get(subject.name, {}), sort_keys=True)
        if task.corpus in here:
            wanted.setdefault((task.corpus, options), []).append(task)
    parts = []
    for (corpus, options), own in wanted.items():
        rows = [row for row in here[corpus] if _asked(row, own)]
        encoder = subject.prepared(json.loads(options))
        parts.append(Part(corpus, tuple(own), embed_rows(encoder, rows, device=device)))
    return parts


def _line(
    training: Training | None, part: Part, task: Task, probe: ProbeName, resamples: int
) -> Line:
    notes = []
    try:
        scores = score_task(part.embedded, task, FITS[probe])
        fair = _unheard(scores, training)
        result = result_of(fair, resamples)
    except ProbeError as error:
        return Line(task, None, None, (str(error),))
    if len(fair.rows) < len(scores.rows):
        left = ", ".join(sorted(set(fair.groups)))
        notes.append(f"only {task.hold_out} {left}: the run heard the others")
    try:
        (told,) = metadata_baseline(part.embedded.rows, [task], resamples=resamples)
        metadata = result_of(_unheard(told.scores, training), resamples)
    except ProbeError as error:
        notes.append(f"no metadata baseline: {error}")
        metadata = None
    return Line(task, result, metadata, tuple(notes))


def _unheard(scores: TaskScores, training: Training | None) -> TaskScores:
    """Scores of the recordings that a run did not learn from."""
    kept = [i for i, row in enumerate(scores.rows) if training is None or not training.heard(row)]
    if not kept:
        raise ProbeError(f"task {scores.task.name}: the run heard every recording it would test")
    return replace(
        scores,
        rows=tuple(scores.rows[i] for i in kept),
        groups=tuple(scores.groups[i] for i in kept),
        truth=scores.truth[kept],
        scores=scores.scores[:, kept],
    )


def _firsts(parts: Sequence[Part]) -> list[Embedded]:
    """Embeddings of each corpus, in the first of the ways that its tasks want."""
    found: dict[str, Embedded] = {}
    for part in parts:
        if part.embedded.rows:
            found.setdefault(part.corpus, part.embedded)
    return list(found.values())


def _origins(
    embedded: Sequence[Embedded], resamples: int
) -> tuple[tuple[Origin, ...], tuple[str, ...]]:
    """How well corpora, devices and databases are told apart, and why some cannot be."""
    rows = tuple(row for one in embedded for row in one.rows)
    whole = Embedded(np.concatenate([one.vectors for one in embedded]), rows)
    found, notes = [], []
    for key in ORIGINS:
        if key == "database" and not any(key in row.metadata for row in rows):
            continue
        try:
            found.append(origin_probe(whole, key, resamples=resamples))
        except ProbeError as error:
            notes.append(f"not probed: {error}")
    return tuple(found), tuple(notes)
