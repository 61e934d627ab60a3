"""The vectorised bootstrap: scikit-learn's value for every weight, drawn patient by patient."""

import numpy as np
import pytest
from rows import row
from sklearn.metrics import mean_absolute_error, roc_auc_score

from align.probe.score import TaskScores, resampled
from align.statistics import macro_auroc, patient_weights, weighted_auroc
from align.tasks import Task


def drawn(rows=300, resamples=40, decimals=1, seed=0):
    """Truth, scores with many ties, and weights of which some are zero."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, rows).astype(float)
    score = (random.standard_normal(rows) + 0.5 * truth).round(decimals)
    return truth, score, random.integers(0, 4, (resamples, rows)).astype(float)


@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_weighted_auroc_is_sklearns(decimals):
    truth, score, weights = drawn(decimals=decimals)
    expected = [roc_auc_score(truth, score, sample_weight=weight) for weight in weights]
    assert np.allclose(weighted_auroc(truth, score, weights), expected, rtol=0, atol=1e-12)
    assert weighted_auroc(truth, score)[0] == pytest.approx(roc_auc_score(truth, score), abs=1e-12)


def test_weights_are_repetitions():
    truth, score, weights = drawn(rows=60, resamples=5)
    for weight, value in zip(weights, weighted_auroc(truth, score, weights), strict=True):
        rows = np.repeat(np.arange(60), weight.astype(int))
        assert value == pytest.approx(roc_auc_score(truth[rows], score[rows]), abs=1e-12)


def test_more_resamples_than_one_part_change_nothing(monkeypatch):
    truth, score, weights = drawn()
    whole = weighted_auroc(truth, score, weights)
    monkeypatch.setattr("align.statistics.RESAMPLES_AT_ONCE", 7)
    assert np.array_equal(whole, weighted_auroc(truth, score, weights))


def test_a_resample_with_one_class_is_undefined():
    truth, score, weights = drawn(rows=20, resamples=3)
    weights[1, truth > 0] = 0
    found = weighted_auroc(truth, score, weights)
    assert np.isnan(found[1]) and np.isfinite(found[[0, 2]]).all()


def test_macro_auroc_is_sklearns_one_against_the_rest():
    random = np.random.default_rng(0)
    truth = np.arange(200) % 4
    scores = random.random((200, 4)) + np.eye(4)[truth]
    scores /= scores.sum(axis=1, keepdims=True)
    weights = random.integers(0, 3, (5, 200)).astype(float)
    expected = [
        np.mean([roc_auc_score(truth == k, scores[:, k], sample_weight=w) for k in range(4)])
        for w in weights
    ]
    assert np.allclose(macro_auroc(truth.astype(float), scores, weights), expected, atol=1e-12)
    plain = roc_auc_score(truth, scores, multi_class="ovr", average="macro")
    assert macro_auroc(truth.astype(float), scores)[0] == pytest.approx(plain, abs=1e-12)


def test_every_resample_draws_as_many_patients_as_there_are():
    weights = patient_weights(50, 2000, 1)
    assert weights.shape == (2000, 50)
    assert (weights.sum(axis=1) == 50).all()
    assert abs(weights.mean(axis=0) - 1).max() < 0.15
    assert weights.var() == pytest.approx(1 - 1 / 50, rel=0.05)
    assert np.array_equal(weights, patient_weights(50, 2000, 1))


def scored(task, names, truth=None, scores=None, **row_options):
    rows = tuple(row(name, corpus=task.corpus, **row_options, patient=name[0]) for name in names)
    truth = np.zeros(len(rows)) if truth is None else np.asarray(truth, dtype=float)
    scores = np.zeros((1, len(rows), 1)) if scores is None else np.asarray(scores, dtype=float)
    return TaskScores(task, rows, ("",) * len(rows), truth, scores)


def task(name, corpus, metric="auroc"):
    classes = {} if metric == "mae" else {"false": 0, "true": 1}
    return Task(name, corpus, "label", "ours", classes=classes, metric=metric)


def test_recordings_of_a_patient_are_drawn_together_in_all_tasks_of_a_corpus():
    wheeze = scored(task("wheeze", "lung"), ["a1", "a2", "b1", "c1"])
    crackle = scored(task("crackle", "lung"), ["c2", "a1"])
    murmur = scored(task("murmur", "heart"), ["a1", "b1", "c1"])
    first, second, third = resampled([wheeze, crackle, murmur], 200)
    assert np.array_equal(first[:, 0], first[:, 1])
    assert np.array_equal(first[:, 0], second[:, 1])
    assert np.array_equal(first[:, 3], second[:, 0])
    assert not np.array_equal(first[:, 0], first[:, 2])
    assert not np.array_equal(first[:, 0], third[:, 0])


def test_mae_counts_every_patient_once():
    own = task("rate", "nose", "mae")
    one = scored(own, ["a1", "a2", "a3", "b1"], truth=[1, 1, 1, 1], scores=[[[2], [2], [2], [5]]])
    assert one.metric()[0, 0] == pytest.approx((1 + 4) / 2)
    assert one.metric(np.array([[2.0, 2, 2, 1]]))[0, 0] == pytest.approx((2 * 1 + 4) / 3)
    alone = scored(own, ["a1", "b1"], truth=[1, 2], scores=[[[3], [2.5]]])
    assert alone.metric()[0, 0] == mean_absolute_error([1, 2], [3, 2.5])
