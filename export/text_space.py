"""The text space of a bundle: a projection of the teacher's vectors, targets in it, and reports.

The space is the span of the leading principal components of the teacher's vectors of the training
reports, neither whitened nor rotated further. On CirCor and SPRSound validation patients (MiniLM, a
linear map from a trained trunk) whitening raised the recall@10 of reports from 0.19 to 0.26 on
CirCor, but cost zero-shot AUROC everywhere: murmur 0.91 to 0.78, wheeze 0.78 to 0.53, crackle 0.70
to 0.27, because prompts are no reports and whitening weighs what only reports vary in.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acula_edge.bundle import Passage, TextSpace
from align.corpora import Recording
from align.errors import AlignError
from align.probe.language import Texts
from align.reports import texts_for
from align.teacher import TeacherConfig, embed_texts

Vectors = NDArray[np.float32]
Key = tuple[str, str]  # corpus and name of a recording

PROJECTION, REPORTS = "text-projection.f32", "text-reports.jsonl"
REFERENCE = "Auscultation of the heart and the lungs."
SOUND_CORPORA = ("circor", "sprsound")  # whose reports name sounds; PhysioNet's are diagnoses
MOST_REPORTS = 200
DECIMALS = 3  # of a vector of length 1: an angle of 0.2 degrees


class TextSpaceError(AlignError):
    """Reports or vectors that make no text space."""


@dataclass(frozen=True)
class TextSpaceFit:
    """`mean` (t,) and `basis` (t, size) in float32, as the bundle stores them.

    `kept` is the share of the reports' variance that the space keeps.
    """

    mean: Vectors
    basis: Vectors
    kept: float

    @property
    def size(self) -> int:
        """Dimensions of the space."""
        return int(self.basis.shape[1])

    def project(self, vectors: Vectors) -> Vectors:
        """Places (n, size) of the teacher's vectors (n, t) of texts."""
        mean, basis = self.mean.astype(np.float64), self.basis.astype(np.float64)
        return ((vectors - mean) @ basis).astype(np.float32)


def fit_text_space(vectors: Vectors, size: int) -> TextSpaceFit:
    """The principal components of the teacher's vectors (n, t) of distinct training reports.

    Each component's largest weight is positive, so that a fit is repeatable.

    Raises:
        TextSpaceError: the vectors span fewer than `size` dimensions, or one is not finite.
    """
    if not np.isfinite(vectors).all():
        raise TextSpaceError("a report's vector is not finite")
    values = vectors.astype(np.float64)
    mean = values.mean(axis=0) if len(values) else np.zeros(vectors.shape[1])
    _, spread, axes = np.linalg.svd(values - mean, full_matrices=False)
    rank = int((spread > 1e-6 * spread.max(initial=0)).sum())
    if not 0 < size <= rank:
        raise TextSpaceError(
            f"{len(vectors)} distinct reports span {rank} dimensions: a text space of {size} does"
            " not fit; lower `text` in the recipe, or take reports that differ more"
        )
    basis = axes[:size].T
    largest = basis[np.abs(basis).argmax(axis=0), np.arange(size)]
    kept = float((spread[:size] ** 2).sum() / (spread**2).sum())
    return TextSpaceFit(
        mean.astype(np.float32), (basis * np.sign(largest)).astype(np.float32), kept
    )


def fit_reports(rows: Sequence[Recording], texts: Texts, size: int) -> TextSpaceFit:
    """`fit_text_space` of the distinct template reports of training recordings."""
    return fit_text_space(texts.of(list(dict.fromkeys(texts.reports_of(rows)))), size)


