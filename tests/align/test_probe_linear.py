"""Linear probes against independent solutions, planted signals and nulls."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from torch import nn

from align.probe import linear
from align.probe.linear import fast_probe, opera_probe
from align.probe.problem import ProbeError, Problem
from align.tasks import ProbeSettings


def planted(rows=240, size=12, classes=2, strength=1.0, seed=0):
    """Features in which one direction for each class (or the value itself) carries the truth."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal((rows, size))
    if classes:
        truth = np.arange(rows) % classes
        noise += strength * 2 * np.eye(size)[truth]
    else:
        truth = random.uniform(1, 5, rows)
        noise[:, 0] += strength * truth
    order = random.permutation(rows)
    train, val, test = np.split(order, [rows // 2, rows * 3 // 4])
    return Problem("toy", noise.astype(np.float32), truth.astype(float), classes, train, val, test)


def area(problem, scores):
    return roc_auc_score(problem.truth[problem.test], scores[:, 0])


@pytest.mark.parametrize("size", [6, 200])
def test_ridge_is_sklearns_for_each_penalty_in_both_forms(size, monkeypatch):
    problem = planted(size=size)
    scaler = StandardScaler().fit(problem.features[problem.train].astype(np.float64))
    x = scaler.transform(problem.features.astype(np.float64))
    for penalty in (10.0, 0.1):
        monkeypatch.setattr(linear, "PENALTIES", np.array([penalty]))
        model = Ridge(alpha=penalty * len(problem.train))
        model.fit(x[problem.train], 2 * problem.truth[problem.train] - 1)
        assert np.allclose(
            fast_probe(problem)[:, 0], model.predict(x[problem.test]), rtol=1e-7, atol=1e-9
        )


def test_logistic_is_sklearns(monkeypatch):
    problem = planted()
    monkeypatch.setattr(linear, "PENALTIES", np.array([0.1]))
    x = StandardScaler().fit(problem.features[problem.train]).transform(problem.features)
    model = LogisticRegression(C=1 / (0.1 * len(problem.train)), tol=1e-8, max_iter=1000)
    model.fit(x[problem.train], problem.truth[problem.train])
    found = fast_probe(problem, "logistic")[:, 0]
    assert np.allclose(found, model.decision_function(x[problem.test]), atol=5e-3)


@pytest.mark.parametrize("head", ["ridge", "logistic"])
def test_a_planted_signal_is_found_and_a_null_is_not(head):
    signal, null = planted(rows=1200), planted(rows=1200, strength=0.0)
    assert area(signal, fast_probe(signal, head)) > 0.95
    assert abs(area(null, fast_probe(null, head)) - 0.5) < 0.08


@pytest.mark.parametrize("head", ["ridge", "logistic"])
def test_more_classes_give_a_score_each(head):
    problem = planted(rows=600, classes=4)
    scores = fast_probe(problem, head)
    assert scores.shape == (len(problem.test), 4)
    assert (scores.argmax(axis=1) == problem.truth[problem.test]).mean() > 0.7


def test_a_value_is_regressed_in_its_own_unit():
    problem = planted(rows=600, classes=0, strength=3.0)
    error = np.abs(fast_probe(problem)[:, 0] - problem.truth[problem.test]).mean()
    assert error < 0.4
    mean = problem.truth[problem.train].mean()
    assert error < 0.5 * np.abs(mean - problem.truth[problem.test]).mean()


@pytest.mark.parametrize("head", ["ridge", "logistic"])
def test_scale_shift_and_constant_features_change_nothing(head):
    problem = planted()
    changed = problem.features * 7.0 + 3.0
    changed = np.concatenate([changed, np.full((len(changed), 2), 0.1, np.float32)], axis=1)
    assert np.allclose(
        fast_probe(problem, head), fast_probe(replace(problem, features=changed), head), atol=1e-3
    )


def test_the_penalty_is_chosen_without_the_test_truth():
    problem = planted(strength=0.3)
    swapped = problem.truth.copy()
    swapped[problem.test] = 1 - swapped[problem.test]
    assert np.array_equal(fast_probe(problem), fast_probe(replace(problem, truth=swapped)))


def test_the_penalty_is_the_best_one_on_validation(monkeypatch):
    problem = planted(rows=400, size=150, seed=3)
    by_penalty = []
    for penalty in linear.PENALTIES:
        with monkeypatch.context() as patch:
            patch.setattr(linear, "PENALTIES", np.array([penalty]))
            scored = fast_probe(replace(problem, test=problem.val))[:, 0]
            by_penalty.append((roc_auc_score(problem.truth[problem.val], scored), penalty))
    best = max(by_penalty, key=lambda pair: pair[0])[1]
    chosen = fast_probe(problem)
    assert linear.PENALTIES[-1] < best < linear.PENALTIES[0]
    monkeypatch.setattr(linear, "PENALTIES", np.array([best]))
    assert np.array_equal(chosen, fast_probe(problem))


def by_hand(problem, settings, seed):
    """OPERA's probe with torch's own layer, loss and clipping, one seed at a time."""
    random = torch.Generator().manual_seed(seed)
    layer = nn.Linear(problem.features.shape[1], max(problem.classes, 1))
    with torch.no_grad():
        first = torch.randn(layer.in_features, layer.out_features, generator=random)
        layer.weight.copy_(0.01 * first.T)
        layer.bias.zero_()
    x, truth = torch.from_numpy(problem.features), torch.from_numpy(problem.truth)
    mean, sd = truth[problem.train].mean().float(), truth[problem.train].std(correction=0).float()
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-4)
    best, chosen = -np.inf, None
    for epoch in range(settings.epochs):
        for group in optimizer.param_groups:
            group["lr"] = 1e-4 * 0.97**epoch
        order = torch.randperm(len(problem.train), generator=random)
        for rows in order.split(settings.batch):
            own = torch.from_numpy(problem.train)[rows]
            optimizer.zero_grad()
            if problem.classes:
                loss = nn.functional.cross_entropy(layer(x[own]), truth[own].long())
            else:
                loss = nn.functional.mse_loss(layer(x[own])[:, 0] * sd + mean, truth[own].float())
            loss = loss + settings.l2 * sum(part.pow(2).sum() for part in layer.parameters())
            loss.backward()
            nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
            optimizer.step()
        if (epoch + 1) % settings.every:
            continue
        with torch.no_grad():
            if problem.classes:
                out = layer(x).softmax(dim=1).numpy()[:, 1]
                reached = roc_auc_score(problem.truth[problem.val], out[problem.val])
            else:
                out = (layer(x)[:, 0] * sd + mean).numpy()
                reached = -np.abs(out - problem.truth)[problem.val].mean()
        if reached > best:
            best, chosen = reached, out[problem.test]
    return chosen


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("classes", [2, 0])
def test_operas_protocol_is_what_a_plain_loop_gives(classes, every):
    problem = planted(rows=150, classes=classes)
    settings = ProbeSettings(epochs=6, batch=32, every=every, l2=0.01, seeds=(3, 5))
    found = opera_probe(problem, settings)
    assert found.shape == (2, len(problem.test), 1)
    for index, seed in enumerate(settings.seeds):
        assert np.allclose(found[index, :, 0], by_hand(problem, settings, seed), atol=1e-5)


def test_seeds_do_not_influence_one_another():
    problem = planted(rows=120)
    both = opera_probe(problem, ProbeSettings(epochs=4, seeds=(0, 1)))
    alone = opera_probe(problem, ProbeSettings(epochs=4, seeds=(1,)))
    assert np.allclose(both[1], alone[0], atol=1e-6)
    assert not np.allclose(both[0], both[1], atol=1e-4)


def test_operas_probe_scores_every_class():
    problem = planted(rows=300, classes=3, strength=3.0)
    scores = opera_probe(problem, ProbeSettings(epochs=20, batch=16, seeds=(0,)))
    assert scores.shape == (1, len(problem.test), 3)
    assert np.allclose(scores.sum(axis=2), 1)


@pytest.mark.parametrize("size", [5, 300])
def test_least_squares_is_the_minimum_norm_solution_of_train_and_validation(size):
    problem = planted(rows=80, size=size, classes=0)
    found = opera_probe(problem, ProbeSettings(solver="least-squares"))
    fitted = np.concatenate([problem.train, problem.val])
    features = problem.features.astype(np.float64)
    scaler = StandardScaler().fit(features[fitted])
    model = LinearRegression().fit(scaler.transform(features[fitted]), problem.truth[fitted])
    expected = model.predict(scaler.transform(features[problem.test]))
    assert found.shape == (1, len(problem.test), 1)
    assert np.allclose(found[0, :, 0], expected, rtol=1e-6)


def without_validation(problem):
    return replace(problem, val=problem.val[:0])


def with_one_class(problem):
    return replace(problem, train=problem.train[problem.truth[problem.train] == 0])


def with_nan(problem):
    features = problem.features.copy()
    features[problem.test[:2], 3] = np.nan
    return replace(problem, features=features)


@pytest.mark.parametrize("probe", [fast_probe, lambda p: opera_probe(p, ProbeSettings(epochs=1))])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_validation, "toy: the val fold has no recordings"),
        (with_one_class, "toy: the train fold has no recording of class 1"),
        (with_nan, "toy: 2 test embeddings are not finite"),
    ],
)
def test_what_cannot_be_probed_is_one_sentence(probe, spoil, message):
    with pytest.raises(ProbeError, match=message):
        probe(spoil(planted()))


def test_a_probe_that_diverges_says_so():
    problem = planted(classes=0)
    huge = replace(problem, features=problem.features * np.float32(1e30))
    with pytest.raises(ProbeError, match="did not converge"):
        opera_probe(huge, ProbeSettings(epochs=2, seeds=(0,)))
