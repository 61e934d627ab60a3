"""Retrieval and zero-shot: planted pairs, nulls, ties and equal reports."""

from dataclasses import replace

import numpy as np
import pytest
from rows import row

from align.probe.problem import ProbeError
from align.probe.retrieval import map_to_text, report_retrieval, zero_shot, zero_shot_task
from align.tasks import load_tasks

TIMES = 100


def vectors(count, size=32, seed=0):
    return np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)


def people(count, corpus="circor", each=1):
    return [row(f"r{i}", corpus=corpus, patient=f"p{i // each}") for i in range(count)]


def by_top(found):
    return {one.top: one for one in found}


def test_a_recording_beside_its_report_is_found_whatever_the_lengths():
    text = vectors(50)
    audio = text * np.random.default_rng(1).uniform(0.1, 10, (50, 1)).astype(np.float32)
    reports = [f"report {i}" for i in range(50)]
    found = by_top(report_retrieval(people(50), reports, audio, text, resamples=TIMES))
    assert [found[top].recall.value for top in (1, 5, 10)] == [1, 1, 1]
    assert [found[top].chance for top in (1, 5, 10)] == [0.02, 0.1, 0.2]
    assert found[1].constant == 0.02


def test_unrelated_vectors_are_at_chance():
    reports = [f"report {i}" for i in range(400)]
    rows = people(400)
    found = by_top(report_retrieval(rows, reports, vectors(400), vectors(400, seed=1)))
    for top in (1, 5, 10):
        assert abs(found[top].recall.value - found[top].chance) < 0.015
    assert found[10].recall.low < found[10].chance < found[10].recall.high


def test_an_equal_report_of_another_recording_is_a_hit():
    """Two reports among 20 recordings: naming the text is right, whoever it was written for."""
    reports = ["normal"] * 15 + ["murmur"] * 5
    text = np.repeat(vectors(2), [15, 5], axis=0)
    found = report_retrieval(people(20), reports, text, text, tops=(1, 5), resamples=TIMES)
    assert [one.reports for one in found] == [2, 2]
    assert [one.recall.value for one in found] == [1, 1]
    assert [one.chance for one in found] == [0.5, 1]
    assert [one.constant for one in found] == [0.75, 1]


def test_other_corpora_are_no_candidates():
    text = vectors(20)
    rows = people(10) + people(10, corpus="sprsound")
    reports = [f"report {i}" for i in range(20)]
    mixed = np.concatenate([text[10:], text[:10]])
    found = report_retrieval(rows, reports, mixed, text, tops=(1,), resamples=TIMES)
    assert [(one.corpus, one.reports) for one in found] == [("circor", 10), ("sprsound", 10)]
    swapped = report_retrieval(rows, reports, text + mixed, text, tops=(1,), resamples=TIMES)
    assert [one.recall.value for one in swapped] == [1, 1]


def test_collapsed_texts_gain_nothing_from_ties():
    text = np.ones((40, 8), np.float32)
    reports = [f"report {i}" for i in range(40)]
    found = by_top(report_retrieval(people(40), reports, vectors(40, 8), text, resamples=TIMES))
    for top in (1, 5, 10):
        assert found[top].recall.value == pytest.approx(found[top].chance)


def test_collapsed_sounds_reach_no_more_than_a_constant_answer():
    reports = ["normal"] * 30 + [f"report {i}" for i in range(10)]
    texts = dict(zip(dict.fromkeys(reports), vectors(11), strict=True))
    text = np.stack([texts[one] for one in reports])
    audio = np.tile(texts["normal"], (40, 1))
    (found,) = report_retrieval(people(40), reports, audio, text, tops=(1,), resamples=TIMES)
    assert found.recall.value == found.constant == 0.75


