"""Temperature, bias and thresholds, fixed on validation patients with the artefact that ships."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sklearn.linear_model import LogisticRegression

from acula_edge.bundle import FindingSpec
from export.evaluate import Scored
from export.recipe import Decision

EPSILON = 1e-6
LEAVE_LOGITS = 1.0
MOST_CERTAIN = 6.5  # logit of 0.9985, so that leaving stays below entering


def calibrate(spec: FindingSpec, scored: Sequence[Scored], settings: Decision) -> FindingSpec:
    """`spec` with calibration and thresholds from validation exams scored with `spec` itself.

    1. Platt scaling of the pooled logit gives `temperature` and `bias`.
    2. `settings.specificity` of the negatives stay under one probability, and
       `settings.sensitivity` of the positives reach another: the higher is `present`, the lower
       `absent`. Between them lies the overlap of the classes, or the gap: there an exam is unsure.
    3. `enter` is the higher of the same two bounds on the smoothed probability that a recording
       sustains live; `leave` is one logit lower.
    """
    known = [item for item in scored if not math.isnan(item.probability[spec.name])]
    truth = np.array([item.recording.labels[spec.name] for item in known])
    logits = _raw_logits(np.array([item.probability[spec.name] for item in known]), spec)
    slope, offset = _platt(logits, truth)
    absent, present = _bounds(slope * logits + offset, truth, settings)
    sustained = _raw_logits(np.array([item.sustained[spec.name] for item in known]), spec)
    _, enter = _bounds(slope * sustained + offset, truth, settings)
    enter = min(max(enter, LEAVE_LOGITS - MOST_CERTAIN), MOST_CERTAIN)
    return replace(
        spec,
        temperature=1.0 / slope,
        bias=-offset / slope,
        present=_threshold(present),
        absent=_threshold(absent),
        enter=_threshold(enter),
        leave=_threshold(enter - LEAVE_LOGITS),
    )


def _bounds(logits: np.ndarray, truth: np.ndarray, settings: Decision) -> tuple[float, float]:
    """Lower and higher of: what the negatives stay under, what the positives reach."""
    under = float(np.quantile(logits[~truth], settings.specificity))
    reach = float(np.quantile(logits[truth], 1.0 - settings.sensitivity))
    return min(under, reach), max(under, reach)


def _platt(logits: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    model = LogisticRegression(C=1e3).fit(logits[:, None], truth)
    return max(float(model.coef_[0, 0]), 0.05), float(model.intercept_[0])


def _raw_logits(probability: np.ndarray, spec: FindingSpec) -> np.ndarray:
    clipped = np.clip(probability, EPSILON, 1 - EPSILON)
    logits: np.ndarray = np.log(clipped / (1 - clipped)) * spec.temperature + spec.bias
    return logits


def _threshold(logit: float) -> float:
    """The logit as a probability that is neither 0 nor 1 to four digits."""
    return round(min(max(1.0 / (1.0 + math.exp(-logit)), 0.001), 0.999), 4)
