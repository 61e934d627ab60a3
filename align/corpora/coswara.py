"""Coswara: coughs, breaths, vowels and counting from the browsers of volunteers.

The repository after its own `extract_data.py`: `combined_data.csv`, `annotations/` and
`Extracted_data/<date>/<id>/<sound>.wav`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from align.corpora.recording import CorpusError, Label, Recording
from align.corpora.tables import SEXES, YES_NO, Row, describe, find_audio, read_table
from align.splits import hash_split

SOUNDS = (
    "breathing-deep",
    "breathing-shallow",
    "cough-heavy",
    "cough-shallow",
    "counting-fast",
    "counting-normal",
    "vowel-a",
    "vowel-e",
    "vowel-o",
)
COVID = {
    "healthy": False,
    "positive_asymp": True,
    "positive_mild": True,
    "positive_moderate": True,
}
QUALITIES = {"0": "bad", "1": "good", "2": "excellent"}
COLUMNS = {
    "a": "age",
    "g": "sex",
    "covid_status": "covid_status",
    "test_status": "test_status",
    "vacc": "vaccination",
    "smoker": "smoker",
    "asthma": "asthma",
    "cld": "chronic_lung_disease",
    "pneumonia": "pneumonia",
    "others_resp": "other_respiratory_disease",
    "ht": "hypertension",
    "ihd": "ischaemic_heart_disease",
    "diabetes": "diabetes",
    "others_preexist": "other_disease",
    "cough": "cough",
    "cold": "cold",
    "fever": "fever",
    "st": "sore_throat",
    "bd": "breathing_difficulty",
    "ftg": "fatigue",
    "mp": "muscle_pain",
    "loss_of_smell": "loss_of_smell",
    "diarrhoea": "diarrhoea",
    "um": "mask",
    "rU": "returning_user",
    "ep": "english",
    "l_c": "country",
}


def read_coswara(folder: Path) -> Iterator[Recording]:
    """Yield nine rows per participant, one for each sound (`metadata["sound"]`).

    `covid` holds for healthy people and current positives; the exposed, the recovered and other
    illness have none. A recording that the annotators call bad (quality 0) carries no label. A
    folder that `combined_data.csv` does not name is skipped: no consent is on record for it. Users
    who came back have several ids that nothing links. No official split: `hash_split`.
    """
    extracted = folder / "Extracted_data"
    if not extracted.is_dir():
        raise CorpusError(f"{extracted} is missing; run extract_data.py of the corpus")
    people = read_table(folder / "combined_data.csv", ("id", "a", "g", "covid_status", "smoker"))
    places = {path.name: path for path in sorted(extracted.glob("*/*")) if path.is_dir()}
    qualities = {sound: _qualities(folder, sound) for sound in SOUNDS}
    for row in people:
        person = row["id"]
        labels, metadata = _labels(row), describe(row, COLUMNS)
        for sound in SOUNDS:
            quality = qualities[sound].get(f"{person}_{sound}", "")
            yield Recording(
                corpus="coswara",
                name=f"{person}_{sound}",
                path=find_audio(places.get(person, extracted / person), sound),
                patient=person,
                device="participant's phone or computer",
                site="mouth",
                split=hash_split("coswara", person),
                labels={} if quality == "bad" else labels,
                metadata=metadata | {"sound": sound} | ({"quality": quality} if quality else {}),
            )


def _labels(row: Row) -> dict[str, Label]:
    labels: dict[str, Label] = {}
    if row["covid_status"] in COVID:
        labels["covid"] = COVID[row["covid_status"]]
    if row["smoker"].lower() in YES_NO:
        labels["smoker"] = YES_NO[row["smoker"].lower()] == "yes"
    if row["g"].lower() in SEXES:
        labels["sex"] = SEXES[row["g"].lower()]
    return labels


def _qualities(folder: Path, sound: str) -> dict[str, str]:
    table = folder / "annotations" / f"{sound}_labels.csv"
    if not table.is_file():
        return {}
    rows = read_table(table, ("FILENAME", "QUALITY"))
    return {row["FILENAME"]: QUALITIES.get(row["QUALITY"], "") for row in rows}
