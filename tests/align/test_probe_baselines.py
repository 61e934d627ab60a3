"""Baselines: metadata alone, told from nothing that states a label, and the origin probe."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from rows import row

from align.corpora import FOLDERS, READERS
from align.probe.baselines import FIELDS, metadata_baseline, metadata_features, origin_probe
from align.probe.embed import Embedded
from align.probe.problem import ProbeError
from align.tasks import Task, load_tasks

REAL = Path(__file__).parents[3] / "shared" / "data"
TIMES = 100
SPLITS = ("train", "train", "val", "test")


def children(count=400, seed=0):
    """SPRSound rows whose wheeze follows age; `quality` states it outright."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        age = random.uniform(1, 15)
        wheeze = bool(age + random.normal(0, 2) < 6)
        metadata = {"age": f"{age:.1f}", "sex": "male", "quality": "CAS" if wheeze else "Normal"}
        rows.append(
            row(
                f"r{number}",
                corpus="sprsound",
                split=SPLITS[number % 4],
                labels={"wheeze": wheeze, "crackle": bool(random.integers(2))},
                metadata=metadata,
            )
        )
    return rows


def test_metadata_finds_what_follows_age_and_nothing_else():
    tasks = load_tasks()
    wheeze, crackle = metadata_baseline(
        children(), [tasks["sprsound-wheeze"], tasks["sprsound-crackle"]], resamples=TIMES
    )
    assert 0.85 < wheeze.estimate.value < 0.999
    assert crackle.estimate.low < 0.5 < crackle.estimate.high


def test_a_field_outside_the_list_is_never_read():
    plain = children()
    stripped = [
        row(
            one.name,
            corpus="sprsound",
            split=one.split,
            labels=one.labels,
            metadata={key: value for key, value in one.metadata.items() if key != "quality"},
        )
        for one in plain
    ]
    task = load_tasks()["sprsound-wheeze"]
    first, second = (
        metadata_baseline(rows, [task], resamples=TIMES)[0] for rows in (plain, stripped)
    )
    assert np.array_equal(first.scores.scores, second.scores.scores)


def test_a_label_is_not_a_field_of_its_own_task():
    rows = [
        row(
            f"r{i}",
            corpus="coswara",
            split=SPLITS[i // 2 % 4],
            labels={"sex": ("male", "female")[i % 2]},
            metadata={"sex": ("male", "female")[i % 2], "sound": "cough-shallow"},
        )
        for i in range(80)
    ]
    (result,) = metadata_baseline(rows, [load_tasks()["coswara-sex"]], resamples=TIMES)
    assert result.estimate.value == 0.5


def test_numbers_and_words_and_what_is_unknown():
    rows = [
        row("a", metadata={"age": "2", "sex": "male"}, site="AV"),
        row("b", metadata={"age": "4"}, site="MV"),
        row("c", metadata={"age": "unknown", "sex": "female"}, site="MV"),
    ]
    table = metadata_features(rows, ["age", "sex"])
    site, device, age, sex = np.split(table, [2, 3, 5], axis=1)
    assert site.tolist() == [[1, 0], [0, 1], [0, 1]]
    assert device.tolist() == [[1], [1], [1]]
    assert age.tolist() == [[2, 0], [4, 0], [3, 1]]
    assert sex.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_a_category_that_training_lacks_says_nothing():
    """PhysioNet's database is unseen by construction when it is the one held out."""
    rows = [
        row(
            f"{letter}{i}",
            corpus="physionet2016",
            split="test",
            site="heart",
            device=letter,
            labels={"abnormal": i % 4 < prevalence},
            metadata={"database": letter, "quality": "good"},
        )
        for letter, prevalence in zip("abcd", (3, 1, 3, 2), strict=True)
        for i in range(40)
    ]
    task = load_tasks()["physionet2016-abnormal"]
    (result,) = metadata_baseline(rows, [task], resamples=TIMES)
    assert result.groups == dict.fromkeys("abcd", 0.5)


def test_a_corpus_that_nobody_vouched_for_is_refused():
    task = Task("mine", "new", "label", "ours", classes={"false": 0, "true": 1})
    with pytest.raises(ProbeError, match="no metadata field of 'new' is allowed"):
        metadata_baseline(children(), [task])


def test_every_corpus_with_a_task_has_its_fields_and_no_field_is_a_label():
    for task in load_tasks().values():
        fields = {field.lower() for field in FIELDS[task.corpus]}
        assert task.label == "sex" or task.label not in fields


@pytest.mark.skipif(not REAL.is_dir(), reason="the real recordings are not on this machine")
def test_the_fields_of_the_real_corpora_exist():
    for corpus in ("circor", "sprsound", "physionet2016"):
        rows = islice(READERS[corpus](REAL / FOLDERS[corpus][0]), 200)
        present = {key for one in rows for key in one.metadata}
        assert set(FIELDS[corpus]) <= present


def origins(strength, count=300):
    random = np.random.default_rng(0)
    rows = [
        row(
            f"r{i}",
            corpus=("circor", "sprsound", "icbhi")[i % 3],
            patient=f"p{i // 3}",
            device=("x", "y")[i % 2],
        )
        for i in range(count)
    ]
    vectors = random.standard_normal((count, 6)) + strength * np.eye(6)[np.arange(count) % 3]
    return Embedded(vectors.astype(np.float32), tuple(rows))


def test_origins_that_sound_different_are_told_apart_and_others_are_not():
    loud, null = (origin_probe(origins(s), resamples=TIMES) for s in (5.0, 0.0))
    assert loud.accuracy.value > 0.95 and loud.macro_auroc.low > 0.95
    assert abs(null.macro_auroc.value - 0.5) < 0.12
    assert loud.origins == {"circor": 100, "icbhi": 100, "sprsound": 100}
    assert loud.chance < 0.45


def test_two_devices_are_an_origin_too():
    found = origin_probe(origins(5.0), "device", resamples=TIMES)
    assert set(found.origins) == {"x", "y"}
    assert found.accuracy.low < 0.5 < found.accuracy.high


def test_one_origin_cannot_be_told_from_nothing():
    with pytest.raises(ProbeError, match="to tell database apart takes two origins"):
        origin_probe(origins(1.0), "database")
