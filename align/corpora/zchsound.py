"""ZCHSound: hearts of children with and without congenital disease, one recording each.

Laid out as its users read it: two folders of recordings, clean and noisy, and for each a table with
semicolons (`fileName;gender;age(days);diagnosis`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from align.corpora.recording import CorpusError, Recording
from align.corpora.tables import (
    audio_files,
    describe,
    find_audio,
    read_table,
    refuse_strays,
    subfolder,
)
from align.splits import hash_split

SETS = {
    "clean": ("Clean Heartsound Data Details.csv", "clean Heartsound Data"),
    "noisy": ("Noise Heartsound Data Details.csv", "Noise Heartsound Data Details"),
}
DIAGNOSES = frozenset({"normal", "asd", "vsd", "pda", "pfo"})
DUPLICATES = {
    "ZCH0171": "ZCH0090",
    "ZCH0219": "ZCH0015",
    "ZCH0366": "ZCH0268",
    "ZCH0401": "ZCH0182",
    "ZCH0515": "ZCH0465",
    "ZCH0802": "ZCH0545",
}
"""Byte-identical recordings under two names in the public release: second -> first."""
CONTRADICTED = frozenset({"ZCH0545", "ZCH0802"})
"""A duplicated pair of which one is called ASD and the other VSD."""
DAYS_PER_YEAR = 365.25


def read_zchsound(folder: Path) -> Iterator[Recording]:
    """Yield one row per recording.

    `diagnosis` is normal, asd, vsd, pda or pfo, and `abnormal` any but normal. Six recordings are
    in the release twice: both names are one patient, and the pair with two diagnoses has none (but
    is abnormal). The stethoscope is not published. No official split: `hash_split`.
    """
    root = subfolder(folder, "ZCHSound")
    for quality, (table_name, audio_folder) in SETS.items():
        table, base = root / table_name, root / audio_folder
        rows = read_table(table, ("fileName", "gender", "age(days)", "diagnosis"), delimiter=";")
        refuse_strays(audio_files(base), (Path(row["fileName"]).stem for row in rows), table)
        for row in rows:
            name = Path(row["fileName"]).stem
            patient = DUPLICATES.get(name, name)
            person = {"age": _years(row["age(days)"]), "sex": row["gender"]}
            metadata = describe(person, {"age": "age", "sex": "sex"}) | {"quality": quality}
            if name in DUPLICATES:
                metadata["duplicate_of"] = patient
            yield Recording(
                corpus="zchsound",
                name=name,
                path=find_audio(base, name),
                patient=patient,
                device="unknown",
                site="heart",
                split=hash_split("zchsound", patient),
                labels=_labels(name, row["diagnosis"].lower(), table),
                metadata=metadata,
            )


def _labels(name: str, diagnosis: str, table: Path) -> dict[str, bool | str]:
    if diagnosis not in DIAGNOSES:
        raise CorpusError(f"{table}: {name} has the unknown diagnosis {diagnosis!r}")
    labels: dict[str, bool | str] = {"abnormal": diagnosis != "normal"}
    if name not in CONTRADICTED:
        labels["diagnosis"] = diagnosis
    return labels


def _years(days: str) -> str:
    try:
        return f"{float(days) / DAYS_PER_YEAR:.2f}"
    except ValueError:
        return ""
