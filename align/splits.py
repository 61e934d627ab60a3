"""Folds: the one place that decides which patient is trained on, validated on or tested on."""

from __future__ import annotations

import hashlib
from typing import Literal

Split = Literal["train", "val", "test"]


def patient_fold(corpus: str, patient: str) -> float:
    """A number in [0, 1) that depends on the corpus and patient alone, so that it never moves."""
    digest = hashlib.sha256(f"{corpus}/{patient}".encode()).hexdigest()
    return int(digest[:8], 16) / 2**32


def circor_split(child: str) -> Split:
    """Split of a CirCor child (the smaller of its campaign ids): 25 % test, 10 % validation."""
    fold = patient_fold("circor", child)
    return "test" if fold < 0.25 else "val" if fold < 0.35 else "train"


def sprsound_split(patient: str, *, official_inter_test: bool) -> Split:
    """Official inter-patient test set; of the other patients 15 % validate."""
    if official_inter_test:
        return "test"
    return "val" if patient_fold("sprsound", patient) < 0.15 else "train"
