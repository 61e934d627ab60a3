"""`measure_accuracy` and its command, on corpora made in seconds."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from tiny_corpora import write_corpora
from typer.testing import CliRunner

from acula_edge.bundle import load_bundle
from acula_edge.bundle.strict import decode, plain
from acula_edge.errors import BundleError, UsageError
from align import statistics
from benchmarks.accuracy import cli, measure
from benchmarks.accuracy.looks import earlier_looks, look_sentence
from benchmarks.accuracy.measure import measure_accuracy, unfinished
from benchmarks.record import Accuracy
from export import students
from export.figures import Scored

SHIPPED = load_bundle("heart-lung")
REAL = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 60)
    monkeypatch.setattr(students, "RESAMPLES", 60)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_corpora(root)
    return root


def bundle():
    """The shipped bundle as if it had heard no PhysioNet database but c and d."""
    heard = [replace(SHIPPED.manifest.training_data[0], corpus=f"physionet2016-{d}") for d in "cd"]
    return replace(SHIPPED, manifest=replace(SHIPPED.manifest, training_data=tuple(heard)))


def told(row, name, noise):
    """A probability that knows the truth, more or less."""
    logit = np.random.default_rng(len(row.name) + sum(row.name.encode())).normal()
    return float(1 / (1 + np.exp(-(logit * noise + 2.0 * row.labels[name] - 1))))


@pytest.fixture
def scored(monkeypatch):
    """Scoring without a network: which variants were scored, in order."""
    seen = []

    def score(_, variant, recordings, quiet):
        seen.append(variant)
        noise = {"fp32": 1.0, "cpu-int8": 1.1, "trt-int8": 1.2}[variant]
        return [
            Scored(row, {name: told(row, name, noise) for name in row.labels}, False, {})
            for row in recordings
        ]

    monkeypatch.setattr(measure, "score", score)
    return seen


def test_every_variant_corpus_and_difference_is_there(corpora, scored):
    sentences = []
    found = measure_accuracy(
        bundle(), ("cpu-int8", "fp32"), corpora, looks=3, quiet=True, progress=sentences.append
    )
    assert scored == ["fp32", "cpu-int8"]  # the reference first, so that an interrupt has it
    assert [item.variant for item in found.variants] == ["cpu-int8", "fp32"]
    assert (found.split, found.looks, found.limited_to, found.original) == ("test", 3, None, None)
    whole = [(g.finding, g.corpus) for g in found.variants[0].groups if g.kind == "all"]
    assert whole == [
        ("murmur", "circor"), ("crackle", "sprsound"), ("wheeze", "sprsound"),
        ("murmur", "physionet2016-a"), ("murmur", "physionet2016-b"),
    ]  # fmt: skip
    recordings = {g.corpus: g.recordings for g in found.variants[0].groups if g.kind == "all"}
    assert found.recordings == found.patients == sum(recordings.values())
    devices = {g.name for g in found.variants[0].groups if g.kind == "device"}
    assert devices == {
        "littmann-3200",
        "yunting-model-ii",
        "welch-allyn-meditron",
        "littmann-e4000",
    }
    assert found.variants[1].differences == ()
    rows = found.variants[0].differences
    assert [row.finding for row in rows] == [
        "murmur", "crackle", "wheeze", "physionet2016-a", "physionet2016-b",
    ]  # fmt: skip
    assert {row.other for row in rows} == {"fp32"}
    assert all(row.largest_logit > 0 for row in rows)
    graph = SHIPPED.manifest.variants["cpu-int8"].stream.sha256
    assert found.variants[0].graph_sha256 == graph
    assert sentences[0] == look_sentence("test", 3)
    assert "scored 3 times before" in sentences[0]
    assert decode(Accuracy, json.loads(json.dumps(plain(found)))) == found


def test_the_same_artefact_has_the_same_figures_each_time(corpora, scored):
    runs = [measure_accuracy(bundle(), ("fp32",), corpora, looks=0, quiet=True) for _ in range(2)]
    assert runs[0] == runs[1]


def test_a_sample_says_so(corpora, scored):
    found = measure_accuracy(bundle(), (), corpora, limit=4, looks=0, quiet=True)
    assert (found.limited_to, found.recordings) == (4, 16)
    assert len(found.variants) == len(SHIPPED.manifest.variants)
    whole = measure_accuracy(bundle(), ("fp32",), corpora, limit=1000, looks=0, quiet=True)
    assert whole.limited_to is None
    with pytest.raises(UsageError, match="at least one"):
        measure_accuracy(bundle(), (), corpora, limit=0, looks=0)


def test_an_interrupt_keeps_the_variants_that_were_scored(corpora, scored, monkeypatch):
    whole, names = measure.score, ("cpu-int8", "fp32", "trt-int8")

    def interrupted(of, variant, *rest):
        if variant == "trt-int8":
            raise KeyboardInterrupt
        return whole(of, variant, *rest)

    monkeypatch.setattr(measure, "score", interrupted)
    found = measure_accuracy(bundle(), names, corpora, looks=0, quiet=True)
    assert [item.variant for item in found.variants] == ["cpu-int8", "fp32"]
    assert unfinished(found, names) == ("trt-int8",)
    assert found.variants[0].differences
    assert unfinished(found, names[:2]) == ()


def write_original(folder, corpora, database="a", skip=0):
    """What `align run` leaves: scores of the test recordings, and of one database."""
    tasks = {}
    parts = measure.choose_parts(bundle().manifest, corpora, "test")
    names = {"murmur": "circor-murmur", "crackle": "sprsound-crackle", "wheeze": "sprsound-wheeze"}
    for part in parts:
        if part.first or part.corpus.endswith(database):
            for name in part.findings:
                task = names[name] if part.first else students.TRANSFER
                rows = part.rows[skip:]
                scores = [float(row.labels[name]) for row in rows]
                tasks[task] = {"recordings": [r.name for r in rows], "scores": scores}
    folder.mkdir(exist_ok=True)
    (folder / "scores.json").write_text(json.dumps(tasks))
    return folder


def test_beside_the_original(corpora, scored, tmp_path):
    folder = write_original(tmp_path / "run", corpora)
    found = measure_accuracy(bundle(), ("cpu-int8",), corpora, original=folder, looks=0, quiet=True)
    tasks = found.original.tasks
    assert list(tasks) == ["murmur", "crackle", "wheeze", "physionet2016-a"]  # b: heard by it
    assert all(figure.value == 1.0 for figure in tasks.values())
    assert (found.original.name, found.original.parameters) == ("aligned encoder", None)
    rows = {row.finding: row for row in found.variants[0].differences}
    assert list(rows) == list(tasks)
    assert all(row.other == "original" and row.flips is None for row in rows.values())
    groups = {(g.finding, g.corpus): g for g in found.variants[0].groups if g.kind == "all"}
    own = groups["murmur", "circor"].auroc.value
    assert rows["murmur"].auroc.value == pytest.approx(own - 1, abs=2e-4)


def test_an_original_that_does_not_fit_is_one_sentence(corpora, scored, tmp_path):
    with pytest.raises(UsageError, match="holds no scores"):
        measure_accuracy(bundle(), (), corpora, original=tmp_path, looks=0)
    folder = write_original(tmp_path / "run", corpora, skip=1)
    with pytest.raises(UsageError, match="has no score of"):
        measure_accuracy(bundle(), (), corpora, original=folder, looks=0)
    with pytest.raises(UsageError, match="test patients alone"):
        measure_accuracy(bundle(), (), corpora, original=folder, looks=0, split="val")
    assert scored == []  # refused before anything was scored


def test_bad_input_is_one_sentence(corpora, scored, tmp_path):
    with pytest.raises(UsageError, match="data fetch"):
        measure_accuracy(bundle(), (), tmp_path, looks=0)
    with pytest.raises(BundleError, match="no variant 'fp8'"):
        measure_accuracy(bundle(), ("fp32", "fp8"), corpora, looks=0)
    (tmp_path / "circor-digiscope").mkdir()
    (tmp_path / "circor-digiscope" / "stray.txt").write_text("x")
    with pytest.raises(UsageError, match="training_data"):
        measure_accuracy(bundle(), (), tmp_path, looks=0)
    assert scored == []


def test_looks_come_from_the_recipe_or_the_user():
    assert earlier_looks(SHIPPED, "test") >= 9
    assert earlier_looks(SHIPPED, "test", 2) == 2
    assert earlier_looks(SHIPPED, "val") == 0
    sized = replace(SHIPPED, manifest=replace(SHIPPED.manifest, name="heart-lung-xs"))
    assert earlier_looks(sized, "test") == earlier_looks(SHIPPED, "test")
    stranger = replace(SHIPPED, manifest=replace(SHIPPED.manifest, name="stranger"))
    with pytest.raises(UsageError, match="--looks"):
        earlier_looks(stranger, "test")
    assert "no test patient" in look_sentence("val", 0)
    assert "scored 1 time before" in look_sentence("test", 1)


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(cli.accuracy)
    return lambda *words: CliRunner().invoke(app, list(words))


def test_the_command_prints_the_look_and_the_figures(corpora, scored, run):
    result = run("--data", str(corpora), "--looks", "2", "--variant", "cpu-int8")
    assert result.exit_code == 0, result.output
    assert (
        "This is a look at the test patients, who had been scored 2 times before" in result.stderr
    )
    assert "\ncpu-int8\n  murmur (circor): 10 recordings of 10 patients" in result.stdout
    assert scored == ["cpu-int8"]


def test_the_command_as_json_holds_every_figure(corpora, scored, run):
    result = run("--data", str(corpora), "--split", "val", "--limit", "4", "--json")
    record = decode(Accuracy, json.loads(result.stdout))
    assert (record.split, record.limited_to, record.looks) == ("val", 4, 0)
    assert "no test patient is looked at" in result.stderr


def test_the_command_interrupted_prints_what_it_has(corpora, run, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "score", interrupted)
    result = run("--data", str(corpora), "--split", "val", "--variant", "fp32")
    assert result.exit_code == 130
    assert "not scored: fp32" in result.stderr


def test_real_sessions_score_through_the_live_path(corpora):
    found = measure_accuracy(
        SHIPPED, ("cpu-int8", "fp32"), corpora, split="val", limit=4, looks=0, quiet=True
    )
    (murmur, *_) = found.variants[0].differences
    assert 0 < murmur.largest_logit < 1  # int8 is near fp32, and is not fp32
    assert found.variants[0].graph_sha256 != found.variants[1].graph_sha256


@pytest.mark.skipif(not REAL.is_dir(), reason="the corpora are not on this machine")
def test_real_validation_patients_are_heard():
    found = measure_accuracy(
        SHIPPED, ("cpu-int8",), REAL, split="val", limit=8, looks=0, quiet=True
    )
    assert (found.split, found.limited_to) == ("val", 8)
    groups = found.variants[0].groups
    assert {g.corpus for g in groups} == {"circor", "sprsound"}
    assert all(0 <= g.refused <= g.recordings <= 16 for g in groups)
