"""Gradient caching equals the plain backward pass of the whole batch."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from align.objectives import build_objective
from align.training.gradient_cache import cached_backward

ROWS = 24


class RowDropout(nn.Module):
    """Dropout whose draws do not depend on how rows are cut into micro-batches."""

    def forward(self, rows: Tensor) -> Tensor:
        return torch.stack([nn.functional.dropout(row, 0.3) for row in rows])


def model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    # CKA would give a last bias no gradient.
    layers = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), RowDropout(), nn.Linear(16, 5, bias=False))
    return layers.double()


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(ROWS, 6, generator=generator, dtype=torch.float64),
        torch.randn(ROWS, 5, generator=generator, dtype=torch.float64),
    )


def gradients(*modules: nn.Module) -> list[Tensor]:
    return [parameter.grad for module in modules for parameter in module.parameters()]


@pytest.mark.parametrize("name", ["cka", "infonce"])
@pytest.mark.parametrize("size", [24, 8, 7, 1])
def test_gradient_equals_the_plain_one_with_dropout(name: str, size: int) -> None:
    audio, text = data()
    reports = torch.arange(ROWS)
    results = []
    for cached in (False, True):
        encoder, objective = model(), build_objective(name).double()
        torch.manual_seed(5)

        def loss(embeddings: Tensor, objective: nn.Module = objective) -> Tensor:
            return objective(embeddings, text, reports)

        if cached:
            value = cached_backward(encoder, audio.split(size), loss, scale=3.0)
        else:
            value = loss(encoder(audio))
            (3.0 * value).backward()
        results.append((value.detach(), gradients(encoder, objective), torch.rand(1)))
    (value, expected, draw), (cached_value, found, cached_draw) = results
    assert float(cached_value) == pytest.approx(float(value), abs=1e-12)
    assert draw == cached_draw  # what follows is as random as after a plain step
    for one, other in zip(found, expected, strict=True):
        assert float(other.norm()) > 1e-6
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-12)


def test_dropout_differs_between_micro_batches_but_not_between_passes() -> None:
    passes: list[Tensor] = []

    def encode(micro: Tensor) -> Tensor:
        passes.append(nn.functional.dropout(torch.ones(4, 64), 0.5))
        return micro

    audio = torch.ones(8, 1, requires_grad=True)
    cached_backward(encode, audio.split(4), lambda embeddings: embeddings.sum())
    first, second, first_again, second_again = passes
    assert torch.equal(first, first_again)
    assert torch.equal(second, second_again)
    assert not torch.equal(first, second)


def test_gradients_add_to_those_that_are_there() -> None:
    audio, text = data()
    encoder = model()
    encoder[2] = nn.Identity()

    def loss(embeddings: Tensor) -> Tensor:
        return (embeddings * text).sum()

    cached_backward(encoder, audio.split(8), loss)
    once = [gradient.clone() for gradient in gradients(encoder)]
    cached_backward(encoder, audio.split(8), loss)
    for one, twice in zip(once, gradients(encoder), strict=True):
        torch.testing.assert_close(twice, 2 * one)


def test_an_outer_autocast_does_not_lose_gradients() -> None:
    # PyTorch before 2.11 kept weights cast without gradient and reused them in the second pass.
    audio, text = (part.float() for part in data())
    results = []
    for cached in (False, True):
        encoder = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 5))
        torch.manual_seed(0)
        for parameter in encoder.parameters():
            nn.init.normal_(parameter)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            if cached:
                cached_backward(encoder, audio.split(6), lambda z: (z * text).sum())
            else:
                (encoder(audio) * text).sum().backward()
        results.append(gradients(encoder))
    for found, expected in zip(*reversed(results), strict=True):
        assert found is not None
        assert float((found - expected).norm()) < 0.02 * float(expected.norm())


def test_running_statistics_are_updated_once() -> None:
    audio, _ = data()
    micros = audio.split(8)
    plain, cached = nn.BatchNorm1d(6).double(), nn.BatchNorm1d(6).double()
    for micro in micros:
        plain(micro)
    cached_backward(cached, micros, lambda z: z.square().sum(), buffers=cached.buffers())
    for one, other in zip(cached.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other)


def test_only_the_last_micro_batch_synchronises() -> None:
    audio, _ = data()
    encoder = nn.Linear(6, 5).double()
    quiet: list[bool] = []
    backward_passes: list[bool] = []

    @contextmanager
    def no_sync():
        quiet.append(True)
        yield
        quiet.pop()

    def encode(micro: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            backward_passes.append(not quiet)
        return encoder(micro)

    cached_backward(encode, audio.split(6), lambda z: z.square().sum(), no_sync=no_sync)
    assert backward_passes == [False, False, False, True]


def test_no_micro_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one micro-batch"):
        cached_backward(nn.Identity(), [], lambda z: z.sum())
