"""Thresholds do what they promise on the patients they were fixed on."""

from types import SimpleNamespace

import numpy as np
import pytest

from acula_edge.bundle import FindingSpec, Pooling
from acula_edge.exam import probability
from export.calibrate import calibrate
from export.evaluate import Scored
from export.recipe import Decision

SPEC = FindingSpec(
    name="murmur",
    site="heart",
    definition="",
    pooling=Pooling("mean", 1.0),
    temperature=1.0,
    present=0.5,
    absent=0.5,
    enter=0.5,
    leave=0.5,
)


def exams(distance, scale=1.0):
    """Logits and exams of 400 negatives and 400 positives, `2 * distance` apart."""
    random = np.random.default_rng(0)
    truth = np.array([False, True] * 400)
    logits = scale * (random.normal(0, 1, len(truth)) + np.where(truth, distance, -distance))
    scored = []
    for label, logit in zip(truth, logits, strict=True):
        value = {"murmur": float(1 / (1 + np.exp(-logit)))}
        row = SimpleNamespace(labels={"murmur": bool(label)})
        scored.append(Scored(row, value, False, value))
    return truth, logits, scored


def test_overlapping_classes_keep_both_promises():
    truth, logits, scored = exams(0.3)
    fitted = calibrate(SPEC, scored, Decision(specificity=0.9, sensitivity=0.85))
    value = np.array([probability(logit, fitted) for logit in logits])
    assert np.mean(value[~truth] < fitted.present) == pytest.approx(0.90, abs=0.01)
    assert np.mean(value[truth] >= fitted.absent) == pytest.approx(0.85, abs=0.01)
    assert fitted.absent < fitted.present


def test_separate_classes_leave_the_gap_unsure():
    truth, logits, scored = exams(1.6)
    fitted = calibrate(SPEC, scored, Decision())
    value = np.array([probability(logit, fitted) for logit in logits])
    assert fitted.absent < 0.5 < fitted.present
    assert np.mean(value[~truth] < fitted.absent) == pytest.approx(0.9, abs=0.01)


def test_temperature_undoes_overconfidence():
    _, _, plain = exams(0.5)
    _, _, loud = exams(0.5, scale=4.0)
    ratio = (
        calibrate(SPEC, loud, Decision()).temperature
        / calibrate(SPEC, plain, Decision()).temperature
    )
    assert ratio == pytest.approx(4.0, rel=0.05)


def test_live_thresholds_leave_room_between_them():
    _, _, scored = exams(1.0)
    fitted = calibrate(SPEC, scored, Decision())
    assert 0 < fitted.leave < fitted.enter < 1
