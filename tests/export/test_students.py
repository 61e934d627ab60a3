"""The comparison of students: figures, differences, and what it refuses."""

import json

import numpy as np
import pytest
from tiny_corpora import write_corpora
from tiny_recipe import tiny_recipe, write_teacher

from align.settings import RecipeError
from export import students
from export.distill import distill
from export.recipe import sized
from export.student import Student
from export.students import (
    TASKS,
    StudentRow,
    TaskScores,
    compare,
    macs_per_second,
    original_scores,
    score_run,
    students_table,
)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(students, "RESAMPLES", 60)


def scores(separation, seed=0, count=60):
    random = np.random.default_rng(seed)
    truth = (np.arange(count) % 3 == 0).astype(float)
    names = tuple(f"r{i}" for i in range(count))
    patients = tuple(f"p{i // 2}" for i in range(count))
    return TaskScores(names, patients, truth, truth * separation + random.standard_normal(count))


def row(name, separation, **changes):
    values = {
        "recipe": "0",
        "size": "M",
        "parameters": 10,
        "macs": 2e6,
        "taught": False,
        "held_out": "a",
    }
    tasks = {task: scores(separation, seed) for seed, task in enumerate(TASKS)}
    return StudentRow(name=name, scores=tasks, **(values | changes))


def test_a_better_student_is_better_than_its_own_control_alone():
    weak, strong = row("control", 0.5), row("taught", 3.0, taught=True)
    stranger = row("other", 3.0, taught=True, held_out="b")
    record = compare([weak, strong, stranger], {"a": weak.scores})
    difference = record["students"]["taught"]["against_control"]
    assert difference["low"] > 0
    means = [record["students"][name]["mean"]["value"] for name in ("taught", "control")]
    assert difference["value"] == pytest.approx(means[0] - means[1], abs=2e-4)
    assert record["students"]["taught"]["against_original"] == difference
    assert record["students"]["control"]["against_control"] is None
    assert record["students"]["other"]["against_control"] is None
    assert record["students"]["other"]["against_original"] is None
    json.dumps(record)


def test_the_table_has_a_line_for_each_and_its_figures():
    weak, strong = row("control", 0.5), row("taught", 3.0, taught=True)
    record = compare([weak, strong], {"a": weak.scores})
    table = students_table(record)
    assert table.count("\n") == 2 + 1 + 2
    assert f"{record['students']['taught']['mean']['value']:.3f}" in table
    assert "aligned encoder's probe (a held out)" in table


def test_macs_count_every_convolution():
    config = tiny_recipe().student
    student = Student(config)
    by_hand = 0.0
    # Frames 62.5 a second; the long transform, the short one four times as often, their filters.
    for part, per_second in ((student.front_end.long, 62.5), (student.front_end.short, 250.0)):
        rows, filters = part.get_buffer("rows"), part.get_buffer("filters")
        by_hand += per_second * (rows.shape[0] * rows.shape[2] + filters.numel())
    channels = student.front_end.channels
    by_hand += 62.5 * channels * 16 * 3 + 31.25 * (16 * 16 * 4 + 16 * 16 * 3 + 16 * 3 + 16 * 4)
    assert macs_per_second(student) == pytest.approx(by_hand)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_corpora(root)
    return root


def test_a_run_is_scored_on_test_patients_and_its_own_database(corpora, tmp_path):
    settings = tiny_recipe(epochs=2, steps=2)
    teacher = write_teacher(tmp_path / "encoder")
    small = sized(settings, "S")
    distill(small, corpora, tmp_path / "run", teacher=teacher, held_out="b", quiet=True)
    found = score_run(settings, tmp_path / "run", corpora)
    assert (found.size, found.taught, found.held_out) == ("S", True, "b")
    assert all(name.startswith("b") for name in found.scores[students.TRANSFER].names)
    assert len(found.scores["circor-murmur"].names) == 10


def test_refusals(corpora, tmp_path):
    settings = tiny_recipe(epochs=2, steps=2)
    with pytest.raises(RecipeError, match="holds no run"):
        score_run(settings, tmp_path, corpora)
    distill(sized(settings, "S"), corpora, tmp_path / "run", quiet=True)
    with pytest.raises(RecipeError, match="every PhysioNet database"):
        score_run(settings, tmp_path / "run", corpora)
    with pytest.raises(RecipeError, match="no run of recipe"):
        score_run(tiny_recipe(epochs=3), tmp_path / "run", corpora)


def test_the_original_is_scored_on_the_same_recordings(tmp_path):
    mine = {"circor-murmur": scores(1.0)}
    with pytest.raises(RecipeError, match="no scores"):
        original_scores(tmp_path, mine)
    names = list(reversed(mine["circor-murmur"].names))
    stored = {"circor-murmur": {"recordings": names, "scores": list(range(len(names)))}}
    (tmp_path / "scores.json").write_text(json.dumps(stored))
    found = original_scores(tmp_path, mine)["circor-murmur"]
    assert found.score.tolist() == list(reversed(range(len(names))))
    stored["circor-murmur"]["recordings"][3] = "stranger"
    (tmp_path / "scores.json").write_text(json.dumps(stored))
    with pytest.raises(RecipeError, match="no score of"):
        original_scores(tmp_path, mine)
