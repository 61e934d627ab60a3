"""The one rule that says whether training may hear a recording."""

from __future__ import annotations

from align.corpora import Recording

UNLABELLED = ("covid19-cough",)  # nothing of them is evaluated: they train whole


def trains(row: Recording, holdout: str) -> bool:
    """Whether a run that leaves PhysioNet database `holdout` out may learn from the recording.

    PhysioNet 2016 has no patients: whole databases are trained on or left out.
    """
    if row.corpus == "physionet2016":
        return row.metadata["database"] != holdout
    return row.split == "train" or row.corpus in UNLABELLED
