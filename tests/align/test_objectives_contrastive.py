"""InfoNCE, SigLIP and cosine against float64 oracles written row by row."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from align.objectives import OBJECTIVES, ObjectiveError, build_objective

REPORTS = torch.tensor([0, 1, 2, 1, 3, 4, 1, 0])


def gaussian(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def cosines(audio: Tensor, text: Tensor) -> np.ndarray:
    a, t = audio.numpy(), text.numpy()
    return a @ t.T / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(t, axis=1))


def oracle_infonce(audio: Tensor, text: Tensor, reports: Tensor, temperature: float) -> float:
    similarity = cosines(audio, text) / temperature
    losses = []
    for table in (similarity, similarity.T):
        for i, row in enumerate(table):
            rivals = [row[j] for j in range(len(row)) if j == i or reports[j] != reports[i]]
            losses.append(math.log(sum(math.exp(value) for value in rivals)) - row[i])
    return float(np.mean(losses))


def oracle_siglip(audio: Tensor, text: Tensor, reports: Tensor, scale: float, bias: float) -> float:
    logits = scale * cosines(audio, text) + bias
    n, total = len(logits), 0.0
    for i in range(n):
        for j in range(n):
            sign = 1 if reports[i] == reports[j] else -1
            total += math.log1p(math.exp(-sign * logits[i, j]))
    return total / n


def test_infonce_drops_rows_with_an_equal_report_from_the_negatives() -> None:
    audio, text = gaussian(0, 8, 6), gaussian(1, 8, 6)
    loss = build_objective("infonce", temperature=0.2)(audio, text, REPORTS)
    assert float(loss.detach()) == pytest.approx(
        oracle_infonce(audio, text, REPORTS, 0.2), abs=1e-6
    )


def test_siglip_takes_equal_reports_as_positives() -> None:
    audio, text = gaussian(0, 8, 6), gaussian(1, 8, 6)
    loss = build_objective("siglip", scale=5.0, bias=-3.0)(audio, text, REPORTS)
    assert float(loss.detach()) == pytest.approx(
        oracle_siglip(audio, text, REPORTS, 5.0, -3.0), abs=1e-5
    )


def test_cosine_is_one_minus_the_mean_cosine_of_pairs() -> None:
    audio, text = gaussian(0, 8, 6), gaussian(1, 8, 6)
    loss = build_objective("cosine")(audio, text, REPORTS)
    assert float(loss) == pytest.approx(1 - np.diag(cosines(audio, text)).mean(), abs=1e-12)


@pytest.mark.parametrize("name", ["infonce", "siglip", "cosine"])
def test_reordering_one_side_raises_the_loss_of_paired_rows(name: str) -> None:
    audio = gaussian(0, 24, 32)
    text = audio + 0.3 * gaussian(1, 24, 32)
    order = torch.from_numpy(np.random.default_rng(2).permutation(24))
    objective = build_objective(name)
    paired = float(objective(audio, text, torch.arange(24)).detach())
    assert float(objective(audio, text[order], torch.arange(24)).detach()) > paired + 0.5


@pytest.mark.parametrize("name", ["infonce", "siglip", "cosine"])
def test_gradients_equal_finite_differences(name: str) -> None:
    objective = build_objective(name).double()
    audio, text = gaussian(0, 8, 5).requires_grad_(), gaussian(1, 8, 5).requires_grad_()
    parameters = tuple(objective.parameters())

    def loss(audio: Tensor, text: Tensor, *_: Tensor) -> Tensor:
        return objective(audio, text, REPORTS)

    assert torch.autograd.gradcheck(loss, (audio, text, *parameters))


def test_one_report_for_all_gives_infonce_nothing_to_learn() -> None:
    audio = gaussian(0, 8, 5).requires_grad_()
    loss = build_objective("infonce")(audio, gaussian(1, 8, 5), torch.zeros(8, dtype=torch.int64))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-12)
    assert float(audio.grad.abs().max()) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", ["infonce", "siglip", "cosine"])
def test_autocast_does_not_lower_the_precision(name: str) -> None:
    objective = build_objective(name)
    audio, text = gaussian(0, 8, 64).bfloat16(), gaussian(1, 8, 64).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = objective(audio, text, REPORTS)
    assert torch.equal(inside, objective(audio.float(), text.float(), REPORTS))


@pytest.mark.parametrize("name", ["infonce", "siglip", "cosine"])
def test_descent_pairs_rows(name: str) -> None:
    text, audio = gaussian(0, 16, 8), gaussian(1, 16, 8).requires_grad_()
    objective = build_objective(name)
    for _ in range(200):
        (gradient,) = torch.autograd.grad(objective(audio, text, torch.arange(16)), audio)
        with torch.no_grad():
            audio -= gradient / gradient.norm()
    nearest = cosines(audio.detach(), text).argmax(axis=1)
    assert nearest.tolist() == list(range(16))


@pytest.mark.parametrize("name", ["infonce", "siglip", "cosine", "released"])
def test_unequal_widths_are_refused(name: str) -> None:
    with pytest.raises(ObjectiveError, match="not 5 and 6; add projection heads"):
        build_objective(name)(gaussian(0, 8, 5), gaussian(1, 8, 6), REPORTS)


@pytest.mark.parametrize("name", ["infonce", "siglip"])
def test_report_ids_of_another_batch_are_refused(name: str) -> None:
    with pytest.raises(ObjectiveError, match="one id per row"):
        build_objective(name)(gaussian(0, 8, 5), gaussian(1, 8, 5), REPORTS[:7])


def test_unknown_names_and_options_are_refused() -> None:
    with pytest.raises(ObjectiveError, match=f"known: {', '.join(OBJECTIVES)}"):
        build_objective("mse")
    with pytest.raises(ObjectiveError, match=r"'cka'.*temperature"):
        build_objective("cka", temperature=0.1)
    with pytest.raises(ObjectiveError, match="temperature must be above 0, not 0"):
        build_objective("infonce", temperature=0)
