"""The self-supervised loss of two crops (COLA) and the losses of the supervised controls."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from align.objectives.precision import full_precision, paired_rows, without_autocast

UNKNOWN = -1.0
"""A label that nobody stated."""


def cola_loss(first: Tensor, second: Tensor, *, symmetric: bool = False) -> Tensor:
    """In-batch cross entropy between two crops of each recording (COLA, Saeed et al. 2021).

    Args:
        first: (b, d) crops after the encoder's bilinear map.
        second: (b, d) other crops of the same recordings.
        symmetric: average both directions; COLA itself only looks from first to second.
    """
    first, second = paired_rows(first, second, same_width=True)
    with without_autocast(first):
        logits = first @ second.T
        own = torch.arange(len(logits), device=logits.device)
        forward = F.cross_entropy(logits, own)
        return (forward + F.cross_entropy(logits.T, own)) / 2 if symmetric else forward


def supcon_loss(embeddings: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, L_out), task by task.

    In each task the rows with a known label are compared: those with the same label attract. The
    mean is over all anchors, of all tasks, that have a positive; 0 with zero gradient if none has.

    Args:
        embeddings: (n, d), normalised here.
        labels: (n, tasks), -1 where unknown.
        temperature: above 0.
    """
    (embeddings,) = full_precision(embeddings)
    with without_autocast(embeddings):
        unit = F.normalize(embeddings, dim=1)
        logits = unit @ unit.T / temperature
    known = labels.T != UNKNOWN  # (tasks, n)
    others = known[:, :, None] & known[:, None, :]
    others &= ~torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    positives = others & (labels.T[:, :, None] == labels.T[:, None, :])
    # A finite fill: a row without others would turn -inf into NaN gradients.
    lowest = torch.finfo(logits.dtype).min
    total = logits.masked_fill(~others, lowest).logsumexp(2)
    count = positives.sum(2)
    attraction = (logits * positives).sum(2) / count.clamp(min=1)
    anchors = count > 0
    return ((total - attraction) * anchors).sum() / anchors.sum().clamp(min=1)


def masked_bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy over the known labels; 0 with zero gradient if none is known.

    Args:
        logits: (n, tasks).
        labels: (n, tasks), 0 or 1, -1 where unknown.
    """
    (logits,) = full_precision(logits)
    known = labels != UNKNOWN
    truth = torch.where(known, labels, 0).to(logits.dtype)
    loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)
