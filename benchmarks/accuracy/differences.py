"""A variant beside another scorer of the same recordings: differences paired by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from acula_edge.bundle import FindingSpec
from align.statistics import Array
from benchmarks.accuracy.curves import LEAST, patients_with
from benchmarks.record import Difference, Interval
from export.compare import paired
from export.figures import Scored, decisions

ORIGINAL = "original"


def against_variant(
    ours: Sequence[Scored], theirs: Sequence[Scored], spec: FindingSpec, task: str, other: str
) -> Difference:
    """Beside another variant: both sides are exams of the same recordings in the same order.

    `largest_logit` is the largest difference between the logits of two exams, before calibration;
    exams with a probability of 0 or 1 to the last digit tell none.
    """
    a, b = _probability(ours, spec.name), _probability(theirs, spec.name)
    known = np.isfinite(a) & np.isfinite(b)
    pairs = zip(decisions(ours, spec), decisions(theirs, spec), strict=True)
    return Difference(
        finding=task,
        other=other,
        recordings=int(known.sum()),
        auroc=_paired(ours, spec.name, a, b, known),
        flips=sum(x is not y for x, y in pairs),
        largest_logit=_largest(a, b, spec.temperature),
    )


def against_original(
    ours: Sequence[Scored], scores: Mapping[str, float], spec: FindingSpec, task: str
) -> Difference:
    """Beside the aligned encoder's probe, `scores` by recording; it decides nothing."""
    a = _probability(ours, spec.name)
    b = np.array([scores[item.recording.name] for item in ours], dtype=np.float64)
    known = np.isfinite(a) & np.isfinite(b)
    return Difference(
        finding=task,
        other=ORIGINAL,
        recordings=int(known.sum()),
        auroc=_paired(ours, spec.name, a, b, known),
        flips=None,
        largest_logit=None,
    )


def _probability(scored: Sequence[Scored], finding: str) -> Array:
    return np.array([item.probability[finding] for item in scored], dtype=np.float64)


def _paired(
    scored: Sequence[Scored], finding: str, ours: Array, theirs: Array, known: NDArray[np.bool_]
) -> Interval | None:
    rows = [item.recording for item, told in zip(scored, known, strict=True) if told]
    patients = [row.patient for row in rows]
    truth = np.array([float(row.labels[finding]) for row in rows])
    if min(patients_with(truth, patients), patients_with(1 - truth, patients)) < LEAST:
        return None
    found = paired(patients, truth, ours[known], theirs[known])
    return None if found is None else Interval(**found)


def _largest(ours: Array, theirs: Array, temperature: float) -> float | None:
    with np.errstate(divide="ignore", invalid="ignore"):
        gaps = np.abs(np.log(ours / (1 - ours)) - np.log(theirs / (1 - theirs)))
    gaps = gaps[np.isfinite(gaps)]
    return round(float(gaps.max()) * temperature, 6) if len(gaps) else None
