"""The vectorised curves against scikit-learn and plain loops on rows drawn one by one."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from align.statistics import expected_calibration_error, patient_weights
from benchmarks.accuracy.curves import (
    patients_with,
    weighted_auprc,
    weighted_ece,
    weighted_sensitivity,
)

EQUAL = np.ones((1, 60))


@pytest.fixture(params=["distinct", "tied"])
def drawn(request):
    """Truth, scores and the weights of 25 resamples."""
    random = np.random.default_rng(3)
    truth = (np.arange(60) % 4 == 0).astype(float)
    score = 1 / (1 + np.exp(-random.normal(truth, 1.0)))
    if request.param == "tied":
        score = np.round(score, 1)
    return truth, score, patient_weights(60, 25, seed=1)


def rows_of(weights):
    return np.repeat(np.arange(len(weights)), weights.astype(int))


def test_auprc_is_average_precision_of_the_drawn_rows(drawn):
    truth, score, weights = drawn
    wanted = [average_precision_score(truth[r], score[r]) for r in map(rows_of, weights)]
    assert weighted_auprc(truth, score, weights) == pytest.approx(wanted, abs=1e-12)


def plain_sensitivity(truth, score, specificity):
    best = 0.0
    for threshold in np.unique(score):
        called = score >= threshold
        if np.mean(~called[truth == 0]) >= specificity - 1e-12:
            best = max(best, np.mean(called[truth == 1]))
    return best


@pytest.mark.parametrize("specificity", [0.5, 0.9, 0.95])
def test_sensitivity_is_that_of_the_best_threshold_of_each_draw(drawn, specificity):
    truth, score, weights = drawn
    wanted = [plain_sensitivity(truth[r], score[r], specificity) for r in map(rows_of, weights)]
    found = weighted_sensitivity(truth, score, weights, specificity=specificity)
    assert found == pytest.approx(wanted, abs=1e-12)


def test_a_specificity_that_is_just_reached_counts():
    truth = np.array([0.0] * 20 + [1.0])
    score = np.array([*np.arange(20.0), 17.5])  # two negatives lie above the positive
    equal = np.ones((1, 21))
    assert weighted_sensitivity(truth, score, equal, specificity=0.90) == 1.0
    assert weighted_sensitivity(truth, score, equal, specificity=0.95) == 0.0


def test_ece_is_that_of_the_drawn_rows():
    random = np.random.default_rng(5)
    score = random.uniform(size=60)
    truth = (random.uniform(size=60) < score**2).astype(float)
    weights = patient_weights(60, 25, seed=2)
    wanted = [expected_calibration_error(truth[r], score[r]) for r in map(rows_of, weights)]
    assert weighted_ece(truth, score, weights) == pytest.approx(wanted, abs=1e-12)


def test_order_and_monotone_rescaling_change_nothing(drawn):
    truth, score, _ = drawn
    shuffled = np.random.default_rng(0).permutation(60)
    for curve in (weighted_auprc, lambda *a: weighted_sensitivity(*a, specificity=0.9)):
        plain = curve(truth, score, EQUAL)
        assert curve(truth[shuffled], score[shuffled], EQUAL) == pytest.approx(plain)
        assert curve(truth, score**3, EQUAL) == pytest.approx(plain)


def test_perfect_and_useless_scores():
    truth = (np.arange(60) < 15).astype(float)
    assert weighted_auprc(truth, truth, EQUAL) == 1.0
    assert weighted_sensitivity(truth, truth, EQUAL, specificity=0.95) == 1.0
    assert weighted_ece(truth, truth, EQUAL) == 0.0
    flat = np.full(60, 0.25)
    assert weighted_auprc(truth, flat, EQUAL) == pytest.approx(0.25)
    assert weighted_sensitivity(truth, flat, EQUAL, specificity=0.95) == 0.0


def test_a_class_that_was_not_drawn_is_not_a_number():
    truth = np.array([1.0, 0.0, 0.0])
    score = np.array([0.9, 0.2, 0.1])
    weights = np.array([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    assert np.isnan(weighted_auprc(truth, score, weights)).tolist() == [True, False]
    assert np.isnan(weighted_sensitivity(truth, score, weights, specificity=0.9)).all()


def test_patients_are_counted_once():
    assert patients_with(np.array([1.0, 1.0, 0.0, 1.0]), ["a", "a", "b", "c"]) == 2
