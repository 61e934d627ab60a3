"""CirCor DigiScope 1.0.3 (PhysioNet 2022): children's hearts at up to four sites."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from align.corpora.recording import CorpusError, Interval, Recording
from align.splits import circor_split

PHASES = {"1": "S1", "2": "systole", "3": "S2", "4": "diastole"}


def read_circor(folder: Path) -> Iterator[Recording]:
    """Yield one row per recording.

    A child seen in both campaigns has two ids (`Additional ID`); the smaller one names the child.
    `murmur` is true only where the murmur was audible; a murmur patient's other sites and
    `Unknown` patients carry no label.
    """
    table = folder / "training_data.csv"
    if not table.is_file():
        raise CorpusError(f"{table} is missing")
    with table.open(newline="") as handle:
        patients = {row["Patient ID"]: row for row in csv.DictReader(handle)}
    for path in sorted((folder / "training_data").iterdir()):
        if path.suffix not in (".wav", ".flac"):
            continue
        patient_id, site = path.stem.split("_")[:2]
        row = patients[patient_id]
        child = _child(row)
        yield Recording(
            corpus="circor",
            name=path.stem,
            path=path,
            patient=child,
            device="littmann-3200",
            site=site,
            split=circor_split(child),
            labels=_labels(row, site),
            intervals=_phases(path.with_suffix(".tsv")),
            metadata=row,
        )


def _child(row: dict[str, str]) -> str:
    ids = [int(row["Patient ID"])]
    if row["Additional ID"] not in ("", "nan"):
        ids.append(int(float(row["Additional ID"])))
    return str(min(ids))


def _labels(row: dict[str, str], site: str) -> dict[str, bool]:
    if row["Murmur"] == "Absent":
        return {"murmur": False}
    if row["Murmur"] == "Present" and site in row["Murmur locations"].split("+"):
        return {"murmur": True}
    return {}


def _phases(path: Path) -> tuple[Interval, ...]:
    if not path.is_file():
        return ()
    phases = []
    for line in path.read_text().splitlines():
        start, end, state = line.split("\t")
        if state in PHASES:
            phases.append(Interval(float(start), float(end), PHASES[state]))
    return tuple(phases)
