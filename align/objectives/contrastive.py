"""Objectives that compare each recording's embedding with report embeddings of the same width."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from align.objectives.precision import ObjectiveError, paired_rows, without_autocast

LARGEST_SCALE = 100.0  # as CLIP: a sharper softmax makes training unstable


def mean_cosine(audio: Tensor, text: Tensor) -> Tensor:
    """Mean cosine between each recording (n, d) and its report (n, d), in [-1, 1]."""
    audio, text = paired_rows(audio, text, same_width=True)
    return F.cosine_similarity(audio, text, dim=1).mean()


class InfoNCE(nn.Module):
    """Symmetric InfoNCE with a learned temperature (Radford et al. 2021, CLIP).

    Rows with an equal report are not negatives of each other: they are dropped from each other's
    denominator, so that a row's own pair stays its one positive. A batch with a single report
    therefore gives loss 0 and no gradient.
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        if not temperature > 0:
            raise ObjectiveError(f"infonce: temperature must be above 0, not {temperature}")
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))

    def forward(self, audio: Tensor, text: Tensor, reports: Tensor) -> Tensor:
        """Mean of both directions' cross entropy, over audio (n, d), text (n, d), reports (n,)."""
        audio, text = paired_rows(audio, text, same_width=True)
        with without_autocast(audio):
            scale = self.log_scale.exp().clamp(max=LARGEST_SCALE)
            logits = scale * F.normalize(audio, dim=1) @ F.normalize(text, dim=1).T
            twins = _equal_reports(reports, len(audio)).fill_diagonal_(False)
            logits = logits.masked_fill(twins, -math.inf)  # the own pair keeps every row finite
            own = torch.arange(len(audio), device=audio.device)
            return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


class SigLIP(nn.Module):
    """Pairwise sigmoid loss with learned scale and bias (Zhai et al. 2023), per row.

    Every pair of rows with an equal report is a positive pair.
    """

    def __init__(self, scale: float = 10.0, bias: float = -10.0) -> None:
        super().__init__()
        if not scale > 0:
            raise ObjectiveError(f"siglip: scale must be above 0, not {scale}")
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    def forward(self, audio: Tensor, text: Tensor, reports: Tensor) -> Tensor:
        """Sum over pairs of -log sigmoid(+-logit), divided by n."""
        audio, text = paired_rows(audio, text, same_width=True)
        with without_autocast(audio):
            cosines = F.normalize(audio, dim=1) @ F.normalize(text, dim=1).T
            logits = self.log_scale.exp() * cosines + self.bias
            sign = torch.where(_equal_reports(reports, len(audio)), 1.0, -1.0)
            return -F.logsigmoid(sign * logits).sum() / len(audio)


def _equal_reports(reports: Tensor, rows: int) -> Tensor:
    """(n, n) bool: rows i and j have the same report."""
    if reports.shape != (rows,):
        raise ObjectiveError(f"reports {tuple(reports.shape)} must hold one id per row ({rows})")
    return reports[:, None] == reports[None, :]
