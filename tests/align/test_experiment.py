"""The controls: rows at one budget, run by several processes, scored and tabled."""

import json
import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from filelock import FileLock
from tiny_alignment import TABLE
from tiny_corpora import write_corpora

from align.experiment import run as experiment
from align.experiment.report import publish
from align.experiment.rows import rows
from align.experiment.run import collect, run_rows
from align.experiment.table import lines, markdown
from align.settings import RecipeError
from align.training.recipe import recipe_from_table
from align.training.run import open_runner

ROWS = ("untrained", "ssl", "cka")


@pytest.fixture(scope="module")
def recipe():
    return recipe_from_table(TABLE | {"written": {"circor": "reports.csv"}})


@pytest.fixture(scope="module")
def runner(recipe, tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora")
    write_corpora(root, patients=20)
    return open_runner(recipe, root, root / "teacher", quiet=True)


@pytest.fixture(scope="module")
def folder(recipe, runner, tmp_path_factory):
    place = tmp_path_factory.mktemp("runs")
    run_rows(recipe, runner, place, only=ROWS)
    return place


def test_every_control_of_the_method_has_its_row(recipe):
    names = {row.name for row in rows(recipe)}
    assert names >= {
        *("untrained", "ssl", "cka", "cka-biased", "released", "infonce", "siglip", "cosine"),
        *("no-labels", "metadata", "written", "random-text"),
        *("shuffled-within", "shuffled-global", "set-name"),
        *("unseen-circor", "unseen-sprsound", "supervised", "supcon"),
    }


def test_all_rows_have_one_budget(recipe):
    for row in rows(recipe):
        assert row.recipe.align == recipe.align
        assert row.recipe.seeds == recipe.seeds
        assert [c.batch for c in row.recipe.corpora] == [c.batch for c in recipe.corpora]


def test_rows_differ_in_what_they_are_about(recipe):
    table = {row.name: row.recipe for row in rows(recipe)}
    assert len({str(settings) for settings in table.values()}) == len(table)
    assert table["shuffled-within"].text.shuffle == "within"
    assert table["no-labels"].text.labels == "exclude"
    assert not table["set-name"].objective.per_corpus
    assert [c.name for c in table["unseen-circor"].corpora if not c.text] == ["circor"]
    assert table["written"].text.files == {"circor": "reports.csv"}


def test_a_finished_pair_is_not_run_again(recipe, runner, folder, monkeypatch):
    monkeypatch.setattr(experiment, "embed_run", None)  # calling it would fail
    run_rows(recipe, runner, folder, only=ROWS)


def test_a_pair_that_another_process_has_is_left_to_it(recipe, runner, folder, tmp_path):
    row = next(row for row in rows(recipe) if row.name == "untrained")
    home = tmp_path / "untrained" / "seed-0"
    home.mkdir(parents=True)
    with FileLock(home / ".lock"):
        assert not experiment._try_row(row, 0, runner, tmp_path)
    assert experiment._try_row(row, 0, runner, tmp_path)
    assert (home / "scores.json").is_file()


def test_physionet_is_scored_only_where_the_run_never_heard_it(recipe, runner, folder):
    scores = collect(recipe, runner, folder)["cka"]
    for seed, database in ((0, "a"), (1, "b")):
        physionet = next(one for one in scores[seed] if one.task.corpus == "physionet2016")
        assert {row.metadata["database"] for row in physionet.rows} == {database}
        record = json.loads((folder / "cka" / f"seed-{seed}" / "run.json").read_text())
        assert record["holdout"] == database


def test_seeds_start_from_their_own_pretraining_which_rows_share(folder):
    logs = sorted(path.parent.name for path in (folder / "pretrained").glob("*/log.jsonl"))
    assert logs == ["seed-0", "seed-1"]
    for row in ("ssl", "cka"):
        stages = (folder / row / "seed-0" / "log.jsonl").read_text()
        assert "pretrain" not in stages


def test_the_table_has_every_row_with_intervals_around_its_values(recipe, runner, folder):
    table = lines(recipe, collect(recipe, runner, folder), resamples=100)
    assert [line.name for line in table] == list(ROWS)
    for line in table:
        for estimate in (*line.tasks.values(), line.mean):
            assert estimate.low <= estimate.value <= estimate.high
        assert line.mean.value == pytest.approx(np.mean([e.value for e in line.tasks.values()]))
    cka, ssl = table[2], table[1]
    assert ssl.gain is None
    assert cka.gain.value == pytest.approx(cka.mean.value - ssl.mean.value)


def test_a_row_that_lacks_a_seed_says_so_and_is_compared_with_the_same_seeds(
    recipe, runner, folder
):
    scores = collect(recipe, runner, folder)
    one = {**scores, "cka": {1: scores["cka"][1]}}
    line = lines(recipe, one, resamples=50)[2]
    alone = lines(recipe, {name: {1: runs[1]} for name, runs in scores.items()}, resamples=50)
    assert line.title.endswith("(1 of 2 seeds)")
    assert line.gain.value == pytest.approx(alone[2].mean.value - alone[1].mean.value)


def test_publishing_writes_table_record_and_picture(recipe, runner, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("align.experiment.table.RESAMPLES", 50)
    text = publish(recipe, runner, folder, tmp_path)
    assert (tmp_path / "tiny.md").read_text() == text
    assert text.count("\n") == 2 + len(ROWS)
    record = json.loads((tmp_path / "tiny.json").read_text())
    assert set(record["metadata_only"]) == set(recipe.tasks)
    assert 0 <= record["origin"]["cka"]["corpus"] <= 1
    recall = record["text_space"]["cka"]["circor recall@1"]
    assert math.isfinite(recall)
    ET.parse(tmp_path / "tiny.svg")


def test_a_bold_gain_lies_above_zero_altogether(recipe, runner, folder):
    table = lines(recipe, collect(recipe, runner, folder), resamples=100)
    text = markdown(table)
    for line in table:
        if line.gain is not None:
            assert (f"**{line.gain.value:+.3f}" in text) == (line.gain.low > 0)


def test_nothing_to_publish_is_one_clear_error(recipe, runner, tmp_path):
    with pytest.raises(RecipeError, match="no row has been run"):
        publish(recipe, runner, tmp_path, tmp_path)
