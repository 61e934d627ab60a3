"""What the runs of one recipe share: recordings in memory, reports, and the fold of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import Progress

from align.corpora import read_corpus
from align.encoders import Encoder
from align.settings import RecipeError
from align.training.batches import BatchSampler
from align.training.losses import label_table
from align.training.material import Material
from align.training.recipe import Recipe
from align.training.selection import trains
from align.training.store import WaveStore, load_store
from align.training.texts import build_texts


@dataclass(frozen=True)
class Workspace:
    """Every recording of a recipe's corpora on the training device, whichever fold it is in."""

    store: WaveStore
    device: torch.device
    data_root: Path
    cache: Path

    def training_rows(self, recipe: Recipe, seed: int) -> list[int]:
        """Rows of the store that the run of `seed` may learn from."""
        names = {corpus.name for corpus in recipe.corpora}
        holdout = recipe.holdout(seed)
        rows = enumerate(self.store.rows)
        return [index for index, row in rows if row.corpus in names and trains(row, holdout)]

    def material(self, recipe: Recipe, seed: int) -> Material:
        """Sound, reports, labels and batches of one run.

        Evaluation recordings get no report at all: nothing that could leak is ever computed.
        """
        usable = self.training_rows(recipe, seed)
        rows = [self.store.rows[index] for index in usable]
        texts = build_texts(recipe, rows, self.data_root, self.cache, seed)
        index = torch.full((len(self.store.rows),), -1, dtype=torch.long)
        index[torch.tensor(usable)] = texts.index
        shares = [(corpus.name, corpus.batch) for corpus in recipe.corpora]
        return Material(
            self.store,
            texts.on(self.device, index),
            label_table(self.store.rows).to(self.device),
            BatchSampler(self.store.rows, usable, shares, seed),
        )


def open_workspace(
    recipe: Recipe,
    data_root: Path,
    cache: Path,
    encoder: Encoder,
    device: torch.device,
    *,
    quiet: bool = False,
) -> Workspace:
    """Decode the recipe's corpora.

    Raises:
        CorpusError: a corpus is missing.
        RecipeError: no corpus has a recording.
    """
    rows = [row for corpus in recipe.corpora for row in read_corpus(corpus.name, data_root)]
    if not rows:
        raise RecipeError("the recipe's corpora have no recordings")
    with Progress(disable=quiet, transient=True) as bar:
        task = bar.add_task("reading recordings", total=len(rows))
        store = load_store(rows, encoder.rate, device, advance=lambda: bar.advance(task))
    return Workspace(store, device, data_root, cache)
