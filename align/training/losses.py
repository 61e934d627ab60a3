"""What a stage minimises, from the model's output."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from align.corpora import Recording
from align.objectives import debiased_cka, per_corpus
from align.objectives.cka import MINIMUM_ROWS
from align.objectives.ssl import UNKNOWN, masked_bce, supcon_loss
from align.training.gather import all_gather_with_grad
from align.training.model import FINDINGS, Output
from align.training.recipe import ObjectiveConfig
from align.training.texts import NO_TEXT

SUPCON_TEMPERATURE = 0.1


def label_table(rows: Sequence[Recording]) -> Tensor:
    """Labels (n, findings) of recordings: 1, 0, or UNKNOWN."""
    table = torch.full((len(rows), len(FINDINGS)), UNKNOWN)
    for number, row in enumerate(rows):
        for column, finding in enumerate(FINDINGS):
            if finding in row.labels:
                table[number, column] = float(bool(row.labels[finding]))
    return table


def guiding_loss(
    stage: str,
    objective: nn.Module,
    config: ObjectiveConfig,
    output: Output,
    reports: Tensor,
    corpora: Tensor,
    labels: Tensor,
) -> Tensor:
    """The stage's own loss of a batch, over all processes: text, labels, or nothing."""
    if stage == "supervised":
        logits, known = all_gather_with_grad(output.logits), all_gather_with_grad(labels)
        return masked_bce(logits, known)
    if stage == "supcon":
        audio, known = all_gather_with_grad(output.audio), all_gather_with_grad(labels)
        return supcon_loss(audio, known, SUPCON_TEMPERATURE)
    if stage == "align":
        return alignment_loss(objective, config, output.audio, output.text, reports, corpora)
    return output.audio.sum() * 0.0


def alignment_loss(
    objective: nn.Module,
    config: ObjectiveConfig,
    audio: Tensor,
    text: Tensor,
    reports: Tensor,
    corpora: Tensor,
) -> Tensor:
    """Global alignment loss; recordings without a report take no part."""
    audio, text = all_gather_with_grad(audio), all_gather_with_grad(text)
    reports, corpora = all_gather_with_grad(reports), all_gather_with_grad(corpora)
    spoken = reports != NO_TEXT
    audio, text, reports = audio[spoken], text[spoken], reports[spoken]
    if config.per_corpus:
        return per_corpus(objective, audio, text, reports, corpora[spoken])[0]
    loss: Tensor = objective(audio, text, reports)
    return loss


@torch.no_grad()
def effective_rank(embeddings: Tensor) -> float:
    """exp of the entropy of the normalised singular values (Roy and Vetterli, 2007)."""
    values = torch.linalg.svdvals((embeddings - embeddings.mean(dim=0)).float())
    share = values / values.sum().clamp(min=1e-12)
    return float(torch.exp(-(share * (share + 1e-12).log()).sum()))


@torch.no_grad()
def within_corpus_cka(embeddings: Tensor, text: Tensor) -> float | None:
    """Debiased CKA of one corpus's rows; None where there are too few."""
    if len(embeddings) < MINIMUM_ROWS:
        return None
    return float(debiased_cka(embeddings.float(), text.float()))
