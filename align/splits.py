"""Folds: the one place that decides which patient is trained on, validated on or tested on.

Official splits are used where they exist; every other corpus follows `hash_split`.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

Split = Literal["train", "val", "test"]


def _ids(text: str) -> frozenset[str]:
    return frozenset(text.split())


LEAVE_ONE_OUT: Final[Split] = "test"
"""Split of every row of a corpus that is probed by leaving one subject (MMLung, NoseMic) or one
database (PhysioNet 2016) out: nothing is ever trained on it outside that loop."""

ICBHI_TEST: Final = _ids(
    "101 102 104 109 113 118 119 123 124 126 133 136 139 143 144 145 146 147 149 150 151 160 165 "
    "169 170 171 173 174 175 176 177 178 182 185 187 194 195 198 202 205 207 211 214 216 223 224 "
    "225"
)
"""Patients of the challenge's 60/40 split whose recordings are all on its test side."""

KAUH_DUPLICATES: Final = {"77": "76", "101": "100"}
"""Second id of a pair whose recordings are the same: id -> first id."""

KAUH_TEST: Final = _ids("7 15 17 44 46 51 53 55 56 65 70 71 72 74 75 80 82 84 86 87 89 93 95 104")
"""OPERA's test patients (`train_test.npy`) but 77 and 100, whose duplicates it trains on.

OPERA's probe reads another file, `train_test_split.npy`, which sends the three filter versions of
one recording to both sides for 51 of 78 patients; it is not used.
"""

RESPIRATORY_TR_TEST: Final = _ids("H003 H012 H018 H022 H023 H026 H034 H039 H050")
RESPIRATORY_TR_VAL: Final = _ids("H007 H015 H024 H028 H032 H037 H045")


def patient_fold(corpus: str, patient: str) -> float:
    """A number in [0, 1) that depends on the corpus and patient alone, so that it never moves."""
    digest = hashlib.sha256(f"{corpus}/{patient}".encode()).hexdigest()
    return int(digest[:8], 16) / 2**32


def hash_split(corpus: str, patient: str) -> Split:
    """The rule where nobody published one: 25 % of the patients test, 10 % validate."""
    fold = patient_fold(corpus, patient)
    return "test" if fold < 0.25 else "val" if fold < 0.35 else "train"


def circor_split(child: str) -> Split:
    """Split of a CirCor child (the smaller of its campaign ids): 25 % test, 10 % validation."""
    return hash_split("circor", child)


def sprsound_split(patient: str, *, official_inter_test: bool) -> Split:
    """Official inter-patient test set; of the other patients 15 % validate."""
    return _beside_official_test("sprsound", patient, official_inter_test)


def icbhi_split(patient: str) -> Split:
    """Official 60/40 split by patient; of the training patients 15 % validate.

    The challenge splits recordings and puts patients 156 and 218 on both sides: here they train,
    so that nothing is tested that the challenge trains on.
    """
    return _beside_official_test("icbhi", patient, patient in ICBHI_TEST)


def kauh_split(patient: str) -> Split:
    """OPERA's test patients; of all others 15 % validate.

    `patient` is the first id of a duplicated pair; the pairs train. OPERA's task leaves out the
    diagnoses other than normal, asthma and COPD; those patients are never tested on.
    """
    if patient in KAUH_DUPLICATES.values():
        return "train"
    return _beside_official_test("kauh", patient, patient in KAUH_TEST)


def respiratory_tr_split(patient: str) -> Split:
    """OPERA's split of the 42 patients (`H002`...): 26 train, 7 validate, 9 test."""
    if patient in RESPIRATORY_TR_TEST:
        return "test"
    return "val" if patient in RESPIRATORY_TR_VAL else "train"


def uk_covid_split(official: str) -> Split:
    """The publishers' standard split (column `splits`).

    Whoever is not in its `train` or `val` (the longitudinal set, the matched test sets, people that
    the column leaves empty) is never trained on.
    """
    return "train" if official == "train" else "val" if official == "val" else "test"


def _beside_official_test(corpus: str, patient: str, official_test: bool) -> Split:
    if official_test:
        return "test"
    return "val" if patient_fold(corpus, patient) < 0.15 else "train"
