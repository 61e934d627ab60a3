"""The adapters on the real copies: counts that the publishers state, and the traps."""

import csv
from collections import Counter, defaultdict
from functools import cache

import pytest
from tiny_layouts import REAL

from align.corpora import read_corpus as read_from

pytestmark = pytest.mark.skipif(
    not REAL.is_dir(), reason="the real recordings are not on this machine"
)
COUNTS = {  # rows, rows with audio, patients
    "circor": (2776, 2776, 759),
    "physionet2016": (985, 985, 985),
    "sprsound": (2683, 2683, 292),
    "icbhi": (920, 10, 126),
    "kauh": (7, 7, 7),
    "covid19-cough": (1324, 1200, 1324),
}


@cache
def read_corpus(name, data_root):
    return read_from(name, data_root)


@pytest.fixture(scope="module", params=COUNTS)
def corpus(request):
    return request.param, read_corpus(request.param, REAL)


def test_counts_are_the_copys(corpus):
    name, rows = corpus
    there = sum(row.path.is_file() for row in rows)
    assert (len(rows), there, len({row.patient for row in rows})) == COUNTS[name]


def test_no_patient_is_in_two_splits(corpus):
    splits = defaultdict(set)
    for row in corpus[1]:
        splits[row.patient].add(row.split)
    assert all(len(found) == 1 for found in splits.values())


def test_circor_children_are_joined_and_their_labels_are_per_site():
    rows = read_corpus("circor", REAL)
    ids = {row.name.split("_")[0] for row in rows}
    assert len(ids) == 824
    labels = Counter(row.labels.get("murmur") for row in rows)
    assert labels == {False: 2089, True: 447, None: 240}
    assert not any("outcome_abnormal" in row.labels for row in rows)


def test_sprsound_prevalence_and_unlabelled_poor_recordings():
    rows = read_corpus("sprsound", REAL)
    assert Counter(row.labels.get("wheeze") for row in rows) == {False: 2132, True: 364, None: 187}
    assert Counter(row.labels.get("crackle") for row in rows) == {False: 2018, True: 478, None: 187}
    assert {row.metadata["quality"] for row in rows if not row.labels} == {"Poor Quality"}


def test_icbhi_cycles_are_the_published_6898():
    cycles = Counter(c.label for row in read_corpus("icbhi", REAL) for c in row.intervals)
    assert cycles == {"normal": 3642, "crackle": 1864, "wheeze": 886, "wheeze+crackle": 506}


def test_icbhi_split_is_the_official_one_but_for_the_straddling_patients():
    path = REAL / "opera-splits/datasets/icbhi/ICBHI_challenge_train_test.txt"
    with path.open(newline="") as handle:
        official = dict(csv.reader(handle, delimiter="\t"))
    rows = read_corpus("icbhi", REAL)
    moved = {row.name for row in rows if (row.split == "test") != (_official(row, official))}
    assert {name.split("_")[0] for name in moved} == {"156", "218"}
    assert len(moved) == 12
    healthy = [row for row in rows if row.labels["diagnosis"] == "Healthy"]
    assert Counter(row.split for row in healthy) == {"test": 17, "train": 13, "val": 5}


def _official(row, official):
    """The list calls one recording by another device than its file."""
    other = {"226_1b1_Pl_sc_LittC2SE": "226_1b1_Pl_sc_Meditron"}
    return official[other.get(row.name, row.name)] == "test"


def test_kauh_names_are_read():
    rows = {row.patient: row for row in read_corpus("kauh", REAL)}
    assert Counter(row.labels["diagnosis"] for row in rows.values()) == {
        "asthma": 4,
        "lung fibrosis": 1,
        "normal": 1,
        "copd": 1,
    }
    assert rows["9"].site == "posterior right lower"
    assert rows["26"].labels == {"diagnosis": "lung fibrosis", "wheeze": False, "crackle": True}


def test_physionet_prevalence_hangs_on_the_database():
    rows = read_corpus("physionet2016", REAL)
    assert Counter(row.labels["abnormal"] for row in rows) == {False: 537, True: 448}
    assert {row.split for row in rows} == {"test"}


def test_covid19_cough_tells_no_covid():
    rows = read_corpus("covid19-cough", REAL)
    assert {key for row in rows for key in row.metadata} == {"sound", "asymptomatic"}
    assert Counter(row.device for row in rows) == {"call-center": 700, "telegram": 624}
