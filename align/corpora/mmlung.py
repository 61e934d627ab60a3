"""MMLung: breaths and vowels by phone with spirometry, 40 people.

On request only, so laid out as OPERA reads it: its script joins the spirometry files into
`All_path.xlsx` (or the same as .csv) with a path below this folder for each sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from align.corpora.recording import CorpusError, Recording
from align.corpora.tables import Row, known, read_sheet
from align.splits import LEAVE_ONE_OUT

SOUNDS = {"breath": "Deep_Breath_file", "vowel": "O_Single_file"}
SPIROMETRY = {"FVC": "fvc", "FEV1": "fev1", "FEV1/FVC": "fev1_fvc"}
SPIROMETRY_FILE = "Spirometry_file"


def read_mmlung(folder: Path) -> Iterator[Recording]:
    """Yield one row per person and sound (`metadata["sound"]`: breath or vowel).

    `fvc` and `fev1` in litres, `fev1_fvc` their ratio. All rows are test: leave one person out.
    """
    table = folder / "All_path.xlsx"
    columns = (SPIROMETRY_FILE, *SOUNDS.values(), *SPIROMETRY)
    for row in read_sheet(table, columns):
        person = Path(row[SPIROMETRY_FILE]).stem.split("_")[0]
        labels = _labels(row, table)
        for sound, column in SOUNDS.items():
            if known(row[column]):
                yield Recording(
                    corpus="mmlung",
                    name=f"{person}_{sound}",
                    path=_audio(folder, row[column]),
                    patient=person,
                    device="phone",
                    site="mouth",
                    split=LEAVE_ONE_OUT,
                    labels=labels,
                    metadata={"sound": sound},
                )


def _labels(row: Row, table: Path) -> dict[str, float]:
    try:
        cells = {label: row[column] for column, label in SPIROMETRY.items()}
        return {label: float(value) for label, value in cells.items() if known(value)}
    except ValueError as error:
        raise CorpusError(f"{table}: {row[SPIROMETRY_FILE]}: {error}") from None


def _audio(folder: Path, published: str) -> Path:
    """The recording; OPERA writes the folder's name with spaces in one place, not in another."""
    path = folder / published
    bare = folder / published.replace(" ", "_")
    return bare if bare.is_file() else path
