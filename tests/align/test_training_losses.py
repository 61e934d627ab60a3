"""What a stage minimises, and what its log tells."""

from pathlib import Path

import pytest
import torch

from align.corpora import Recording
from align.objectives import build_objective
from align.objectives.ssl import UNKNOWN
from align.training.losses import (
    alignment_loss,
    effective_rank,
    guiding_loss,
    label_table,
    within_corpus_cka,
)
from align.training.model import Output
from align.training.recipe import ObjectiveConfig
from align.training.texts import NO_TEXT

CONFIG = ObjectiveConfig()


def vectors(rows, width, seed):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def row(labels):
    return Recording("circor", "r", Path("r"), "p", "d", "AV", "train", labels)


def test_unknown_labels_are_told_from_negative_ones():
    table = label_table([row({"murmur": True}), row({"murmur": False, "wheeze": True}), row({})])
    assert table[:, 0].tolist() == [1.0, 0.0, UNKNOWN]
    assert table[:, 1].tolist() == [UNKNOWN, 1.0, UNKNOWN]


def test_recordings_without_a_report_take_no_part():
    objective = build_objective("cka")
    audio, text = vectors(12, 8, 0), vectors(12, 6, 1)
    reports, corpora = torch.arange(12), torch.zeros(12, dtype=torch.long)
    silent = reports.clone()
    silent[8:] = NO_TEXT
    moved = audio.clone()
    moved[8:] = 100.0
    losses = [
        alignment_loss(objective, CONFIG, one, text, silent, corpora) for one in (audio, moved)
    ]
    assert losses[0] == losses[1]
    assert losses[0] != alignment_loss(objective, CONFIG, audio, text, reports, corpora)


def test_a_batch_without_any_report_has_no_loss_and_no_gradient():
    audio = vectors(6, 8, 0).requires_grad_()
    nothing = torch.full((6,), NO_TEXT)
    loss = alignment_loss(
        build_objective("cka"), CONFIG, audio, vectors(6, 4, 1), nothing, torch.zeros(6).long()
    )
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert not audio.grad.any()


def test_the_mixed_loss_sees_the_corpora_and_the_default_does_not():
    """Two corpora that differ by an offset, their reports likewise, and nothing else in common."""
    corpora = torch.tensor([0] * 40 + [1] * 40)
    offset = corpora[:, None] * 10.0
    audio, text = vectors(80, 8, 0) + offset, vectors(80, 8, 1) + offset
    objective, reports = build_objective("cka"), torch.arange(80)
    mixed = ObjectiveConfig(per_corpus=False)
    assert alignment_loss(objective, mixed, audio, text, reports, corpora) < 0.2
    assert alignment_loss(objective, CONFIG, audio, text, reports, corpora) > 0.85


@pytest.mark.parametrize("stage", ["ssl", "supervised", "supcon", "align"])
def test_each_stage_has_its_own_guide(stage):
    audio = vectors(8, 8, 0).requires_grad_()
    logits = vectors(8, 4, 2).requires_grad_()
    output = Output(audio, audio * 1.0, vectors(8, 8, 1), logits * 1.0, torch.tensor(0.0))
    labels = torch.full((8, 4), UNKNOWN)
    labels[:, 0] = torch.tensor([0.0, 1.0] * 4)
    loss = guiding_loss(
        stage,
        build_objective("cka"),
        CONFIG,
        output,
        torch.arange(8),
        torch.zeros(8).long(),
        labels,
    )
    loss.backward()
    moved = {"audio": audio.grad is not None and bool(audio.grad.any())}
    moved["logits"] = logits.grad is not None and bool(logits.grad.any())
    assert moved == {
        "audio": stage in ("supcon", "align"),
        "logits": stage == "supervised",
    }


def test_effective_rank_counts_directions():
    basis = torch.linalg.qr(vectors(64, 16, 0))[0]
    for rank in (1, 4):
        spread = vectors(200, rank, 1)
        spread = torch.linalg.qr(spread - spread.mean(0))[0] @ basis[:, :rank].T
        assert effective_rank(spread) == pytest.approx(rank, rel=1e-3)
    assert effective_rank(torch.ones(10, 5)) < 1.5


def test_too_few_rows_have_no_cka():
    assert within_corpus_cka(vectors(3, 4, 0), vectors(3, 4, 1)) is None
    same = vectors(30, 4, 0)
    assert within_corpus_cka(same, same * 2) == pytest.approx(1.0, abs=1e-5)
