"""Folds never move, and never share a patient."""

import re
from collections import defaultdict

import numpy as np
import pytest
from tiny_layouts import REAL

from align.splits import (
    ICBHI_TEST,
    KAUH_TEST,
    circor_split,
    hash_split,
    icbhi_split,
    kauh_split,
    patient_fold,
    respiratory_tr_split,
    sprsound_split,
    uk_covid_split,
)

OPERA = REAL / "opera-splits"
needs_opera = pytest.mark.skipif(not OPERA.is_dir(), reason="OPERA's splits are not here")


def test_folds_are_fixed_for_ever():
    assert patient_fold("circor", "13918") == 0.6127144896890968
    assert patient_fold("circor", "50001") == 0.7961096079088748
    assert patient_fold("sprsound", "40069321") == 0.3016000983770937


def test_shares_are_about_what_they_say():
    folds = [circor_split(str(child)) for child in range(20_000)]
    assert abs(folds.count("test") / 20_000 - 0.25) < 0.01
    assert abs(folds.count("val") / 20_000 - 0.10) < 0.01


def test_a_persons_split_depends_on_the_corpus():
    assert [circor_split(str(n)) for n in range(50)] == [
        hash_split("circor", str(n)) for n in range(50)
    ]
    assert [hash_split("a", str(n)) for n in range(50)] != [
        hash_split("b", str(n)) for n in range(50)
    ]


def test_the_official_test_set_stays_the_test_set():
    assert all(sprsound_split(str(p), official_inter_test=True) == "test" for p in range(50))
    assert "test" not in {sprsound_split(str(p), official_inter_test=False) for p in range(500)}


def test_icbhi_patients_on_both_official_sides_never_test():
    assert icbhi_split("156") != "test"
    assert icbhi_split("218") != "test"
    assert {icbhi_split(patient) for patient in ICBHI_TEST} == {"test"}


def test_kauh_duplicates_train():
    assert {kauh_split("76"), kauh_split("100")} == {"train"}
    assert KAUH_TEST.isdisjoint({"76", "77", "100", "101"})


def test_uk_covid_trains_only_on_the_official_training_set():
    expected = {"train": "train", "val": "val", "test": "test", "long": "test", "": "test"}
    assert {name: uk_covid_split(name) for name in expected} == expected


@needs_opera
def test_icbhi_test_patients_are_those_that_only_test_officially():
    sides = defaultdict(set)
    lists = OPERA / "datasets/icbhi/ICBHI_challenge_train_test.txt"
    for line in lists.read_text().splitlines():
        name, side = line.split()
        sides[name.split("_")[0]].add(side)
    assert {patient for patient, found in sides.items() if found == {"test"}} == ICBHI_TEST
    assert {patient for patient, found in sides.items() if len(found) == 2} == {"156", "218"}


@needs_opera
def test_kauh_test_patients_are_operas_without_the_duplicates():
    sides = _operas("kauh_eval", "sound_dir_loc_subset", "train_test", r"[BDE]P(\d+)_")
    assert all(len(found) == 1 for found in sides.values())
    assert {p for p, found in sides.items() if found == {"test"}} == KAUH_TEST | {"77", "100"}


@needs_opera
def test_kauh_recording_split_of_opera_leaks_patients():
    sides = _operas("kauh_eval", "sound_dir_loc_subset", "train_test_split", r"[BDE]P(\d+)_")
    assert sum(len(found) > 1 for found in sides.values()) == 51


@needs_opera
def test_respiratory_tr_split_is_operas():
    sides = _operas("copd_eval", "sound_dir_loc", "train_test_split", r"(H\d+)_")
    assert len(sides) == 42
    assert all(found == {respiratory_tr_split(patient)} for patient, found in sides.items())


def _operas(folder, names, split, pattern):
    """Patient -> splits of its recordings, in OPERA's arrays."""
    base = OPERA / "feature" / folder
    sides = defaultdict(set)
    for path, side in zip(
        np.load(base / f"{names}.npy"), np.load(base / f"{split}.npy"), strict=True
    ):
        sides[re.match(pattern, path.rsplit("/", 1)[1])[1]].add(str(side))
    return sides
