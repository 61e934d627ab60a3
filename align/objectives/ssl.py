"""Self-supervised losses (MAE, COLA) and the losses of the supervised controls."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from align.objectives.precision import (
    ObjectiveError,
    full_precision,
    paired_rows,
    without_autocast,
)

UNKNOWN = -1


class PatchMask(NamedTuple):
    """What a masked autoencoder hides.

    keep: (b, kept) ids of the visible patches, in random order.
    restore: (b, L) ids that put [visible, hidden] patches back in their places.
    mask: (b, L) float, 1 where hidden.
    """

    keep: Tensor
    restore: Tensor
    mask: Tensor


def random_mask(
    batch: int,
    patches: int,
    ratio: float,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> PatchMask:
    """Hide a random `ratio` of the patches of each item (He et al. 2022), rounded to a patch.

    Raises:
        ObjectiveError: `ratio` leaves no patch visible or none hidden.
    """
    kept = patches - round(patches * ratio)
    if not 0 < kept < patches:
        raise ObjectiveError(
            f"a mask ratio of {ratio} leaves {kept} of {patches} patches visible; "
            "some must be visible and some hidden"
        )
    order = torch.rand(batch, patches, generator=generator, device=device).argsort(1)
    keep = order[:, :kept]
    mask = torch.ones(batch, patches, device=device).scatter_(1, keep, 0.0)
    return PatchMask(keep, order.argsort(1), mask)


def mae_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error over the hidden patches (He et al. 2022); 0 if none is hidden.

    Args:
        prediction: (b, L, p) patches.
        target: (b, L, p) patches.
        mask: (b, L), 1 where hidden.
    """
    prediction, target, mask = full_precision(prediction, target, mask)
    error = (prediction - target).square().mean(2)
    return (error * mask).sum() / mask.sum().clamp(min=1)


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
