"""What a step learns from: recordings, reports and labels of one run, and a batch of them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from align.training.batches import BatchSampler, Draw
from align.training.store import WaveStore
from align.training.texts import Texts


@dataclass(frozen=True)
class Material:
    """What batches are made of, on the training device: sound, reports and labels (n, findings)."""

    store: WaveStore
    texts: Texts
    labels: Tensor
    sampler: BatchSampler


@dataclass(frozen=True)
class Batch:
    """Crops (B, samples), text vectors (B, k), report rows, corpora and labels of them."""

    wave: Tensor
    text: Tensor
    reports: Tensor
    corpora: Tensor
    labels: Tensor
    rows: Tensor

    def part(self, rows: slice) -> Batch:
        """Some rows of the batch."""
        return Batch(
            self.wave[rows],
            self.text[rows],
            self.reports[rows],
            self.corpora[rows],
            self.labels[rows],
            self.rows[rows],
        )


def make_batch(material: Material, draw: Draw, samples: int) -> Batch:
    """Cut the crops of a draw and look up what belongs to them, where the store lives."""
    device = material.store.pcm.device
    rows = draw.rows.to(device)
    reports = material.texts.index[rows]
    return Batch(
        material.store.crops(rows, draw.places.to(device), samples),
        material.texts.vectors[reports.clamp(min=0)],
        reports,
        draw.corpora.to(device),
        material.labels[rows],
        rows,
    )
