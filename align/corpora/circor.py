"""CirCor DigiScope 1.0.3 (PhysioNet 2022): children's hearts at up to four sites."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from align.corpora.recording import CorpusError, Interval, Recording
from align.corpora.tables import Row, audio_files, known, read_table
from align.splits import circor_split

PHASES = {"1": "S1", "2": "systole", "3": "S2", "4": "diastole"}
OUTCOMES = {"Normal": False, "Abnormal": True}


def read_circor(folder: Path) -> Iterator[Recording]:
    """Yield one row per recording.

    A child seen in both campaigns has two ids (`Additional ID`); the smaller one names the child.
    `murmur` is true only where the murmur was audible; a murmur patient's other sites and
    `Unknown` patients carry no murmur label. `outcome_abnormal` is the clinical outcome of the
    child, in releases whose table has it.
    """
    table = folder / "training_data.csv"
    columns = ("Patient ID", "Murmur", "Murmur locations", "Additional ID")
    patients = {row["Patient ID"]: row for row in read_table(table, columns)}
    for path in audio_files(folder / "training_data"):
        patient_id, _, site = path.stem.partition("_")
        site = site.split("_")[0]
        if patient_id not in patients:
            raise CorpusError(f"{path} has no row in {table}; remove it or complete the table")
        row = patients[patient_id]
        child = _child(row, table)
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
            metadata={column: value for column, value in row.items() if known(value)},
        )


def _child(row: Row, table: Path) -> str:
    ids = [value for value in (row["Patient ID"], row["Additional ID"]) if known(value)]
    try:
        return str(min(int(float(value)) for value in ids))
    except ValueError as error:
        raise CorpusError(f"{table}: patient {row['Patient ID']}: {error}") from None


def _labels(row: Row, site: str) -> dict[str, bool]:
    labels = {}
    if row["Murmur"] == "Absent":
        labels["murmur"] = False
    if row["Murmur"] == "Present" and site in row["Murmur locations"].split("+"):
        labels["murmur"] = True
    if row.get("Outcome") in OUTCOMES:
        labels["outcome_abnormal"] = OUTCOMES[row["Outcome"]]
    return labels


def _phases(path: Path) -> tuple[Interval, ...]:
    if not path.is_file():
        return ()
    phases = []
    try:
        for line in path.read_text().splitlines():
            start, end, state = line.split("\t")
            if state in PHASES:
                phases.append(Interval(float(start), float(end), PHASES[state]))
    except ValueError as error:
        raise CorpusError(f"{path} is not start, end, state in tabs ({error})") from None
    return tuple(phases)
