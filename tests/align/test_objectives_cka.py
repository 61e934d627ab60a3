"""CKA: the debiased estimate against a float64 oracle, its invariances, and what it must not do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from align.objectives import (
    ObjectiveError,
    biased_cka,
    build_objective,
    debiased_cka,
    released_cka,
)

# More dimensions than rows take the path through n x n Grams, fewer the one through d x k products.
SHAPES = [(24, 512, 512), (40, 64, 200), (300, 30, 20), (5, 3, 9), (64, 3, 400)]


def gaussian(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def rotation(seed: int, size: int) -> Tensor:
    return torch.linalg.qr(gaussian(seed, size, size))[0]


def oracle_hsic(k: np.ndarray, other: np.ndarray) -> float:
    """Song et al. 2012 written as sums over index tuples, on full matrices."""
    n = len(k)
    k, other = k - np.diag(np.diag(k)), other - np.diag(np.diag(other))
    ones = np.ones(n)
    trace = np.trace(k @ other)
    sums = (ones @ k @ ones) * (ones @ other @ ones) / ((n - 1) * (n - 2))
    return (trace + sums - 2 / (n - 2) * (ones @ k @ other @ ones)) / (n * (n - 3))


def oracle_cka(x: Tensor, y: Tensor) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    k, other = (x @ x.T).numpy(), (y @ y.T).numpy()
    return oracle_hsic(k, other) / np.sqrt(oracle_hsic(k, k) * oracle_hsic(other, other))


def oracle_biased(x: Tensor, y: Tensor) -> float:
    n = len(x)
    centring = np.eye(n) - 1 / n
    k, other = (centring @ (side @ side.T).numpy() @ centring for side in (x, y))
    return np.trace(k @ other) / np.sqrt(np.trace(k @ k) * np.trace(other @ other))


@pytest.mark.parametrize("shape", SHAPES)
def test_debiased_cka_equals_the_oracle(shape: tuple[int, int, int]) -> None:
    n, d, k = shape
    x = gaussian(0, n, d)
    y = gaussian(1, n, k) + 0.3 * x[:, :1] + 5.0
    expected = oracle_cka(x, y)
    assert float(debiased_cka(x, y)) == pytest.approx(expected, abs=1e-12)
    assert float(debiased_cka(x.float(), y.float())) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_biased_cka_equals_the_oracle(shape: tuple[int, int, int]) -> None:
    n, d, k = shape
    x, y = gaussian(0, n, d) - 2.0, gaussian(1, n, k)
    assert float(biased_cka(x, y)) == pytest.approx(oracle_biased(x, y), abs=1e-12)


def test_released_cka_compares_covariances() -> None:
    x, y = gaussian(0, 24, 16), gaussian(1, 24, 16)
    left, right = (np.cov(side.numpy(), rowvar=False) for side in (x, y))
    expected = (left * right).sum() / (np.linalg.norm(left) * np.linalg.norm(right))
    assert float(released_cka(x, y)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shape", [(12, 20, 16), (40, 5, 4)])
@pytest.mark.parametrize("similarity", [debiased_cka, biased_cka])
def test_gradient_equals_finite_differences(similarity, shape: tuple[int, int, int]) -> None:
    n, d, k = shape
    x, y = gaussian(0, n, d).requires_grad_(), gaussian(1, n, k).requires_grad_()
    assert torch.autograd.gradcheck(similarity, (x, y), fast_mode=True)


@pytest.mark.parametrize("similarity", [debiased_cka, biased_cka])
def test_rotation_scale_and_offset_change_nothing(similarity) -> None:
    x = gaussian(0, 40, 24)
    y = x @ gaussian(1, 24, 12) + gaussian(2, 40, 12)
    moved = 1e4 * x @ rotation(3, 24) + 7.0
    assert float(similarity(moved, 1e-5 * y)) == pytest.approx(float(similarity(x, y)), abs=1e-9)


@pytest.mark.parametrize("similarity", [debiased_cka, biased_cka])
def test_reordering_both_sides_alike_changes_nothing(similarity) -> None:
    x, y = gaussian(0, 40, 24), gaussian(1, 40, 12)
    order = torch.from_numpy(np.random.default_rng(2).permutation(40))
    assert float(similarity(x[order], y[order])) == pytest.approx(float(similarity(x, y)))


def test_reordering_one_side_changes_cka_but_not_the_released_loss() -> None:
    # The released loss cannot see which report belongs to which recording: the reason for ours.
    x = gaussian(0, 24, 512)
    y = x + 0.5 * gaussian(1, 24, 512)
    order = torch.from_numpy(np.random.default_rng(2).permutation(24))
    assert float(debiased_cka(x, y)) > 0.7
    assert abs(float(debiased_cka(x, y[order]))) < 0.15
    assert float(released_cka(x, y[order])) == pytest.approx(float(released_cka(x, y)), abs=1e-12)


def test_independent_gaussians_fool_only_the_biased_estimate() -> None:
    assert float(biased_cka(gaussian(0, 24, 512), gaussian(1, 24, 512))) == pytest.approx(
        512 / (512 + 24), abs=0.01
    )
    pairs = [(gaussian(2 * i, 128, 768), gaussian(2 * i + 1, 128, 2560)) for i in range(20)]
    biased = torch.stack([biased_cka(x.float(), y.float()) for x, y in pairs])
    debiased = torch.stack([debiased_cka(x.float(), y.float()) for x, y in pairs])
    assert 0.89 < float(biased.mean()) < 0.91
    assert abs(float(debiased.mean())) < 0.01  # sd 0.012 each, 20 of them
    assert 0.006 < float(debiased.std()) < 0.02


def test_bounds_hold_for_identical_sides() -> None:
    x = gaussian(0, 16, 300).float()
    assert float(debiased_cka(x, x)) == pytest.approx(1.0, abs=1e-5)


def test_large_features_stay_finite_in_float32() -> None:
    x, y = 1e9 * gaussian(0, 64, 256).float(), 1e-9 * gaussian(1, 64, 256).float()
    expected = oracle_cka(x.double(), y.double())
    assert float(debiased_cka(x, y)) == pytest.approx(expected, abs=1e-5)


def test_autocast_does_not_lower_the_precision() -> None:
    x, y = gaussian(0, 32, 64).bfloat16(), gaussian(1, 32, 64).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = debiased_cka(x, y)
    assert inside.dtype == torch.float32
    assert float(inside) == float(debiased_cka(x.float(), y.float()))


@pytest.mark.parametrize("rows", [4, 32])
@pytest.mark.parametrize("name", ["cka", "cka-biased", "released"])
def test_collapsed_features_give_loss_one_and_no_gradient(name: str, rows: int) -> None:
    x = torch.full((rows, 8), 0.1, requires_grad=True)
    y = gaussian(0, rows, 8).float().requires_grad_()
    loss = build_objective(name)(x, y, torch.arange(rows))
    loss.backward()
    assert float(loss.detach()) == 1.0
    assert float(x.grad.abs().max()) == 0.0
    assert float(y.grad.abs().max()) == 0.0


def test_orthogonal_reports_carry_no_structure() -> None:
    # All distances equal: the debiased self term is zero, and only its clamp keeps this finite.
    x = gaussian(0, 16, 8).float().requires_grad_()
    value = debiased_cka(x, torch.eye(16))
    value.backward()
    assert abs(float(value.detach())) < 1e-2
    assert bool(x.grad.isfinite().all())


def test_three_recordings_are_too_few() -> None:
    with pytest.raises(ObjectiveError, match="at least 4 recordings, got 3"):
        debiased_cka(gaussian(0, 3, 8), gaussian(1, 3, 8))


def test_unequal_numbers_of_rows_are_named() -> None:
    with pytest.raises(ObjectiveError, match=r"\(8, 4\) and text \(7, 4\)"):
        debiased_cka(gaussian(0, 8, 4), gaussian(1, 7, 4))


def test_a_nan_input_gives_a_nan_loss() -> None:
    # The training loop stops on NaN; hiding it as a collapse would let the run go on.
    x = gaussian(0, 8, 4)
    x[2, 1] = float("nan")
    assert bool(debiased_cka(x, gaussian(1, 8, 4)).isnan())


def test_descent_finds_a_planted_signal() -> None:
    hidden = gaussian(0, 64, 4).float()
    text = hidden @ gaussian(1, 4, 32).float()
    audio = torch.cat([hidden, 3 * gaussian(2, 64, 28).float()], dim=1)
    weight = (0.1 * gaussian(3, 32, 16).float()).requires_grad_()
    losses = []
    for _ in range(150):
        loss = build_objective("cka")(audio @ weight, text, torch.arange(64))
        losses.append(float(loss.detach()))
        (gradient,) = torch.autograd.grad(loss, weight)
        with torch.no_grad():
            weight -= 0.03 * weight.norm() * gradient / gradient.norm()  # CKA ignores the scale
    assert losses[0] > 0.7
    assert losses[-1] < 0.1
    assert float(weight.detach()[:4].norm()) > 5 * float(weight.detach()[4:].norm())
