"""Temperature, bias and thresholds, fixed on validation patients with the artefact that ships."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from acula_edge.bundle import FindingSpec
from acula_edge.events import Decision as Said
from acula_edge.exam import probability
from align.errors import AlignError
from align.statistics import Array
from export.figures import Scored, decisions, finding_metrics, patient_draws
from export.recipe import Decision

EPSILON = 1e-6
LEAVE_LOGITS = 1.0
MOST_CERTAIN = 6.5  # logit of 0.9985, so that leaving stays below entering
CONFIDENCE = 0.8  # of the patient resamples in which `present` keeps its specificity
FEWEST_PATIENTS = 2  # with a finding, and without
FOLDS = 5
Flags = NDArray[np.bool_]


class CalibrationError(AlignError):
    """The validation exams cannot fix a probability and thresholds."""


def calibrate(spec: FindingSpec, scored: Sequence[Scored], settings: Decision) -> FindingSpec:
    """`spec` with calibration and thresholds from validation exams scored with `spec` itself.

    1. Platt scaling of the pooled logit gives `temperature` and `bias`.
    2. One bound is what `settings.specificity` of the negatives stay under, the other what
       `settings.sensitivity` of the positives reach: the higher is `present`, the lower `absent`.
       Between them lies the overlap of the classes, or the gap: there an exam is unsure.
    3. `enter` is the higher of the same two bounds on the smoothed probability that a recording
       sustains live; `leave` is one logit lower.

    The first bound, where it decides `present` and `enter`, is the one that keeps its specificity
    in `CONFIDENCE` of the resamples of the patients: a plain quantile of a few patients' negatives
    is too low for other patients as often as not. `absent` takes both bounds as they are, since the
    same care there would leave most exams unsure.

    Raises:
        CalibrationError: fewer than `FEWEST_PATIENTS` patients with the finding or without it, a
            value that is no probability, or a target outside (0, 1).
    """
    known = _checked(spec, scored, settings)
    truth = _truth(known, spec)
    draws = patient_draws([item.recording.patient for item in known])
    logits = _logits([item.probability[spec.name] for item in known], spec)
    slope, offset = _platt(logits, truth)
    absent, present = _bounds(slope * logits + offset, truth, draws, settings)
    sustained = _logits([item.sustained[spec.name] for item in known], spec)
    _, enter = _bounds(slope * sustained + offset, truth, draws, settings)
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


def left_out_figures(
    spec: FindingSpec, scored: Sequence[Scored], settings: Decision
) -> dict[str, object]:
    """`finding_metrics` of the validation exams, each judged by a calibration of other patients.

    What `calibrate` promises, measured: up to `FOLDS` folds of patients. Raises as it does.
    """
    known = _checked(spec, scored, settings)
    truth, patients = _truth(known, spec), [item.recording.patient for item in known]
    folds = min(FOLDS, *_patients_per_class(known, truth))
    judged: list[Scored] = []
    said: list[Said] = []
    splitter = StratifiedGroupKFold(n_splits=folds)
    for fitted_on, left_out in splitter.split(truth, truth, patients):
        fitted = calibrate(spec, [known[index] for index in fitted_on], settings)
        items = [_recalibrated(known[index], spec, fitted) for index in left_out]
        judged += items
        said += decisions(items, fitted)
    return finding_metrics(judged, spec.name, said)


def _checked(spec: FindingSpec, scored: Sequence[Scored], settings: Decision) -> list[Scored]:
    """The exams that heard something usable, once they are fit to calibrate on."""
    for name in ("specificity", "sensitivity"):
        if not 0.0 < getattr(settings, name) < 1.0:
            raise CalibrationError(f"decision.{name} must lie between 0 and 1")
    known = [item for item in scored if not math.isnan(item.probability[spec.name])]
    for item in known:
        values = (item.probability[spec.name], item.sustained[spec.name])
        if not all(0.0 <= value <= 1.0 for value in values):
            raise CalibrationError(
                f"validation recording {item.recording.name}: {spec.name} scored {values},"
                " which are no probabilities"
            )
    with_it, without = _patients_per_class(known, _truth(known, spec))
    if min(with_it, without) < FEWEST_PATIENTS:
        raise CalibrationError(
            f"validation has {with_it} patients with {spec.name} and {without} without:"
            f" thresholds need at least {FEWEST_PATIENTS} of each"
        )
    return known


def _patients_per_class(scored: Sequence[Scored], truth: Flags) -> tuple[int, int]:
    patients = np.array([item.recording.patient for item in scored])
    return len(set(patients[truth])), len(set(patients[~truth]))


def _bounds(logits: Array, truth: Flags, draws: Array, settings: Decision) -> tuple[float, float]:
    """`absent` and `present`: see `calibrate`."""
    once = np.ones((1, int((~truth).sum())))
    under = float(_keep_under(logits[~truth], once, settings.specificity)[0])
    resampled = _keep_under(logits[~truth], draws[:, ~truth], settings.specificity)
    careful = max(under, float(np.nanquantile(resampled, CONFIDENCE)))
    once = np.ones((1, int(truth.sum())))
    reach = -float(_keep_under(-logits[truth], once, settings.sensitivity)[0])
    return min(under, reach), max(careful, reach)


def _keep_under(values: Array, weights: Array, share: float) -> Array:
    """Half way between two values, so that `share` of the weight (r, n) lies under it: (r,)."""
    order = np.argsort(values)
    ranked = np.append(values[order], values.max() + EPSILON)
    mass = weights[:, order].cumsum(axis=1)
    whole = mass[:, -1:]
    last = (mass >= share * whole - EPSILON).argmax(axis=1)
    bound: Array = (ranked[last] + ranked[last + 1]) / 2
    return np.where(whole[:, 0] > 0, bound, np.nan)


def _platt(logits: Array, truth: Flags) -> tuple[float, float]:
    model = LogisticRegression(C=1e3).fit(logits[:, None], truth)
    return max(float(model.coef_[0, 0]), 0.05), float(model.intercept_[0])


def _recalibrated(item: Scored, old: FindingSpec, new: FindingSpec) -> Scored:
    """The exam as `new` would have given it; `sustained` keeps the old calibration."""
    logit = float(_logits([item.probability[old.name]], old)[0])
    return replace(item, probability={old.name: probability(logit, new)})


def _truth(scored: Sequence[Scored], spec: FindingSpec) -> Flags:
    return np.array([bool(item.recording.labels[spec.name]) for item in scored], dtype=bool)


def _logits(values: Sequence[float], spec: FindingSpec) -> Array:
    """Logits before the calibration of `spec`."""
    clipped = np.clip(np.array(values), EPSILON, 1 - EPSILON)
    logits: Array = np.log(clipped / (1 - clipped)) * spec.temperature + spec.bias
    return logits


def _threshold(logit: float) -> float:
    """The logit as a probability that is neither 0 nor 1 to four digits."""
    return round(min(max(1.0 / (1.0 + math.exp(-logit)), 0.001), 0.999), 4)
