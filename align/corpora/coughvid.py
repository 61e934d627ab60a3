"""CoughVID: crowdsourced coughs with self-reported status and, for some, experts' opinions.

`metadata_compiled.csv` beside `<uuid>.webm|.ogg`, in the folder itself or in `public_dataset/`;
files turned into WAV there, or in `wav/`, are preferred.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from align.corpora.recording import CorpusError, Label, Recording
from align.corpora.tables import SEXES, Row, audio_files, describe, read_table, subfolder
from align.splits import hash_split

COUGH_CERTAIN = 0.8  # probability of a cough that OPERA asks for
COVID = {"COVID-19": True, "healthy": False}
COLUMNS = {
    "age": "age",
    "gender": "sex",
    "status": "status",
    "respiratory_condition": "respiratory_condition",
    "fever_muscle_pain": "fever_or_muscle_pain",
    "cough_detected": "cough_detected",
}
OPINIONS = (
    "quality",
    "cough_type",
    "dyspnea",
    "wheezing",
    "stridor",
    "choking",
    "congestion",
    "nothing",
    "diagnosis",
    "severity",
)
EXPERTS = ("1", "2", "3", "4")
PREFERENCE = (".wav", ".flac", ".ogg", ".mp3", ".webm")


def read_coughvid(folder: Path) -> Iterator[Recording]:
    """Yield one row per line of the table; each recording stands for its own person.

    Labels are given only where the publishers' detector is sure of a cough (`cough_detected` at
    least 0.8, as OPERA filters); the others stay as rows, with `cough_heard` = no in metadata.
    `covid` is COVID-19 against healthy; symptomatic people have none. OPERA's split is a random
    draw of recordings kept in a pickled array: `hash_split` is used instead.
    """
    base = subfolder(folder, "public_dataset")
    table = base / "metadata_compiled.csv"
    rows = read_table(table, ("uuid", "cough_detected", "gender", "status"))
    audio = _audio(base)
    names = COLUMNS | {f"{part}_{n}": f"{part}_{n}" for n in EXPERTS for part in OPINIONS}
    for row in rows:
        name = row["uuid"]
        heard = _heard(row, table)
        yield Recording(
            corpus="coughvid",
            name=name,
            path=audio.get(name, base / f"{name}.wav"),
            patient=name,
            device="participant's phone or computer",
            site="mouth",
            split=hash_split("coughvid", name),
            labels=_labels(row) if heard else {},
            metadata=describe(row, names)
            | {"sound": "cough", "cough_heard": "yes" if heard else "no"},
        )


def _heard(row: Row, table: Path) -> bool:
    try:
        return float(row["cough_detected"]) >= COUGH_CERTAIN
    except ValueError:
        value = row["cough_detected"]
        raise CorpusError(f"{table}: {row['uuid']} has cough_detected {value!r}") from None


def _labels(row: Row) -> dict[str, Label]:
    labels: dict[str, Label] = {}
    if row["status"] in COVID:
        labels["covid"] = COVID[row["status"]]
    if row["gender"].lower() in SEXES:
        labels["sex"] = SEXES[row["gender"].lower()]
    return labels


def _audio(base: Path) -> dict[str, Path]:
    """Name -> file, the format that is easiest to decode first."""
    files = audio_files(base)
    if (base / "wav").is_dir():
        files += audio_files(base / "wav")
    files.sort(key=lambda path: PREFERENCE.index(path.suffix.lower()), reverse=True)
    return {path.stem: path for path in files}