def training_targets(
    rows: Sequence[Recording], texts: Texts, fit: TextSpaceFit, own_share: float = 0.0
) -> dict[Key, Vectors]:
    """What an exam's embedding shall point to: a direction (size,) of length 1 per recording.

    It is the mean place of the template reports of that corpus that state the same findings, mixed
    with `own_share` of the direction of the recording's own report. A sound hardly tells the age or
    the stethoscope that its own report also states. On the validation patients of this module's
    note, shares of 0, 0.5 and 1 gave zero-shot AUROC of 0.95, 0.94, 0.91 for murmur, 0.88, 0.83,
    0.78 for wheeze and 0.73, 0.72, 0.70 for crackle, and recall@10 of the own report of 0.07, 0.17,
    0.19 on CirCor and 0.09, 0.07, 0.08 on SPRSound.
    """
    places = fit.project(texts.of(texts.reports_of(rows)))
    targets: dict[Key, Vectors] = {}
    for members in _same_findings(rows).values():
        mean = unit(places[members].mean(axis=0))
        mixed = unit((1 - own_share) * mean + own_share * unit(places[members]))
        for i, direction in zip(members, mixed, strict=True):
            targets[rows[i].corpus, rows[i].name] = direction
    return targets


def report_index(
    rows: Sequence[Recording], texts: Texts, fit: TextSpaceFit, most: int = MOST_REPORTS
) -> tuple[Passage, ...]:
    """What training recordings were said to sound like, most frequent first.

    A text states findings alone, no person or device; its vector is the target of the recordings
    that it was written for. Corpora that only tell a diagnosis are left out.

    Raises:
        TextSpaceError: no recording of a corpus whose reports name sounds.
    """
    told = [row for row in rows if row.corpus in SOUND_CORPORA and row.labels]
    if not told:
        raise TextSpaceError(f"no labelled recording of {' or '.join(SOUND_CORPORA)} to index")
    targets = training_targets(told, texts, fit)
    found: dict[str, Passage] = {}
    counts: Counter[str] = Counter()
    for (_, text), own in _same_findings(told).items():
        first = told[own[0]]
        counts[text] += len(own)
        found.setdefault(text, passage(text, targets[first.corpus, first.name]))
    return tuple(found[text] for text, _ in counts.most_common(most))


def reference_passage(fit: TextSpaceFit, teacher: TeacherConfig, cache: Path) -> Passage:
    """A fixed text by which another copy of the teacher is recognised.

    Raises:
        TeacherError: the teacher cannot be had.
    """
    vectors = embed_texts([REFERENCE], teacher, cache).vectors.float().numpy()
    return passage(REFERENCE, fit.project(vectors)[0])


def text_files(
    fit: TextSpaceFit,
    teacher: TeacherConfig,
    reports: Sequence[Passage],
    reference: Passage | None = None,
) -> tuple[TextSpace, dict[str, bytes]]:
    """The manifest's entry of the text space, and its files by name."""
    space = TextSpace(
        teacher=teacher.model,
        revision=teacher.revision,
        pooling=teacher.pooling,
        layer=teacher.layer,
        teacher_size=len(fit.mean),
        size=fit.size,
        projection=PROJECTION,
        reports=REPORTS if reports else None,
        reference=reference,
    )
    files = {PROJECTION: fit.mean.astype("<f4").tobytes() + fit.basis.astype("<f4").tobytes()}
    if reports:
        files[REPORTS] = "".join(map(_line, reports)).encode()
    return space, files


def passage(text: str, place: Vectors) -> Passage:
    """A text with its direction, of length 1 and rounded.

    Raises:
        TextSpaceError: the place is the origin or not finite: no direction.
    """
    length = float(np.linalg.norm(place))
    if not 1e-6 < length < np.inf:
        raise TextSpaceError(f"the text {text[:60]!r} has no direction in the text space")
    return Passage(text, tuple(round(float(value), DECIMALS) for value in place / length))


def heard_texts(rows: Sequence[Recording]) -> list[str]:
    """What each recording's report says of its sound, without person, site and device."""
    return [report.text if report else "" for report in texts_for(rows, "findings")]


def unit(vectors: Vectors) -> Vectors:
    """Vectors (..., size) at length 1."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


def _same_findings(rows: Sequence[Recording]) -> Mapping[Key, list[int]]:
    """Positions of the recordings of each corpus and findings text."""
    groups: defaultdict[Key, list[int]] = defaultdict(list)
    for position, (row, text) in enumerate(zip(rows, heard_texts(rows), strict=True)):
        groups[row.corpus, text].append(position)
    return groups


def _line(report: Passage) -> str:
    return json.dumps({"text": report.text, "vector": list(report.vector)}) + "\n"
