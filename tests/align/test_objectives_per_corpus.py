"""Mixed batches: an offset per corpus looks like alignment, and must not count as such."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from align.objectives import ObjectiveError, build_objective, debiased_cka, per_corpus


def gaussian(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def six_sets(rows: int = 64, width: int = 128) -> tuple[Tensor, Tensor, Tensor]:
    """Audio and text that share nothing within a corpus, but an offset per corpus."""
    corpora = torch.arange(6).repeat_interleave(rows)
    audio = gaussian(0, 6 * rows, width) + 1.1 * gaussian(1, 6, width)[corpora]
    text = gaussian(2, 6 * rows, width) + 1.1 * gaussian(3, 6, width)[corpora]
    return audio, text, corpora


def test_an_offset_per_corpus_counts_only_when_corpora_are_mixed() -> None:
    audio, text, corpora = six_sets()
    mixed = float(debiased_cka(audio, text))
    result = per_corpus(build_objective("cka"), audio, text, torch.arange(len(audio)), corpora)
    assert 0.8 < mixed < 0.95
    assert float(result.loss) == pytest.approx(1.0, abs=0.05)


def test_shuffling_reports_within_corpora_leaves_the_mixed_value() -> None:
    audio, text, _ = six_sets()
    random = np.random.default_rng(4)
    order = torch.cat([torch.from_numpy(64 * c + random.permutation(64)) for c in range(6)])
    shuffled = float(debiased_cka(audio, text[order]))
    assert shuffled == pytest.approx(float(debiased_cka(audio, text)), abs=0.03)


def test_the_loss_is_the_mean_weighted_by_rows_and_order_does_not_matter() -> None:
    objective = build_objective("infonce").requires_grad_(False)
    audio, text = gaussian(0, 20, 8), gaussian(1, 20, 8)
    reports = torch.arange(20) // 2
    corpora = torch.tensor([7] * 12 + [3] * 8)
    first = objective(audio[:12], text[:12], reports[:12])
    second = objective(audio[12:], text[12:], reports[12:])
    order = torch.from_numpy(np.random.default_rng(2).permutation(20))
    result = per_corpus(objective, audio[order], text[order], reports[order], corpora[order])
    assert float(result.loss) == pytest.approx(float(0.6 * first + 0.4 * second), abs=1e-7)
    assert {c: float(v) for c, v in result.values.items()} == pytest.approx(
        {3: float(second), 7: float(first)}, abs=1e-7
    )


def test_small_corpora_are_left_out_and_counted() -> None:
    audio, text = gaussian(0, 15, 8), gaussian(1, 15, 8)
    corpora = torch.tensor([0] * 3 + [1] * 10 + [2] * 2)
    result = per_corpus(build_objective("cka"), audio, text, torch.arange(15), corpora)
    assert result.left_out == 5
    assert list(result.values) == [1]
    assert float(result.loss) == pytest.approx(1 - float(debiased_cka(audio[3:13], text[3:13])))


def test_without_a_large_enough_corpus_the_loss_is_zero_with_zero_gradient() -> None:
    audio = gaussian(0, 3, 8).requires_grad_()
    corpora = torch.zeros(3, dtype=torch.int64)
    result = per_corpus(build_objective("cka"), audio, audio, torch.arange(3), corpora)
    result.loss.backward()
    assert (float(result.loss.detach()), result.values, result.left_out) == (0.0, {}, 3)
    assert float(audio.grad.abs().max()) == 0.0


def test_values_for_the_log_keep_no_graph() -> None:
    audio = gaussian(0, 8, 4).requires_grad_()
    corpora = torch.zeros(8, dtype=torch.int64)
    result = per_corpus(build_objective("cka"), audio, audio, torch.arange(8), corpora)
    assert result.loss.requires_grad
    assert not result.values[0].requires_grad


def test_an_id_per_row_is_required() -> None:
    x = gaussian(0, 8, 4)
    with pytest.raises(ObjectiveError, match=r"corpora \(7,\).*one id per row \(8\)"):
        per_corpus(build_objective("cka"), x, x, torch.arange(8), torch.zeros(7))
