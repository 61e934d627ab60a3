"""Self-supervised and supervised losses against oracles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from align.objectives.ssl import cola_loss, masked_bce, supcon_loss


def gaussian(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def test_cola_is_cross_entropy_over_the_batch() -> None:
    first, second = gaussian(0, 6, 4), gaussian(1, 6, 4)
    logits = (first @ second.T).numpy()

    def direction(table: np.ndarray) -> float:
        return float(np.mean(np.log(np.exp(table).sum(1)) - np.diag(table)))

    both = (direction(logits) + direction(logits.T)) / 2
    assert float(cola_loss(first, second)) == pytest.approx(direction(logits), abs=1e-12)
    assert float(cola_loss(first, second, symmetric=True)) == pytest.approx(both, abs=1e-12)


def oracle_supcon(z: Tensor, labels: Tensor, temperature: float) -> float:
    unit = z.numpy() / np.linalg.norm(z.numpy(), axis=1, keepdims=True)
    s, values = unit @ unit.T / temperature, []
    for task in labels.numpy().T:
        known = [i for i in range(len(task)) if task[i] != -1]
        for i in known:
            others = [j for j in known if j != i]
            positives = [j for j in others if task[j] == task[i]]
            if positives:
                total = np.log(sum(np.exp(s[i, j]) for j in others))
                values.append(np.mean([total - s[i, j] for j in positives]))
    return float(np.mean(values))


SUPCON_LABELS = torch.tensor([[0, 1], [1, -1], [0, 1], [1, 0], [-1, -1], [2, 1], [0, -1]])


def test_supcon_equals_the_oracle_with_unknown_labels() -> None:
    z = gaussian(0, 7, 5)
    expected = oracle_supcon(z, SUPCON_LABELS, 0.2)
    assert float(supcon_loss(z, SUPCON_LABELS, 0.2)) == pytest.approx(expected, abs=1e-9)
    floats = SUPCON_LABELS.float()
    assert float(supcon_loss(z, floats, 0.2)) == pytest.approx(expected, abs=1e-9)


def test_supcon_gradient_is_finite_where_rows_have_no_company() -> None:
    z = gaussian(0, 7, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: supcon_loss(z, SUPCON_LABELS, 0.2), (z,))


def test_supcon_without_positives_is_zero_with_zero_gradient() -> None:
    z = gaussian(0, 3, 5).requires_grad_()
    loss = supcon_loss(z, torch.tensor([[0], [1], [-1]]))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert float(z.grad.abs().max()) == 0.0


def test_masked_bce_is_the_mean_over_known_labels() -> None:
    logits = gaussian(0, 4, 2).requires_grad_()
    labels = torch.tensor([[1, -1], [0, 1], [-1, -1], [1, 0]])
    loss = masked_bce(logits, labels)
    loss.backward()
    known = labels.numpy() != -1
    p = 1 / (1 + np.exp(-logits.detach().numpy()))
    expected = -np.log(np.where(labels.numpy() == 1, p, 1 - p))[known].mean()
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-12)
    assert torch.equal(logits.grad != 0, labels != -1)


def test_masked_bce_without_labels_is_zero() -> None:
    logits = gaussian(0, 4, 2).requires_grad_()
    loss = masked_bce(logits, torch.full((4, 2), -1.0))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert float(logits.grad.abs().max()) == 0.0
