"""Recordings in memory and random crops of them with their labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from align.audio import read_pcm
from align.corpora import Recording, read_corpus
from align.corpora.circor import PHASES
from align.corpora.sprsound import CRACKLE_EVENTS, WHEEZE_EVENTS
from align.training.selection import trains

TRACK_RATE = 125  # Hz of the label tracks
MINIMUM_EVENT = 0.15  # seconds of an event a crop must hold to count as positive
LABEL_DELAY = 0.1  # seconds the causal net may look back before it must answer
EVENT_KINDS = {"wheeze": WHEEZE_EVENTS, "crackle": CRACKLE_EVENTS}
PHASE_INDEX = {name: index for index, name in enumerate(PHASES.values())}
UNKNOWN = -1


@dataclass(frozen=True)
class Clip:
    """One recording at the model rate with its label tracks (`TRACK_RATE` values per second)."""

    recording: Recording
    pcm: np.ndarray  # float32 (n,)
    events: np.ndarray  # int8 (targets, m): 1, 0, or UNKNOWN
    phases: np.ndarray  # int8 (m,): index of PHASES or UNKNOWN


@dataclass(frozen=True)
class Batch:
    """Crops (B, n) with clip labels (B, T), step labels (B, T, steps) and phases (B, steps).

    `T` targets: findings, then auxiliary labels. UNKNOWN stands where the corpus does not say.
    `corpus` (B,) numbers the corpora; `row` (B,) is the crop's row of the teacher's outputs.
    """

    pcm: Tensor
    clip_labels: Tensor
    step_labels: Tensor
    phases: Tensor
    corpus: Tensor
    row: Tensor


def training_rows(
    corpus: str, data_root: Path, held_out: str, *, labelled: bool = True
) -> list[Recording]:
    """Recordings that training may hear; `held_out` names a PhysioNet 2016 database."""
    rows = [row for row in read_corpus(corpus, data_root) if trains(row, held_out)]
    return [row for row in rows if row.labels or not labelled]


def validation_rows(corpus: str, data_root: Path) -> list[Recording]:
    """Labelled recordings of a corpus's validation patients."""
    return [row for row in read_corpus(corpus, data_root) if row.labels and row.split == "val"]


def load_clips(rows: Iterable[Recording], rate: int, targets: tuple[str, ...]) -> list[Clip]:
    """The recordings decoded, with their label tracks; those under half a second are left out."""
    clips = []
    for row in rows:
        pcm = read_pcm(row.path, rate)
        if len(pcm) >= rate // 2:
            clips.append(Clip(row, pcm, *_tracks(row, len(pcm) / rate, targets)))
    return clips


def crop_at(pcm: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Samples at fractional positions, linear between neighbours; the recording repeats."""
    position = position % (len(pcm) - 1)
    whole = position.astype(np.int64)
    fraction = (position - whole).astype(np.float32)
    crop: np.ndarray = pcm[whole] * (1 - fraction) + pcm[whole + 1] * fraction
    return crop


def crop_starts(length: int, crop: int) -> range:
    """First samples of a recording's crops, a quarter of a crop apart; at least one."""
    return range(0, max(length - 3 * crop // 4, 1), crop // 4)


def _tracks(
    row: Recording, seconds: float, targets: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    length = max(1, round(seconds * TRACK_RATE))
    events = np.full((len(targets), length), UNKNOWN, dtype=np.int8)
    phases = np.full(length, UNKNOWN, dtype=np.int8)
    for index, finding in enumerate(targets):
        if finding in EVENT_KINDS and finding in row.labels:
            events[index] = 0
    for interval in row.intervals:
        span = slice(round(interval.start * TRACK_RATE), round(interval.end * TRACK_RATE))
        if interval.label in PHASE_INDEX:
            phases[span] = PHASE_INDEX[interval.label]
        for index, finding in enumerate(targets):
            if interval.label in EVENT_KINDS.get(finding, ()):
                events[index, span] = 1
    return events, phases


class CropSampler:
    """Random crops from every corpus, speed-perturbed.

    Crops start at `crop_starts`, so that a teacher can answer once for each. `first_row[i][j]`
    numbers the first crop of the j-th clip of corpus i; `crops` is how many there are.
    """

    def __init__(
        self,
        corpora: list[list[Clip]],
        targets: tuple[str, ...],
        *,
        rate: int,
        crop: int,
        step: int,
        speed: tuple[float, float],
    ):
        self.corpora, self.targets = corpora, targets
        self.rate, self.crop, self.step, self.speed = rate, crop, step, speed
        self.first_row: list[list[int]] = []
        self.crops = 0
        for corpus in corpora:
            self.first_row.append([])
            for clip in corpus:
                self.first_row[-1].append(self.crops)
                self.crops += len(crop_starts(len(clip.pcm), crop))

    def batch(self, clips: tuple[int, ...], random: np.random.Generator) -> Batch:
        """`clips[i]` crops from the i-th corpus."""
        crops, sources, rows = [], [], []
        for number, (corpus, count) in enumerate(zip(self.corpora, clips, strict=True)):
            for index in random.choice(len(corpus), size=count, replace=len(corpus) < count):
                starts = crop_starts(len(corpus[index].pcm), self.crop)
                chosen = int(random.integers(len(starts)))
                speed = random.uniform(*self.speed)
                crops.append(self.cut(corpus[index], starts[chosen], speed))
                sources.append(number)
                rows.append(self.first_row[number][index] + chosen)
        pcm, labels, events, phases = (np.stack(column) for column in zip(*crops, strict=True))
        return Batch(
            torch.from_numpy(pcm),
            torch.from_numpy(labels),
            torch.from_numpy(events).float(),
            torch.from_numpy(phases).long(),
            torch.tensor(sources),
            torch.tensor(rows),
        )

    def cut(self, clip: Clip, start: int, speed: float = 1.0) -> tuple[np.ndarray, ...]:
        """PCM (n,), clip labels (T,), step labels (T, steps) and phases (steps,) of one crop."""
        position = (start + speed * np.arange(self.crop)) % (len(clip.pcm) - 1)
        pcm = crop_at(clip.pcm, position)
        delay = int(LABEL_DELAY * self.rate)
        at = position[np.maximum(np.arange(self.step, self.crop + 1, self.step) - 1 - delay, 0)]
        track = np.minimum((at * TRACK_RATE / self.rate).astype(np.int64), len(clip.phases) - 1)
        events = clip.events[:, track]
        return pcm, self._labels(clip, events), events, clip.phases[track]

    def _labels(self, clip: Clip, events: np.ndarray) -> np.ndarray:
        """A crop without its recording's event is negative; one with a sliver of it, unknown."""
        labels = np.full(len(self.targets), UNKNOWN, dtype=np.float32)
        least = MINIMUM_EVENT * self.rate / self.step
        for index, finding in enumerate(self.targets):
            truth = clip.recording.labels.get(finding)
            if truth is None:
                continue
            if finding not in EVENT_KINDS:
                labels[index] = float(truth)
                continue
            heard = int((events[index] == 1).sum())
            labels[index] = 1.0 if heard >= least else 0.0 if heard == 0 else UNKNOWN
        return labels
