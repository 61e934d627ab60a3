"""The leakage certificate: that nothing an alignment saw belongs to a patient it is tested on."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

from align.corpora.catalogue import CATALOGUE
from align.errors import AlignError

VERSION = 1
NAMED = 20
"""Offenders that a certificate names of each kind; it counts all."""

Labels = Literal["include", "exclude"]
Patient = tuple[str, str]
Reports = Mapping[tuple[str, str], str]


class LeakageError(AlignError):
    """Training and evaluation share a patient or a recording, or there is nothing to certify."""


class Row(Protocol):
    """A `Recording` or a manifest `Entry`. The hash of its samples is used if it has one."""

    @property
    def corpus(self) -> str:
        """Key of the corpus; a patient is (corpus, patient)."""

    @property
    def name(self) -> str:
        """Name of the recording, unique in its corpus."""

    @property
    def patient(self) -> str:
        """Id of the patient, unique in the corpus."""


@dataclass(frozen=True)
class CorpusLeakage:
    """One corpus on both sides. `shared` are the first `NAMED` patients on both.

    Without `patient_ids` each recording stands for its own patient, so that none can be shared:
    the certificate then speaks of recordings only.
    """

    corpus: str
    split_rule: str
    patient_ids: bool
    training_recordings: int
    training_patients: int
    evaluation_recordings: int
    evaluation_patients: int
    shared_patients: int
    shared: tuple[str, ...]


@dataclass(frozen=True)
class Certificate:
    """What `certify` found. `passed`: no patient and no audio on both sides.

    `labels` says whether report text states the labels. The two hashes are over the sorted lists of
    `corpus/patient`, a line each. `same_audio` names the first `NAMED` pairs; recordings of unknown
    hash could not be compared. `same_text` counts evaluation recordings whose report is, word for
    word, one that was trained on (usual for templates, and no failure); None: no reports given.
    """

    passed: bool
    labels: Labels
    corpora: tuple[CorpusLeakage, ...]
    training_patients_sha256: str
    evaluation_patients_sha256: str
    shared_patients: int
    shared_audio: int
    same_audio: tuple[str, ...]
    training_unknown_audio: int
    evaluation_unknown_audio: int
    same_text: int | None

    def to_json(self) -> str:
        """The certificate as a JSON document."""
        return json.dumps({"version": VERSION} | asdict(self), indent=2, ensure_ascii=False) + "\n"

    def summary(self) -> str:
        """The certificate in a few lines for people."""
        return "\n".join(_lines(self))


def certify(
    training: Sequence[Row],
    evaluation: Sequence[Row],
    *,
    labels: Labels,
    reports: Reports | None = None,
) -> Certificate:
    """Compare everything the alignment sees with everything it is evaluated on.

    `training` are the rows whose audio or report text any stage trains on, validation included;
    `evaluation` those of the test patients. `reports` maps (corpus, name) to report text.

    Raises:
        LeakageError: one of the two is empty, so that a certificate would say nothing.
    """
    for side, rows in (("training", training), ("evaluation", evaluation)):
        if not rows:
            raise LeakageError(f"no leakage certificate: there is no {side} recording")
    trained, tested = _patients(training), _patients(evaluation)
    same_audio = _same_audio(training, evaluation)
    shared = trained & tested
    return Certificate(
        passed=not shared and not same_audio,
        labels=labels,
        corpora=_corpora(training, evaluation, shared),
        training_patients_sha256=_digest(trained),
        evaluation_patients_sha256=_digest(tested),
        shared_patients=len(shared),
        shared_audio=len(same_audio),
        same_audio=same_audio[:NAMED],
        training_unknown_audio=sum(_hash(row) is None for row in training),
        evaluation_unknown_audio=sum(_hash(row) is None for row in evaluation),
        same_text=None if reports is None else _same_text(training, evaluation, reports),
    )


def require(certificate: Certificate) -> None:
    """Refuse to go on with a certificate that did not pass.

    Raises:
        LeakageError: names patients and recordings on both sides.
    """
    if certificate.passed:
        return
    found = []
    if certificate.shared_patients:
        names = [
            f"{part.corpus}/{patient}" for part in certificate.corpora for patient in part.shared
        ]
        found.append(f"{_count(certificate.shared_patients, 'patient')} ({_few(names)})")
    if certificate.shared_audio:
        pairs = _count(
            certificate.shared_audio,
            "recording with the same samples",
            "recordings with the same samples",
        )
        found.append(f"{pairs} ({_few(certificate.same_audio)})")
    raise LeakageError(
        f"training and evaluation share {' and '.join(found)}: leave them out of one side"
    )


def _patients(rows: Iterable[Row]) -> set[Patient]:
    return {(row.corpus, row.patient) for row in rows}


def _digest(patients: Iterable[Patient]) -> str:
    lines = sorted(f"{corpus}/{patient}\n" for corpus, patient in patients)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _hash(row: Row) -> str | None:
    value: str | None = getattr(row, "audio_sha256", None)
    return value


def _same_audio(training: Iterable[Row], evaluation: Iterable[Row]) -> tuple[str, ...]:
    """One text for each evaluation recording whose samples were trained on."""
    trained = {_hash(row): f"{row.corpus}/{row.name}" for row in training}
    trained.pop(None, None)
    return tuple(
        f"{trained[_hash(row)]} = {row.corpus}/{row.name}"
        for row in evaluation
        if _hash(row) in trained
    )


def _same_text(training: Iterable[Row], evaluation: Iterable[Row], reports: Reports) -> int:
    trained = {reports.get((row.corpus, row.name)) for row in training} - {None}
    return sum(reports.get((row.corpus, row.name)) in trained for row in evaluation)


def _corpora(
    training: Iterable[Row], evaluation: Iterable[Row], shared: set[Patient]
) -> tuple[CorpusLeakage, ...]:
    sides = (_by_corpus(training), _by_corpus(evaluation))
    parts = []
    for corpus in sorted(sides[0] | sides[1]):
        trained, tested = (side.get(corpus, []) for side in sides)
        offenders = sorted(patient for owner, patient in shared if owner == corpus)
        info = CATALOGUE.get(corpus)
        parts.append(
            CorpusLeakage(
                corpus=corpus,
                split_rule=info.split_rule if info else "unknown",
                patient_ids=info.patient_ids if info else True,
                training_recordings=len(trained),
                training_patients=len(set(trained)),
                evaluation_recordings=len(tested),
                evaluation_patients=len(set(tested)),
                shared_patients=len(offenders),
                shared=tuple(offenders[:NAMED]),
            )
        )
    return tuple(parts)


def _by_corpus(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Corpus -> the patient of each recording."""
    patients = defaultdict(list)
    for row in rows:
        patients[row.corpus].append(row.patient)
    return dict(patients)


def _lines(certificate: Certificate) -> list[str]:
    verdict = "passed" if certificate.passed else "FAILED"
    lines = [f"leakage certificate: {verdict}; report text: labels {certificate.labels}d"]
    for part in certificate.corpora:
        anonymous = "" if part.patient_ids else ", no patient ids: one per recording"
        lines.append(
            f"  {part.corpus}: {_count(part.training_patients, 'patient')} trained on,"
            f" {part.evaluation_patients} evaluated, {part.shared_patients} in both"
            f" (rule: {part.split_rule}{anonymous})"
        )
    lines.append(f"  recordings with the same samples on both sides: {certificate.shared_audio}")
    unknown = certificate.training_unknown_audio, certificate.evaluation_unknown_audio
    if any(unknown):
        lines.append(
            f"  not compared, samples unknown: {unknown[0]} trained on, {unknown[1]} evaluated"
        )
    if certificate.same_text is not None:
        lines.append(f"  evaluated reports that equal a trained one: {certificate.same_text}")
    return lines


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
