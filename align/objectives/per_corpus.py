"""An objective within each corpus of a mixed batch, so that corpus identity cannot pass for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from align.objectives.cka import MINIMUM_ROWS
from align.objectives.precision import ObjectiveError

Objective = Callable[[Tensor, Tensor, Tensor], Tensor]


class CorpusLoss(NamedTuple):
    """`loss` to minimise, detached loss `values` by corpus id, and the rows `left_out` of both."""

    loss: Tensor
    values: dict[int, Tensor]
    left_out: int


def per_corpus(
    objective: Objective, audio: Tensor, text: Tensor, reports: Tensor, corpora: Tensor
) -> CorpusLoss:
    """Mean of `objective` over the corpora of a batch, weighted by their numbers of rows.

    Data sets that differ only by an offset (device, site, style of report) give a large CKA when
    mixed; within each there is none. Corpora with fewer than four rows are left out and counted; if
    none is left the loss is 0 with zero gradient.

    Args:
        objective: called with (audio, text, reports) of one corpus.
        audio: (n, d).
        text: (n, k).
        reports: (n,) int64, equal ids for equal reports.
        corpora: (n,) int64, a corpus id per row.

    Raises:
        ObjectiveError: `corpora` or `reports` does not hold one id per row.
    """
    if corpora.shape != (len(audio),) or reports.shape != (len(audio),):
        raise ObjectiveError(
            f"corpora {tuple(corpora.shape)} and reports {tuple(reports.shape)} must hold one id "
            f"per row ({len(audio)})"
        )
    order = corpora.argsort(stable=True)
    ids, sizes = (found.tolist() for found in torch.unique(corpora, return_counts=True))
    groups = zip(ids, sizes, torch.split(order, sizes), strict=True)
    kept = [(corpus, size, rows) for corpus, size, rows in groups if size >= MINIMUM_ROWS]
    left_out = len(audio) - sum(size for _, size, _ in kept)
    if not kept:
        return CorpusLoss(0 * (audio.sum() + text.sum()), {}, left_out)
    losses = {c: objective(audio[rows], text[rows], reports[rows]) for c, _, rows in kept}
    weights = {corpus: size / (len(audio) - left_out) for corpus, size, _ in kept}
    loss = torch.stack([weights[corpus] * value for corpus, value in losses.items()]).sum()
    return CorpusLoss(loss, {corpus: value.detach() for corpus, value in losses.items()}, left_out)