def test_the_interval_resamples_patients():
    text, other = vectors(100), vectors(100, seed=1)
    audio = np.where((np.arange(100) // 10 % 2 == 0)[:, None], text, other)
    reports = [f"report {i}" for i in range(100)]
    wide, narrow = (
        report_retrieval(people(100, each=each), reports, audio, text, tops=(1,))[0].recall
        for each in (10, 1)
    )
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ProbeError, match="one report, audio vector and text vector"):
        report_retrieval(people(3), ["a"] * 3, vectors(3), vectors(2))
    broken = vectors(3)
    broken[1, 1] = np.nan
    with pytest.raises(ProbeError, match="not finite"):
        report_retrieval(people(3), ["a"] * 3, broken, vectors(3))


def test_zero_shot_prefers_the_nearer_prompt():
    no, yes = vectors(2)
    prompts = [np.stack([no, no * 2]), yes[None]]
    scores = zero_shot(np.stack([no, yes]) * 5, prompts)
    assert scores.shape == (2, 1)
    assert scores[0, 0] < -0.5 and scores[1, 0] > 0.5
    three = zero_shot(np.stack([no, yes]), [no[None], yes[None], vectors(1, seed=5)])
    assert three.shape == (2, 3)
    assert three.argmax(axis=1).tolist() == [0, 1]


def test_zero_shot_needs_a_prompt_for_each_class():
    with pytest.raises(ProbeError, match="at least two classes and a prompt"):
        zero_shot(vectors(3), [vectors(1), vectors(0)])


def test_zero_shot_of_a_task_scores_its_test_fold_as_a_probe_would():
    task = load_tasks()["circor-murmur"]
    rows = [
        row(f"r{i}", split="test" if i < 40 else "train", labels={"murmur": i % 2 == 0})
        for i in range(60)
    ]
    no, yes = vectors(2)
    audio = np.stack([yes if one.labels["murmur"] else no for one in rows])
    audio += 0.1 * vectors(60, seed=2)
    result = zero_shot_task(task, rows, audio, [no[None], yes[None]], resamples=TIMES)
    assert len(result.scores.rows) == 40
    assert result.estimate.value == 1
    turned = zero_shot_task(task, rows, audio, [yes[None], no[None]], resamples=TIMES)
    assert turned.estimate.value == 0
    with pytest.raises(ProbeError, match="needs prompts for 2 classes"):
        zero_shot_task(task, rows, audio, [yes[None]])
    trained = [replace(one, split="train") for one in rows]
    with pytest.raises(ProbeError, match="the test fold lacks a class"):
        zero_shot_task(task, trained, audio, [no[None], yes[None]])


def test_zero_shot_keeps_databases_apart():
    task = load_tasks()["physionet2016-abnormal"]
    rows = [
        row(
            f"{letter}{i}",
            corpus="physionet2016",
            split="test",
            labels={"abnormal": i % 2 == 0},
            metadata={"database": letter, "quality": "good"},
        )
        for letter in "ab"
        for i in range(20)
    ]
    no, yes = vectors(2)
    turned = [(one.labels["abnormal"] is True) == (one.name[0] == "a") for one in rows]
    audio = np.where(np.asarray(turned)[:, None], yes, no)
    result = zero_shot_task(task, rows, audio, [no[None], yes[None]], resamples=TIMES)
    assert result.groups == {"a": 1, "b": 0}
    assert result.estimate.value == 0.5


def test_a_rotated_space_is_mapped_back_from_training_pairs_alone():
    """What CKA calls aligned can be rotated: cosine fails on it until a linear map is fitted."""
    text = vectors(300, 16)
    rotation, _ = np.linalg.qr(vectors(16, 16, seed=3).astype(np.float64))
    audio = (text @ rotation).astype(np.float32) * 3 + 1 + 0.1 * vectors(300, 16, seed=4)
    reports = [f"report {i}" for i in range(300)]
    train, val, test = np.split(np.arange(300), [150, 200])
    rows = [people(300)[i] for i in test]
    own = [reports[i] for i in test]
    (before,) = report_retrieval(rows, own, audio[test], text[test], tops=(1,), resamples=TIMES)
    hidden = text.copy()
    hidden[test] = 0
    mapped = map_to_text(audio, hidden, train, val)
    (after,) = report_retrieval(rows, own, mapped[test], text[test], tops=(1,), resamples=TIMES)
    assert before.recall.value < 0.2 and after.recall.value > 0.95
    with pytest.raises(ProbeError, match="training and validation recordings"):
        map_to_text(audio, text, train, val[:0])
