"""PhysioNet/CinC Challenge 2016, databases a-d: heart sounds from four groups and devices."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from align.corpora.recording import CorpusError, Recording

DATABASES = ("a", "b", "c", "d")
DEVICES = {
    "a": "welch-allyn-meditron",
    "b": "littmann-e4000",
    "c": "audioscope",
    "d": "littmann-4100-or-jabes",
}


def read_physionet2016(folder: Path) -> Iterator[Recording]:
    """Yield one row per recording, all in the test split.

    `abnormal` is a diagnosis (coronary disease included), not a sound. There are no patient ids, so
    each recording stands for its own patient; never split inside a database.
    """
    for database in DATABASES:
        base = folder / f"training-{database}"
        reference = base / "REFERENCE-SQI.csv"
        if not reference.is_file():
            raise CorpusError(f"{reference} is missing")
        with reference.open(newline="") as handle:
            for name, abnormal, good in csv.reader(handle):
                audio = base / f"{name}.wav"
                yield Recording(
                    corpus="physionet2016",
                    name=name,
                    path=audio if audio.is_file() else audio.with_suffix(".flac"),
                    patient=name,
                    device=DEVICES[database],
                    site="heart",
                    split="test",
                    labels={"abnormal": abnormal == "1"},
                    metadata={"database": database, "quality": "good" if good == "1" else "poor"},
                )
