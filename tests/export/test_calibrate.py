"""Thresholds do what they promise, on the patients they were fixed on and on others."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from acula_edge.bundle import FindingSpec, Pooling
from acula_edge.exam import probability
from align import statistics
from export.calibrate import CalibrationError, calibrate, left_out_figures
from export.figures import Scored
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


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 200)


def exams(distance, scale=1.0, patients=800, per_patient=1, spread=0.0, seed=0):
    """Logits and exams of as many negatives as positives, `2 * distance` apart.

    `spread` is how much patients differ from each other, in logits.
    """
    random = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), per_patient)
    truth = owner % 2 == 1
    own = random.normal(0, spread, patients)[owner] if spread else 0.0
    noise = random.normal(0, 1, len(truth))
    logits = scale * (own + noise + np.where(truth, distance, -distance))
    scored = []
    for who, label, logit in zip(owner, truth, logits, strict=True):
        value = {"murmur": float(1 / (1 + np.exp(-logit)))}
        row = SimpleNamespace(labels={"murmur": bool(label)}, patient=str(who), name=f"r{who}")
        scored.append(Scored(row, value, False, value))
    return truth, logits, scored


def test_overlapping_classes_keep_both_promises():
    truth, logits, scored = exams(0.3)
    fitted = calibrate(SPEC, scored, Decision(specificity=0.9, sensitivity=0.85))
    value = np.array([probability(logit, fitted) for logit in logits])
    assert 0.90 <= np.mean(value[~truth] < fitted.present) <= 0.94
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


def test_the_first_calibration_does_not_matter():
    _, _, scored = exams(0.5)
    other = replace(SPEC, temperature=2.0, bias=1.0)
    logits = [np.log(p / (1 - p)) for p in (item.probability["murmur"] for item in scored)]
    moved = []
    for item, logit in zip(scored, logits, strict=True):
        value = {"murmur": probability(logit, other)}
        moved.append(replace(item, probability=value, sustained=value))
    ours, theirs = calibrate(SPEC, scored, Decision()), calibrate(other, moved, Decision())
    for key in ("temperature", "bias", "present", "absent", "enter"):
        assert getattr(ours, key) == pytest.approx(getattr(theirs, key), abs=1e-3)


def test_few_patients_who_differ_get_a_more_careful_threshold():
    """Beside a plain quantile, new patients' negatives stay under `present` more often."""
    plain, careful = [], []
    for seed in range(20):
        truth, logits, scored = exams(0.3, patients=40, per_patient=8, spread=1.0, seed=seed)
        fitted = calibrate(SPEC, scored, Decision())
        new_truth, new, _ = exams(0.3, patients=400, per_patient=8, spread=1.0, seed=1000 + seed)
        value = np.array([probability(logit, fitted) for logit in new])
        careful.append(np.mean(value[~new_truth] < fitted.present))
        plain.append(np.mean(new[~new_truth] < np.quantile(logits[~truth], 0.9)))
    assert np.mean(plain) < 0.90 < np.mean(careful) < 0.95


def test_left_out_patients_are_judged_by_others():
    """Patients whose labels are noise: a fit of their own would flatter, one of others cannot."""
    _, _, scored = exams(0.0, patients=40, per_patient=8, spread=3.0, seed=3)
    figures = left_out_figures(SPEC, scored, Decision())
    assert figures["recordings"] == 320
    assert figures["auroc"]["low"] < 0.5
    _, _, good = exams(1.6, patients=80, per_patient=4)
    figures = left_out_figures(SPEC, good, Decision())
    assert figures["specificity"]["value"] > 0.9
    assert figures["expected"] == pytest.approx(figures["prevalence"], abs=0.05)


@pytest.mark.parametrize(
    ("patients", "message"),
    [(2, "1 patients with murmur and 1 without"), (1, "0 patients with murmur")],
)
def test_too_few_patients_are_refused(patients, message):
    _, _, scored = exams(1.0, patients=patients, per_patient=20)
    with pytest.raises(CalibrationError, match=message):
        calibrate(SPEC, scored, Decision())


def test_nothing_heard_is_left_out_and_nonsense_is_refused():
    _, _, scored = exams(1.0, patients=40)
    unheard = replace(scored[0], probability={"murmur": float("nan")}, sustained={"murmur": 0.0})
    assert calibrate(SPEC, [*scored[1:], unheard], Decision()) == calibrate(
        SPEC, scored[1:], Decision()
    )
    broken = replace(scored[0], sustained={"murmur": float("nan")})
    with pytest.raises(CalibrationError, match="r0: murmur scored"):
        calibrate(SPEC, [*scored[1:], broken], Decision())
    with pytest.raises(CalibrationError, match="specificity must lie between"):
        calibrate(SPEC, scored, Decision(specificity=1.0))
