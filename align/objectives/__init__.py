"""Alignment objectives by name: modules called with (audio, text, reports) that give a loss.

audio is (n, d), text (n, k), reports (n,) int64 ids: rows with an equal id have the same report.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from align.objectives.cka import biased_cka, debiased_cka, released_cka
from align.objectives.contrastive import InfoNCE, SigLIP, mean_cosine
from align.objectives.per_corpus import CorpusLoss, per_corpus
from align.objectives.precision import ObjectiveError


class OneMinus(nn.Module):
    """The loss 1 - similarity(audio, text), for similarities that need no report ids."""

    def __init__(self, similarity: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.similarity = similarity

    def forward(self, audio: Tensor, text: Tensor, reports: Tensor) -> Tensor:  # noqa: ARG002
        """The loss; `reports` is there because every objective is called alike."""
        return 1 - self.similarity(audio, text)


OBJECTIVES: dict[str, Callable[..., nn.Module]] = {
    "cka": partial(OneMinus, debiased_cka),
    "cka-biased": partial(OneMinus, biased_cka),
    "released": partial(OneMinus, released_cka),
    "infonce": InfoNCE,
    "siglip": SigLIP,
    "cosine": partial(OneMinus, mean_cosine),
}


def build_objective(name: str, **options: Any) -> nn.Module:
    """A fresh objective; `options`: infonce `temperature`, siglip `scale` and `bias`.

    Raises:
        ObjectiveError: unknown name or option, or a value out of range.
    """
    if name not in OBJECTIVES:
        raise ObjectiveError(f"unknown objective {name!r}; known: {', '.join(OBJECTIVES)}")
    try:
        return OBJECTIVES[name](**options)
    except TypeError as error:
        raise ObjectiveError(f"objective {name!r}: {error}") from None


__all__ = [
    "OBJECTIVES",
    "CorpusLoss",
    "ObjectiveError",
    "OneMinus",
    "biased_cka",
    "build_objective",
    "debiased_cka",
    "mean_cosine",
    "per_corpus",
    "released_cka",
]
