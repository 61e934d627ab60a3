"""BMD-HS: heart sounds of adults with up to four valve diseases, 4 sites x 2 postures each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from align.corpora.recording import CorpusError, Recording
from align.corpora.tables import (
    Row,
    audio_files,
    describe,
    find_audio,
    known,
    read_table,
    refuse_strays,
)
from align.splits import hash_split

VALVES = ("AS", "AR", "MR", "MS")
RECORDINGS = tuple(f"recording_{number}" for number in range(1, 9))
SITES = {"Mit": "mitral", "Tri": "tricuspid", "Pul": "pulmonary", "Aor": "aortic"}
POSTURES = {"sup": "supine", "sit": "sitting"}
SMOKER = {"1": "yes", "0": "no"}
RESIDENCE = {"U": "urban", "R": "rural"}
TRUTH = {"1": True, "0": False}


def read_bmd_hs(folder: Path) -> Iterator[Recording]:
    """Yield one row per recording.

    `as`, `ar`, `mr`, `ms` are the valve diseases of the patient, `abnormal` is that column N says
    not normal; a patient whose cells are `N/A` (patient_022) has no labels. The stethoscope is not
    published. No official split: `hash_split`.
    """
    table, people = folder / "train.csv", folder / "additional_metadata.csv"
    rows = read_table(table, ("patient_id", "N", *VALVES, *RECORDINGS))
    persons = {row["patient_id"]: row for row in read_table(people, ("patient_id",))}
    named = [row[column] for row in rows for column in RECORDINGS]
    refuse_strays(audio_files(folder / "train"), named, table)
    for row in rows:
        patient = row["patient_id"]
        for name in (row[column] for column in RECORDINGS if known(row[column])):
            try:
                _, _, posture, site = name.split("_")
            except ValueError:
                message = f"{table}: {name!r} is not disease, number, posture, site"
                raise CorpusError(message) from None
            yield Recording(
                corpus="bmd-hs",
                name=name,
                path=find_audio(folder / "train", name),
                patient=patient,
                device="unknown",
                site=SITES.get(site, site),
                split=hash_split("bmd-hs", patient),
                labels=_labels(row),
                metadata=_person(persons.get(patient, {}))
                | {"posture": POSTURES.get(posture, posture)},
            )


def _labels(row: Row) -> dict[str, bool]:
    labels = {valve.lower(): TRUTH[row[valve]] for valve in VALVES if row[valve] in TRUTH}
    if row["N"] in TRUTH:
        labels["abnormal"] = not TRUTH[row["N"]]
    return labels


def _person(row: Row) -> dict[str, str]:
    spelled = row | {
        "Smoker": SMOKER.get(row.get("Smoker", ""), ""),
        "Lives": RESIDENCE.get(row.get("Lives", ""), ""),
    }
    names = {"Age": "age_group", "Gender": "sex", "Smoker": "smoker", "Lives": "residence"}
    return describe(spelled, names)
