"""What an aligned encoder says of every training crop, computed once and stored.

Each crop has one embedding and, for each label, the probability of a linear probe that was fitted
on the other patients (cross-fitted), so that a soft label never comes from its own hard one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, cross_val_predict
from torch import Tensor

from align.audio import read_pcm
from align.encoders.base import Encoder, EncoderError
from align.encoders.checkpoints import DESCRIPTION, load_encoder
from align.probe.embed import embed_waves
from export.data import UNKNOWN, Clip, CropSampler, crop_at, crop_starts

FOLDS = 5
STRENGTHS = (0.003, 0.03, 0.3)  # of the probe's inverse penalty, chosen by cross-fitted log loss
FEWEST = 20  # crops of each class that a probe needs


@dataclass(frozen=True)
class TeacherOutputs:
    """Standardised embeddings (crops, d) and probe probabilities (crops, T); NaN: no probe."""

    vectors: Tensor
    probabilities: Tensor


def teacher_outputs(folder: Path, sampler: CropSampler, cache: Path) -> TeacherOutputs:
    """The encoder's outputs on every crop of the sampler, from `cache` if they are there.

    Raises:
        EncoderError: the folder holds no encoder, a damaged one, or one of another shape.
    """
    path = cache / f"teacher-{_key(folder, sampler)}.safetensors"
    try:
        stored = load_file(path)
        return TeacherOutputs(stored["vectors"], stored["probabilities"])
    except (OSError, SafetensorError, KeyError):
        pass
    encoder = load_encoder(folder)
    vectors = _standardised(embed_waves(encoder, _waves(encoder, sampler)))
    found = TeacherOutputs(
        torch.from_numpy(vectors), torch.from_numpy(_cross_fitted(vectors, sampler))
    )
    cache.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    save_file({"vectors": found.vectors, "probabilities": found.probabilities}, part)
    part.replace(path)
    return found


def encoder_digest(folder: Path) -> str:
    """SHA-256 of the encoder's weights, as its description states it.

    Raises:
        EncoderError: the folder holds no encoder.
    """
    load_encoder(folder)
    digest: str = json.loads((folder / DESCRIPTION).read_text())["sha256"]
    return digest


def encoder_corpora(folder: Path) -> tuple[list[str], str]:
    """Corpora that the encoder's run learned from, and the PhysioNet database it left out.

    Raises:
        EncoderError: the folder has no record of a run.
    """
    try:
        record = json.loads((folder / "run.json").read_text())
        return [corpus["name"] for corpus in record["recipe"]["corpora"]], record["holdout"]
    except (OSError, ValueError, KeyError, TypeError):
        raise EncoderError(f"{folder} has no record of the run that made its encoder") from None


def _key(folder: Path, sampler: CropSampler) -> str:
    """Names the encoder, the crops and their labels."""
    digest = hashlib.sha256((folder / DESCRIPTION).read_bytes())
    digest.update(repr((sampler.rate, sampler.crop, sampler.targets)).encode())
    for corpus in sampler.corpora:
        for clip in corpus:
            digest.update(f"{clip.recording.corpus}/{clip.recording.name}/{len(clip.pcm)}".encode())
    return digest.hexdigest()[:16]


def _waves(encoder: Encoder, sampler: CropSampler) -> Iterator[Tensor]:
    """Every crop at the encoder's rate, read anew where that is not the student's."""
    scale = encoder.rate / sampler.rate
    span = np.arange(round(sampler.crop * scale), dtype=np.float64)
    for clip, starts in _clips(sampler):
        same = encoder.rate == sampler.rate
        wave = clip.pcm if same else read_pcm(clip.recording.path, encoder.rate)
        for start in starts:
            yield torch.from_numpy(crop_at(wave, start * scale + span))


def _clips(sampler: CropSampler) -> Iterator[tuple[Clip, range]]:
    for corpus in sampler.corpora:
        for clip in corpus:
            yield clip, crop_starts(len(clip.pcm), sampler.crop)


def _standardised(vectors: np.ndarray) -> np.ndarray:
    spread = vectors.std(axis=0)
    scaled: np.ndarray = (vectors - vectors.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return scaled


def _cross_fitted(vectors: np.ndarray, sampler: CropSampler) -> np.ndarray:
    """Probe probabilities (crops, T), each from a probe that never saw the crop's patient."""
    labels = np.stack(
        [sampler.cut(c, start)[1] for c, starts in _clips(sampler) for start in starts]
    )
    patients = np.array([c.recording.patient for c, starts in _clips(sampler) for _ in starts])
    found = np.full(labels.shape, np.nan, dtype=np.float32)
    for target in range(labels.shape[1]):
        known = np.flatnonzero(labels[:, target] != UNKNOWN)
        truth = labels[known, target].astype(int)
        if np.bincount(truth, minlength=2).min() >= FEWEST:
            found[known, target] = _probe(vectors[known], truth, patients[known])
    return found


def _probe(vectors: np.ndarray, truth: np.ndarray, patients: np.ndarray) -> np.ndarray:
    best, chosen = np.inf, np.empty(0)
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=300)
        folds = GroupKFold(FOLDS)
        found = cross_val_predict(
            model, vectors, truth, groups=patients, cv=folds, method="predict_proba"
        )[:, 1]
        loss = log_loss(truth, found)
        if loss < best:
            best, chosen = loss, found
    return chosen
