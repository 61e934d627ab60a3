"""Two scorers of the same recordings side by side: differences paired by patient, and agreement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acula_edge.bundle import FindingSpec
from align.statistics import Array, macro_auroc
from export.figures import Scored, as_json, decisions, interval, patient_draws

LIKELIER = 0.5  # the probability above which a finding is likelier than not


def paired(
    patients: Sequence[str], truth: Array, ours: Array, theirs: Array
) -> dict[str, float] | None:
    """AUROC of `ours` minus AUROC of `theirs`, with an interval that draws both alike.

    `patients`, `truth`, `ours` and `theirs` are of the same n recordings in the same order. Scores
    are (n,) of a binary truth, or (n, k) of a class index (mean one-against-the-rest AUROC).
    Returns `{"value", "low", "high"}`, or None where a class is missing.

    Raises:
        ValueError: lengths differ, or a score is not finite.
    """
    ours, theirs = (np.asarray(score, float).reshape(len(score), -1) for score in (ours, theirs))
    if not len(patients) == len(truth) == len(ours) == len(theirs):
        raise ValueError("patients, truth and scores differ in length")
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        raise ValueError("a score is not finite")
    labels, weights = np.asarray(truth, float), patient_draws(patients)
    value = macro_auroc(labels, ours) - macro_auroc(labels, theirs)
    resampled = macro_auroc(labels, ours, weights) - macro_auroc(labels, theirs, weights)
    return as_json(interval(float(value[0]), resampled))


def agreement(
    ours: Sequence[Scored], theirs: Sequence[Scored], spec: FindingSpec
) -> dict[str, object]:
    """How two variants of one model agree on the finding, both scored on the same recordings.

    `difference` is the paired AUROC difference (ours minus theirs), `decision` the share of
    recordings with the same decision, `argmax` the share on the same side of `LIKELIER`, and
    `largest` the largest difference in probability.
    """
    a, b = (np.array([item.probability[spec.name] for item in side]) for side in (ours, theirs))
    both = ~(np.isnan(a) | np.isnan(b))
    rows = [item.recording for item, known in zip(ours, both, strict=True) if known]
    truth = np.array([float(row.labels[spec.name]) for row in rows])
    same = [x is y for x, y in zip(decisions(ours, spec), decisions(theirs, spec), strict=True)]
    a, b = a[both], b[both]
    return {
        "recordings": len(ours),
        "difference": paired([row.patient for row in rows], truth, a, b) if rows else None,
        "decision": round(float(np.mean(same)), 4),
        "argmax": round(float(np.mean((a >= LIKELIER) == (b >= LIKELIER))), 4) if rows else None,
        "largest": round(float(np.abs(a - b).max()), 4) if rows else None,
    }
