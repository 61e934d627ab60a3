"""PhysioNet/CinC Challenge 2016, databases a-d: heart sounds from four groups and devices."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from align.corpora.recording import CorpusError, Recording
from align.corpora.tables import audio_files, find_audio, refuse_strays
from align.splits import LEAVE_ONE_OUT

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
        lines = _reference(reference)
        refuse_strays(audio_files(base), (name for name, _, _ in lines), reference)
        for name, abnormal, good in lines:
            yield Recording(
                corpus="physionet2016",
                name=name,
                path=find_audio(base, name),
                patient=name,
                device=DEVICES[database],
                site="heart",
                split=LEAVE_ONE_OUT,
                labels={"abnormal": abnormal == "1"},
                metadata={"database": database, "quality": "good" if good == "1" else "poor"},
            )


def _reference(path: Path) -> list[list[str]]:
    if not path.is_file():
        raise CorpusError(f"{path} is missing")
    with path.open(newline="", encoding="utf-8", errors="replace") as handle:
        lines = list(csv.reader(handle))
    for number, line in enumerate(lines, 1):
        if len(line) != 3 or line[1] not in ("1", "-1"):
            raise CorpusError(f"{path}: line {number} is not name, 1 or -1, quality")
    return lines
