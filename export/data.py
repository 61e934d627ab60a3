"""Recordings in memory and random crops of them with their labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from align.audio import read_pcm
from align.corpora import Recording, read_corpus
from align.corpora.circor import PHASES
from align.corpora.sprsound import CRACKLE_EVENTS, WHEEZE_EVENTS

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
    events: np.ndarray  # int8 (findings, m): 1, 0, or UNKNOWN
    phases: np.ndarray  # int8 (m,): index of PHASES or UNKNOWN


@dataclass(frozen=True)
class Batch:
    """Crops (B, n) with clip labels (B, K), step labels (B, K, steps) and phases (B, steps).

    UNKNOWN stands where the corpus does not say.
    """

    pcm: Tensor
    clip_labels: Tensor
    step_labels: Tensor
    phases: Tensor


def load_clips(
    corpus: str, data_root: Path, rate: int, findings: tuple[str, ...], splits: tuple[str, ...]
) -> list[Clip]:
    """Every labelled recording of the splits, decoded."""
    clips = []
    for row in read_corpus(corpus, data_root):
        if row.split in splits and row.labels:
            pcm = read_pcm(row.path, rate)
            if len(pcm) >= rate // 2:
                clips.append(Clip(row, pcm, *_tracks(row, len(pcm) / rate, findings)))
    return clips


def _tracks(
    row: Recording, seconds: float, findings: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    length = max(1, round(seconds * TRACK_RATE))
    events = np.full((len(findings), length), UNKNOWN, dtype=np.int8)
    phases = np.full(length, UNKNOWN, dtype=np.int8)
    for index, finding in enumerate(findings):
        if finding in EVENT_KINDS and finding in row.labels:
            events[index] = 0
    for interval in row.intervals:
        span = slice(round(interval.start * TRACK_RATE), round(interval.end * TRACK_RATE))
        if interval.label in PHASE_INDEX:
            phases[span] = PHASE_INDEX[interval.label]
        for index, finding in enumerate(findings):
            if interval.label in EVENT_KINDS.get(finding, ()):
                events[index, span] = 1
    return events, phases


class CropSampler:
    """Random crops from every corpus, speed-perturbed."""

    def __init__(
        self,
        corpora: list[list[Clip]],
        findings: tuple[str, ...],
        *,
        rate: int,
        crop: int,
        step: int,
        speed: tuple[float, float],
    ):
        self.corpora, self.findings = corpora, findings
        self.rate, self.crop, self.step, self.speed = rate, crop, step, speed

    def batch(self, clips: tuple[int, ...], random: np.random.Generator) -> Batch:
        """`clips[i]` crops from the i-th corpus."""
        rows = []
        for corpus, count in zip(self.corpora, clips, strict=True):
            for index in random.choice(len(corpus), size=count, replace=len(corpus) < count):
                rows.append(self._crop(corpus[index], random))
        pcm, labels, events, phases = (np.stack(column) for column in zip(*rows, strict=True))
        return Batch(
            torch.from_numpy(pcm),
            torch.from_numpy(labels),
            torch.from_numpy(events).float(),
            torch.from_numpy(phases).long(),
        )

    def _crop(self, clip: Clip, random: np.random.Generator) -> tuple[np.ndarray, ...]:
        factor = random.uniform(*self.speed)
        span = factor * (self.crop - 1)
        start = random.uniform(0, max(len(clip.pcm) - span, 1.0))
        position = (start + factor * np.arange(self.crop)) % (len(clip.pcm) - 1)
        whole = position.astype(np.int64)
        fraction = (position - whole).astype(np.float32)
        pcm = clip.pcm[whole] * (1 - fraction) + clip.pcm[whole + 1] * fraction
        delay = int(LABEL_DELAY * self.rate)
        at = position[np.maximum(np.arange(self.step, self.crop + 1, self.step) - 1 - delay, 0)]
        track = np.minimum((at * TRACK_RATE / self.rate).astype(np.int64), len(clip.phases) - 1)
        events = clip.events[:, track]
        return pcm, self._labels(clip, events), events, clip.phases[track]

    def _labels(self, clip: Clip, events: np.ndarray) -> np.ndarray:
        """A crop without its recording's event is negative; one with a sliver of it, unknown."""
        labels = np.full(len(self.findings), UNKNOWN, dtype=np.float32)
        least = MINIMUM_EVENT * self.rate / self.step
        for index, finding in enumerate(self.findings):
            truth = clip.recording.labels.get(finding)
            if truth is None:
                continue
            if finding not in EVENT_KINDS:
                labels[index] = float(truth)
                continue
            heard = int((events[index] == 1).sum())
            labels[index] = 1.0 if heard >= least else 0.0 if heard == 0 else UNKNOWN
        return labels
