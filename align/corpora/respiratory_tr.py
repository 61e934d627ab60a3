"""RespiratoryDatabase@TR: twelve lung recordings of each of 42 people, graded COPD 0 to 4.

`RespiratoryDatabase@TR/H002_L1.wav` and `Labels.xlsx` (or `Labels.csv`, as OPERA ships it).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from align.corpora.recording import CorpusError, Recording
from align.corpora.tables import audio_files, read_sheet, subfolder
from align.splits import respiratory_tr_split

SIDES = {"L": "left", "R": "right"}


def read_respiratory_tr(folder: Path) -> Iterator[Recording]:
    """Yield one row per lung recording; `copd_severity` is 0 (at risk) to 4 (very severe).

    The channel (`left 1` to `right 6`) names a place on the back or chest.
    """
    table = folder / "Labels.xlsx"
    rows = read_sheet(table, ("Patient ID", "Diagnosis"))
    severity = {row["Patient ID"]: _severity(row["Diagnosis"], table) for row in rows}
    for path in audio_files(subfolder(folder, "RespiratoryDatabase@TR")):
        match = re.fullmatch(r"(H\d+)_([LR])(\d)", path.stem)
        if match is None:
            raise CorpusError(f"{path} is not named patient, channel like H002_L1.wav")
        patient, side, channel = match.groups()
        if patient not in severity:
            raise CorpusError(f"{path}: patient {patient} is not in {table}")
        yield Recording(
            corpus="respiratory-tr",
            name=path.stem,
            path=path,
            patient=patient,
            device="littmann-3200",
            site=f"{SIDES[side]} {channel}",
            split=respiratory_tr_split(patient),
            labels={"copd_severity": severity[patient]},
        )


def _severity(diagnosis: str, table: Path) -> int:
    match = re.fullmatch(r"COPD([0-4])", diagnosis)
    if match is None:
        raise CorpusError(f"{table}: {diagnosis!r} is not COPD0 to COPD4")
    return int(match[1])
