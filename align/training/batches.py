"""Which recordings stand in a batch: a fixed number per corpus, one per patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from align.corpora import Recording
from align.settings import RecipeError


@dataclass(frozen=True)
class Draw:
    """Rows (B,) of the store, where their crops start (B,), and their corpus (B,) by number."""

    rows: Tensor
    places: Tensor
    corpora: Tensor


class BatchSampler:
    """Draws that depend on the seed and the step alone, so that a resumed run repeats nothing.

    Each corpus gives its share of every batch; patients are drawn first and then one recording of
    each, so that no batch holds two recordings of one patient and none counts more for having many.
    With several processes all draw the same batch and each takes every `world`-th row of it.
    """

    def __init__(
        self,
        rows: Sequence[Recording],
        usable: Sequence[int],
        shares: Sequence[tuple[str, int]],
        seed: int,
    ):
        self.seed, self.shares, self.usable = seed, shares, usable
        self.patients: list[list[np.ndarray]] = []
        for name, share in shares:
            owners: dict[str, list[int]] = {}
            for index in usable:
                if rows[index].corpus == name:
                    owners.setdefault(rows[index].patient, []).append(index)
            if len(owners) < share:
                raise RecipeError(
                    f"corpus {name!r}: a batch of {share} needs as many patients, training has"
                    f" {len(owners)}; lower its batch"
                )
            self.patients.append([np.asarray(indices) for indices in owners.values()])

    def draw(self, step: int, *, rank: int = 0, world: int = 1) -> Draw:
        """The batch of `step`, or this process's part of it."""
        random = np.random.default_rng((self.seed, step))
        rows, corpora = [], []
        for number, ((_, share), patients) in enumerate(
            zip(self.shares, self.patients, strict=True)
        ):
            for owner in random.choice(len(patients), size=share, replace=False):
                rows.append(int(random.choice(patients[owner])))
                corpora.append(number)
        places = random.random(len(rows))
        part = slice(rank, None, world)
        return Draw(
            torch.tensor(rows[part]),
            torch.from_numpy(places[part]).float(),
            torch.tensor(corpora[part]),
        )
