"""KAUH (Fraiwan): lung sounds of 112 adults, each recording in three stethoscope filters.

All that is known of a recording stands in its file name, as `DP9_Asthma,E W,P R L ,59,M.wav`:
filter, patient, diagnosis, sound, place, age, sex.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from align.corpora.recording import CorpusError, Recording
from align.corpora.tables import audio_files, describe, subfolder
from align.splits import KAUH_DUPLICATES, kauh_split

NAME = re.compile(r"([BDE])P(\d+)_([^,]+),([^,]+),([^,]+),([^,]+),([^,]+)")
FILTERS = {"B": "bell", "D": "diaphragm", "E": "extended"}
DIAGNOSES = {
    "n": "normal",
    "bron": "bronchitis",
    "plueral effusion": "pleural effusion",
}
SOUNDS = {
    "N": "normal",
    "I": "inspiratory",
    "E": "expiratory",
    "W": "wheezes",
    "C": "crackles",
    "Crep": "crepitations",
    "B": "bronchial",
}
VIEWS = {"A": "anterior", "P": "posterior"}
SIDES = {"L": "left", "R": "right"}
HEIGHTS = {"U": "upper", "M": "middle", "L": "lower"}


def read_kauh(folder: Path) -> Iterator[Recording]:
    """Yield one row per file.

    The three filter versions (B, D, E) are one patient's. Patients 76 and 77, and 100 and 101, are
    the same recordings under two ids and, by their names, two diagnoses: each pair is one patient,
    flagged in metadata (`duplicates`) and without labels, for one of the two names must be wrong.
    """
    for path in audio_files(subfolder(folder, "Audio Files", "AudioFiles")):
        match = NAME.fullmatch(path.stem)
        if match is None:
            raise CorpusError(
                f"{path} is not named filter, patient, diagnosis, sound, place, age, sex"
            )
        letter, number, diagnosis, sound, place, age, sex = match.groups()
        patient = KAUH_DUPLICATES.get(number, number)
        metadata = describe({"age": age, "sex": sex}, {"age": "age", "sex": "sex"})
        metadata |= {"filter": FILTERS[letter], "sound_type": _words(sound)}
        twice = patient in KAUH_DUPLICATES.values()
        if twice:
            other = {first: second for second, first in KAUH_DUPLICATES.items()}[patient]
            metadata["duplicates"] = f"{patient} and {other}"
        yield Recording(
            corpus="kauh",
            name=path.stem,
            path=path,
            patient=patient,
            device="littmann-3200",
            site=_site(place),
            split=kauh_split(patient),
            labels={} if twice else _labels(diagnosis, sound),
            metadata=metadata,
        )


def _labels(diagnosis: str, sound: str) -> dict[str, bool | str]:
    plain = " ".join(diagnosis.lower().replace("+", " and ").split())
    heard = set(sound.split())
    return {
        "diagnosis": DIAGNOSES.get(plain, plain),
        "wheeze": "W" in heard,
        "crackle": bool(heard & {"C", "Crep"}),
    }


def _words(sound: str) -> str:
    return " ".join(SOUNDS.get(code, code) for code in sound.split())


def _site(place: str) -> str:
    """`P R L` is posterior right lower; `P L L R` covers both sides."""
    view, *rest = place.split()
    words = [VIEWS.get(view, view)]
    for position, code in enumerate(rest):
        first, second = (SIDES, HEIGHTS) if position != 1 else (HEIGHTS, SIDES)
        words.append(first.get(code, second.get(code, code)))
    return " ".join(words)
