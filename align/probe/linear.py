"""Linear probes on frozen embeddings: OPERA's protocol, and a deterministic fast one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F

from align.probe.problem import Floats, Indices, ProbeError, Problem, goodness
from align.tasks import ProbeSettings

PENALTIES = np.logspace(3, -4, 15)  # strongest first, so that a tie keeps the stronger one
LOGISTIC_STEPS = 200

# OPERA's linear probe (arXiv 2406.16148 and its released benchmark)
FIRST_WEIGHT_SD = 0.01
LEARNING_RATE = 1e-4
DECAY_PER_EPOCH = 0.97
CLIP_NORM = 1.0

Head = Literal["ridge", "logistic"]
Measure = Callable[[Problem, Indices, Floats], float]


def fast_probe(problem: Problem, head: Head = "ridge", measure: Measure = goodness) -> Floats:
    """Test scores (len(test), k) of a linear model on features standardised by the training rows.

    k is 1 for regression (predicted values) and two classes (higher = class 1), else the number of
    classes. The penalty is the one of `PENALTIES` (per training row) whose scores of `val` have the
    highest `measure`; the model is fitted on `train` alone. `ridge` is closed form: one
    eigendecomposition serves all penalties. Regression always uses it.

    Raises:
        ProbeError: see `Problem.check`.
    """
    problem.check()
    features = _standardised(problem)
    fits = _ridge if head == "ridge" or problem.classes == 0 else _logistic
    best, chosen = -np.inf, np.empty(0)
    for val, test in fits(problem, features):
        reached = measure(problem, problem.val, val)
        if reached > best:
            best, chosen = reached, test
    return chosen


def _standardised(problem: Problem) -> Floats:
    """Features with mean 0 and deviation 1 over `train`; constant features become 0."""
    features = problem.features.astype(np.float64)
    train = features[problem.train]
    spread = train.std(axis=0)
    constant = spread <= 1e-12 * np.abs(train).max(axis=0)
    scale = np.where(constant, 0, 1 / np.where(constant, 1, spread))
    return np.asarray((features - train.mean(axis=0)) * scale)


def _targets(problem: Problem) -> Floats:
    """What ridge fits, (n, k): values, +-1, or one column of 0 and 1 for each class."""
    if problem.classes == 0:
        return problem.truth[:, None]
    if problem.classes == 2:
        return 2 * problem.truth[:, None] - 1
    return np.asarray(np.eye(problem.classes)[problem.truth.astype(int)])


def _ridge(problem: Problem, features: Floats) -> Iterator[tuple[Floats, Floats]]:
    """(validation, test) scores for each penalty."""
    targets = _targets(problem)[problem.train]
    offset = targets.mean(axis=0)
    others = features[np.concatenate([problem.val, problem.test])]
    for found in ridge_path(features[problem.train], targets - offset, others):
        yield found[: len(problem.val)] + offset, found[len(problem.val) :] + offset


def ridge_path(x: Floats, targets: Floats, others: Floats) -> Iterator[Floats]:
    """Predictions (m, k) for `others` (m, d) from x (n, d), targets (n, k), for each of PENALTIES.

    x and targets are centred. With X'X/n = V diag(e) V', the weights for penalty p are
    V diag(1/(e + p)) V' X'Y/n: one eigendecomposition for all. When d > n the dual, XX'/n.
    """
    count, size = x.shape
    dual = size > count
    values, vectors = np.linalg.eigh((x @ x.T if dual else x.T @ x) / count)
    basis = x.T @ vectors if dual else vectors
    moments = (vectors.T @ targets if dual else basis.T @ (x.T @ targets)) / count
    coordinates = others @ basis
    for penalty in PENALTIES:
        yield coordinates @ (moments / (values.clip(min=0) + penalty)[:, None])


def _logistic(problem: Problem, features: Floats) -> Iterator[tuple[Floats, Floats]]:
    """(validation, test) decision values for each penalty, each fit started from the last."""
    count = len(problem.train)
    model = LogisticRegression(warm_start=True, max_iter=LOGISTIC_STEPS)
    for penalty in PENALTIES:
        model.C = 1 / (penalty * count)
        model.fit(features[problem.train], problem.truth[problem.train].astype(int))
        yield (
            _columns(model.decision_function(features[problem.val])),
            _columns(model.decision_function(features[problem.test])),
        )


def _columns(scores: NDArray[np.float64]) -> Floats:
    return scores[:, None] if scores.ndim == 1 else scores


def opera_probe(problem: Problem, settings: ProbeSettings) -> Floats:
    """Test scores (seeds, len(test), k) of OPERA's linear probe; k as in `fast_probe`.

    One linear layer on the features as they are: cross-entropy (regression: squared error of the
    output scaled back to the target's unit) plus `l2` times the sum of squares of all parameters;
    Adam, gradients clipped; scored with the weights of the epoch that was best on `val`. All seeds
    are trained side by side. `least-squares`, OPERA's choice for MMLung, is the minimum-norm
    solution on standardised features of `train` and `val`, alike for every seed.

    Raises:
        ProbeError: see `Problem.check`; or no epoch had a finite validation score.
    """
    problem.check()
    if settings.solver == "least-squares":
        return _least_squares(problem)[None]
    features = torch.from_numpy(problem.features)
    heads = _Heads(problem, settings.seeds)
    optimizer = torch.optim.Adam([heads.weight, heads.bias], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, DECAY_PER_EPOCH)
    best = [-np.inf] * len(settings.seeds)
    chosen: list[Floats | None] = [None] * len(settings.seeds)
    for epoch in range(1, settings.epochs + 1):
        _train_epoch(heads, features[problem.train], optimizer, settings)
        schedule.step()
        if epoch % settings.every:
            continue
        val, test = (heads.scores(features[rows]) for rows in (problem.val, problem.test))
        for seed in range(len(settings.seeds)):
            reached = goodness(problem, problem.val, val[seed])
            if reached > best[seed]:
                best[seed], chosen[seed] = reached, test[seed]
    found = [scores for scores in chosen if scores is not None]
    if len(found) < len(chosen):
        raise ProbeError(f"{problem.name}: the probe did not converge; are the features too large?")
    return np.stack(found)


class _Heads:
    """A linear layer for each seed: weight (seeds, d, k), bias (seeds, 1, k)."""

    def __init__(self, problem: Problem, seeds: tuple[int, ...]):
        size, outputs = problem.features.shape[1], max(problem.classes, 1)
        self.random = [torch.Generator().manual_seed(seed) for seed in seeds]
        first = [torch.randn(size, outputs, generator=random) for random in self.random]
        self.weight = (FIRST_WEIGHT_SD * torch.stack(first)).requires_grad_()
        self.bias = torch.zeros(len(seeds), 1, outputs, requires_grad=True)
        self.classes = problem.classes
        known = torch.from_numpy(problem.truth[problem.train])
        self.truth = known.float() if self.classes == 0 else known.long()
        self.mean, self.spread = float(known.mean()), float(known.std(correction=0))

    def __call__(self, features: Tensor) -> Tensor:
        """Logits, or values in the target's unit: (seeds, B, k) of (seeds, B, d) or (B, d)."""
        out = features @ self.weight + self.bias
        return out if self.classes else out * self.spread + self.mean

    def loss(self, features: Tensor, rows: Tensor, l2: float) -> Tensor:
        """Sum over seeds of the loss of `rows` (seeds, B) of `features`; seeds do not interact."""
        out, truth = self(features[rows]), self.truth[rows]
        if self.classes:
            each = F.cross_entropy(out.transpose(1, 2), truth, reduction="none")
        else:
            each = (out[:, :, 0] - truth).square()
        penalty = self.weight.square().sum() + self.bias.square().sum()
        return each.mean(dim=1).sum() + l2 * penalty

    def clip(self) -> None:
        """Scale each seed's gradient to a norm of at most `CLIP_NORM`."""
        gradients = [part.grad for part in (self.weight, self.bias) if part.grad is not None]
        norm = sum(part.square().sum(dim=(1, 2), keepdim=True) for part in gradients) ** 0.5
        for part in gradients:
            part.mul_((CLIP_NORM / (norm + 1e-6)).clamp(max=1.0))

    @torch.no_grad()
    def scores(self, features: Tensor) -> Floats:
        """What a task is scored on: (seeds, B, k)."""
        out = self(features).double()
        if self.classes == 2:
            out = out.softmax(dim=2)[:, :, 1:]
        elif self.classes:
            out = out.softmax(dim=2)
        return np.asarray(out.numpy())


def _train_epoch(
    heads: _Heads, features: Tensor, optimizer: torch.optim.Optimizer, settings: ProbeSettings
) -> None:
    orders = torch.stack([torch.randperm(len(features), generator=g) for g in heads.random])
    for begin in range(0, len(features), settings.batch):
        rows = orders[:, begin : begin + settings.batch]
        optimizer.zero_grad()
        heads.loss(features, rows, settings.l2).backward()  # type: ignore[no-untyped-call]
        heads.clip()
        optimizer.step()


def _least_squares(problem: Problem) -> Floats:
    """Predictions (len(test), 1); the training mean where features say nothing."""
    fitted = np.concatenate([problem.train, problem.val])
    features = _standardised(replace(problem, train=fitted))
    mean = problem.truth[fitted].mean()
    weights = np.linalg.lstsq(features[fitted], problem.truth[fitted] - mean, rcond=None)[0]
    return np.asarray((features[problem.test] @ weights + mean)[:, None])
