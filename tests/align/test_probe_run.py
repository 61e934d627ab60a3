"""Probing tasks: who is trained on, what is scored, and how two encoders are compared."""

from dataclasses import replace

import numpy as np
import pytest
from rows import row

from align.probe.compare import paired_difference
from align.probe.embed import Embedded
from align.probe.problem import ProbeError, members, problems
from align.probe.run import probe_tasks
from align.probe.score import stack_seeds
from align.tasks import Task, load_tasks

BINARY = {"false": 0, "true": 1}
WHEEZE = Task("wheeze", "lung", "wheeze", "ours", classes=BINARY)
CRACKLE = Task("crackle", "lung", "crackle", "ours", classes=BINARY)
ABNORMAL = replace(load_tasks()["physionet2016-abnormal"], where={})
RATE = replace(load_tasks()["nosemic-breathing-rate"], corpus="nose", label="rate")
TIMES = 200


def lung(patients=120, each=3, strength=1.5, seed=0, size=8):
    """Patients of whom a third validate or test; wheeze is in feature 0, crackle nowhere."""
    random = np.random.default_rng(seed)
    rows, vectors = [], []
    for patient in range(patients):
        split = ("train", "train", "val", "test")[patient % 4]
        taste = random.standard_normal(size)
        for number in range(each):
            labels = {"wheeze": patient // 4 % 2 == 0, "crackle": (patient // 4 + number) % 3 == 0}
            rows.append(
                row(
                    f"{patient}_{number}",
                    corpus="lung",
                    patient=str(patient),
                    split=split,
                    labels=labels,
                )
            )
            vector = taste + 0.3 * random.standard_normal(size)
            vector[0] += strength * labels["wheeze"]
            vectors.append(vector)
    return Embedded(np.asarray(vectors, dtype=np.float32), tuple(rows))


def databases(sign=(1, 1, 1, -1), each=60):
    """Four databases of one sound each; in the last the sign of the finding is another."""
    random = np.random.default_rng(0)
    rows, vectors = [], []
    for letter, direction in zip("abcd", sign, strict=True):
        for number in range(each):
            rows.append(
                row(
                    f"{letter}{number}",
                    corpus="physionet2016",
                    split="test",
                    labels={"abnormal": number % 2 == 0},
                    metadata={"database": letter},
                )
            )
            vector = random.standard_normal(6)
            vector[0] += 4 * direction * (number % 2 == 0)
            vectors.append(vector)
    return Embedded(np.asarray(vectors, dtype=np.float32), tuple(rows))


@pytest.mark.parametrize("probe", ["ridge", "logistic"])
def test_the_corpus_own_test_fold_is_scored(probe):
    embedded = lung()
    (result,) = probe_tasks(embedded, [WHEEZE], probe=probe, resamples=TIMES)
    assert {one.split for one in result.scores.rows} == {"test"}
    assert len(result.scores.rows) == 90
    assert result.estimate.low < result.estimate.value < result.estimate.high
    assert result.estimate.value > 0.75


def test_test_truth_and_order_of_rows_do_not_matter():
    embedded = lung()
    order = np.random.default_rng(0).permutation(len(embedded.rows))
    shuffled = Embedded(embedded.vectors[order], tuple(embedded.rows[i] for i in order))
    first, second = (probe_tasks(one, [WHEEZE], resamples=TIMES)[0] for one in (embedded, shuffled))
    assert first.estimate.value == pytest.approx(second.estimate.value, abs=1e-9)
    assert first.estimate.low == pytest.approx(second.estimate.low, abs=1e-9)


def test_the_interval_knows_patients():
    many, one = (
        probe_tasks(lung(patients=120, each=each), [WHEEZE], resamples=TIMES)[0].estimate
        for each in (12, 1)
    )
    assert many.high - many.low > 0.6 * (one.high - one.low)


def test_leave_one_database_out_trains_on_the_others():
    (result,) = probe_tasks(databases(), [ABNORMAL], resamples=TIMES)
    assert set(result.groups) == set("abcd")
    assert min(result.groups[letter] for letter in "abc") > 0.8
    assert result.groups["d"] < 0.2
    assert result.estimate.value == pytest.approx(np.mean(list(result.groups.values())))


def test_inner_validation_shares_no_patient_with_training_and_has_both_classes():
    embedded = databases()
    patients = [one.name[:2] for one in embedded.rows]
    rows = [replace(one, patient=p) for one, p in zip(embedded.rows, patients, strict=True)]
    _, truth = members(ABNORMAL, rows)
    found = problems(ABNORMAL, rows, embedded.vectors, truth)
    assert [name for name, _ in found] == list("abcd")
    for name, problem in found:
        train, val, test = (
            {patients[i] for i in fold} for fold in (problem.train, problem.val, problem.test)
        )
        assert not train & val
        assert {p[0] for p in test} == {name} and name not in {p[0] for p in train | val}
        assert set(truth[problem.val]) == {0.0, 1.0}
        assert sorted([*problem.train, *problem.val, *problem.test]) == list(range(len(rows)))


def nose(people=12, each=4):
    random = np.random.default_rng(0)
    rows, vectors = [], []
    for person in range(people):
        for number in range(each):
            rate = random.uniform(10, 30)
            rows.append(
                row(
                    f"{person}_{number}",
                    corpus="nose",
                    patient=str(person),
                    split="test",
                    labels={"rate": rate},
                )
            )
            vectors.append([rate + random.normal(), random.normal(), random.normal()])
    return Embedded(np.asarray(vectors, dtype=np.float32), tuple(rows))


def test_leave_one_subject_out_predicts_every_recording_once():
    (result,) = probe_tasks(nose(), [RATE], resamples=TIMES)
    assert len({one.name for one in result.scores.rows}) == 48
    assert result.groups.keys() == {""}
    assert result.estimate.value < 1.5
    assert result.estimate.low < result.estimate.value < result.estimate.high


def test_operas_protocol_reports_every_seed():
    task = replace(WHEEZE, probe=replace(WHEEZE.probe, epochs=2, seeds=(0, 1, 2)))
    (result,) = probe_tasks(lung(), [task], probe="opera", resamples=TIMES)
    assert len(result.seeds) == 3
    assert result.estimate.value == pytest.approx(np.mean(result.seeds))
    assert result.sd == pytest.approx(np.std(result.seeds)) and result.sd > 0


def test_training_seeds_are_averaged_metric_by_metric():
    runs = [lung(seed=seed) for seed in (1, 2)]
    (both,) = probe_tasks(runs, [WHEEZE], resamples=TIMES)
    alone = [probe_tasks(run, [WHEEZE], resamples=TIMES)[0].estimate.value for run in runs]
    assert both.seeds == pytest.approx(alone)
    assert both.estimate.value == pytest.approx(np.mean(alone))


def scores(seeds, strength, tasks=(WHEEZE, CRACKLE)):
    runs = [
        [one.scores for one in probe_tasks(lung(seed=s, strength=strength), tasks, resamples=2)]
        for s in seeds
    ]
    return [stack_seeds(per_task) for per_task in zip(*runs, strict=True)]


def test_an_encoder_differs_from_itself_by_nothing():
    own = scores((1,), 1.5)
    found = paired_difference(own, own, resamples=TIMES)
    for estimate in (*found.tasks.values(), found.mean):
        assert (estimate.value, estimate.low, estimate.high) == (0, 0, 0)


def test_a_planted_difference_is_found_where_it_was_planted():
    found = paired_difference(scores((1,), 3.0), scores((1,), 0.0), resamples=TIMES)
    assert found.tasks["wheeze"].low > 0.2
    assert found.tasks["crackle"].low < 0.05
    both = [estimate.value for estimate in found.tasks.values()]
    assert found.mean.value == pytest.approx(np.mean(both))


def test_pairing_is_narrower_than_two_separate_intervals():
    a, b = scores((1,), 1.5, (WHEEZE,)), scores((1,), 1.3, (WHEEZE,))
    paired = paired_difference(a, b, resamples=TIMES).tasks["wheeze"]
    (alone,) = probe_tasks(lung(seed=1), [WHEEZE], resamples=TIMES)
    assert paired.high - paired.low < 0.5 * (alone.estimate.high - alone.estimate.low)


def test_drawing_seeds_too_widens_the_interval_and_keeps_the_value():
    a, b = scores(range(4), 1.0, (WHEEZE,)), scores(range(4, 8), 1.0, (WHEEZE,))
    fixed = paired_difference(a, b, resamples=TIMES).mean
    drawn = paired_difference(a, b, resamples=TIMES, resample_seeds=True).mean
    assert drawn.value == fixed.value
    assert drawn.high - drawn.low > 1.2 * (fixed.high - fixed.low)


def test_errors_are_not_averaged_with_areas():
    own = [probe_tasks(nose(), [RATE], resamples=2)[0].scores]
    assert paired_difference(own, own, resamples=TIMES).mean is None


def test_different_recordings_are_not_compared():
    a = scores((1,), 1.0, (WHEEZE,))
    fewer = replace(
        a[0],
        rows=a[0].rows[1:],
        truth=a[0].truth[1:],
        scores=a[0].scores[:, 1:],
        groups=a[0].groups[1:],
    )
    missing = a[0].rows[0].name
    with pytest.raises(ProbeError, match=f"different recordings, for example {missing} only once"):
        paired_difference(a, [fewer])
    with pytest.raises(ProbeError, match="1 tasks cannot be compared with 0"):
        paired_difference(a, [])
    with pytest.raises(ProbeError, match="task wheeze cannot be compared with task crackle"):
        paired_difference(a, scores((1,), 1.0, (CRACKLE,)))


def test_a_task_without_recordings_or_folds_is_one_sentence():
    embedded = lung()
    other = replace(WHEEZE, name="gone", label="stridor")
    with pytest.raises(
        ProbeError, match="none of the 360 recordings is of corpus 'lung' with a us"
    ):
        probe_tasks(embedded, [other])
    tested = replace(embedded, rows=tuple(replace(one, split="test") for one in embedded.rows))
    with pytest.raises(ProbeError, match="wheeze: the train fold has no recordings"):
        probe_tasks(tested, [WHEEZE])
    bare = databases()
    bare = replace(bare, rows=tuple(replace(one, metadata={}) for one in bare.rows))
    with pytest.raises(ProbeError, match="a0 has no 'database' in its metadata"):
        probe_tasks(bare, [ABNORMAL])
    with pytest.raises(ProbeError, match="nothing was embedded"):
        probe_tasks([], [WHEEZE])
