"""`align probe` as a whole: what is tested, what is left out and said, and beside what."""

import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from rows import row
from tiny_corpora import write_corpora
from typer.testing import CliRunner

from acula_edge.cli import main
from align.cli import app
from align.encoders import EncoderError, build_encoder
from align.encoders.checkpoints import save_encoder
from align.leakage import LeakageError
from align.probe import report as module
from align.probe.embed import Embedded
from align.probe.language import Texts, read_language
from align.probe.problem import ProbeError
from align.probe.render import render
from align.probe.report import probe_encoder
from align.probe.subject import Subject, Training, certify_subject, open_subject
from align.tasks import load_tasks
from align.training.recipe import recipe_from_table
from align.training.run import open_runner

OPTIONS = {"width": 16, "seconds": 1.024, "blocks": 1}
TABLE = {
    "name": "tiny",
    "encoder": {"name": "conv", "options": OPTIONS},
    "corpora": [
        {"name": "circor", "batch": 8},
        {"name": "sprsound", "batch": 8},
        {"name": "physionet2016", "batch": 4},
    ],
    "teacher": {"model": "minilm"},
    "align": {"steps": 2, "learning_rate": 1e-3},
    "objective": {"hidden": 32, "width": 32},
    "tasks": ["circor-murmur"],
}
TASKS = "circor-murmur,sprsound-wheeze,sprsound-crackle,physionet2016-abnormal"
FEW = {"resamples": 50}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora")
    write_corpora(root, patients=24)
    return root


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A finished run that left PhysioNet database a out."""
    recipe = recipe_from_table(TABLE)
    folder = tmp_path_factory.mktemp("run")
    open_runner(recipe, data, data / "teacher", quiet=True).run(recipe, folder, seed=0)
    return folder


@pytest.fixture(scope="module")
def report(run, data):
    return probe_encoder(str(run), data, f"{TASKS},icbhi-copd", **FEW)


@pytest.fixture
def changed(run, tmp_path):
    """A copy of the run whose record can be changed."""

    def change(**values):
        folder = tmp_path / "changed"
        shutil.copytree(run, folder)
        record = json.loads((folder / "run.json").read_text()) | values
        (folder / "run.json").write_text(json.dumps(record))
        return str(folder)

    return change


def lines_of(report):
    return {line.task.name: line for line in report.lines}


def scores_of(report, task="sprsound-wheeze"):
    return lines_of(report)[task].result.scores.scores


def test_findings_are_found_from_sound_on_the_test_patients(report):
    line = lines_of(report)["circor-murmur"]
    assert {one.split for one in line.result.scores.rows} == {"test"}
    assert line.result.estimate.value > 0.9
    assert line.metadata.estimate.value == 0.5  # the tiny corpus has one site and one device
    assert line.result.scores.rows == line.metadata.scores.rows


def test_a_run_is_tested_on_the_database_that_it_never_heard(report):
    line = lines_of(report)["physionet2016-abnormal"]
    for result in (line.result, line.metadata):
        assert {one.metadata["database"] for one in result.scores.rows} == {"a"}
        assert set(result.groups) == {"a"}
    assert line.notes == ("only database a: the run heard the others",)


def test_an_encoder_without_a_run_is_tested_on_every_database(data):
    found = probe_encoder("conv", data, "physionet2016-abnormal", untrained=True, **FEW)
    assert set(found.lines[0].result.groups) == set("abcd")
    assert found.unseen.certificate is None
    assert found.unseen.note == "not certified: it was not trained"


def test_a_run_that_heard_every_database_is_tested_on_none(changed, data):
    found = probe_encoder(changed(holdout=""), data, TASKS, **FEW)
    line = lines_of(found)["physionet2016-abnormal"]
    assert line.result is None
    assert "heard every recording" in line.notes[0]
    assert lines_of(found)["circor-murmur"].result is not None


def test_the_certificate_is_of_the_patients_that_the_record_names(report, changed, data):
    assert report.unseen.certificate.passed
    assert report.unseen.reproduced
    assert {part.corpus for part in report.unseen.certificate.corpora} == {
        "circor",
        "sprsound",
        "physionet2016",
    }
    other = changed(certificate={"training_patients_sha256": "0" * 64})
    unseen = probe_encoder(other, data, "circor-murmur", **FEW).unseen
    assert not unseen.reproduced
    assert unseen.note == "the corpora here do not give the training patients of the run's record"


def test_a_patient_on_both_sides_is_refused():
    training = Training(recipe_from_table(TABLE), 0, "a", frozenset(), "")
    subject = Subject("run", "conv", {}, build_encoder("conv", OPTIONS), training)
    trained = [row("one", patient="p", split="train"), row("two", patient="q", split="train")]
    tested = [row("three", patient="q", split="test")]
    with pytest.raises(LeakageError, match="circor/q"):
        certify_subject(subject, trained, tested)
    skipped = replace(subject, training=replace(training, skipped=frozenset(["circor/two"])))
    assert certify_subject(skipped, trained, tested).certificate.passed


def test_a_corpus_that_is_not_here_is_listed_and_no_error(report, data):
    assert "icbhi-copd" not in lines_of(report)
    (absent,) = [corpus for corpus in report.corpora if corpus.unusable]
    assert absent.unusable == f"not here: `acula-edge data fetch icbhi --data {data}`"
    with pytest.raises(ProbeError, match=r"icbhi is not here: .* nor are 1 others"):
        probe_encoder("conv", data, "icbhi-copd,kauh-obstructive", untrained=True)
    with pytest.raises(ProbeError, match="no data folder at"):
        probe_encoder("conv", data / "nowhere", untrained=True)


def test_missing_and_damaged_recordings_are_counted_and_named(run, data, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(data / "sprsound-2022", root / "sprsound-2022")
    gone, broken, *_ = sorted((root / "sprsound-2022" / "train_wav").glob("*.wav"))
    gone.unlink()
    broken.write_bytes(broken.read_bytes()[:30])
    found = probe_encoder(str(run), root, "sprsound-wheeze", **FEW)
    (corpus,) = found.corpora
    assert (corpus.missing, len(corpus.rows)) == (1, len(corpus.listed) - 1)
    assert [path for path, _ in found.failures] == [broken]
    text = render(found)
    assert f"- sprsound: {len(corpus.rows)} recordings, 1 without their audio file" in text
    assert f"- 1 could not be embedded: {broken}: " in text
    for path in root.rglob("*.wav"):
        path.unlink()
    with pytest.raises(ProbeError, match=f"none of its {len(corpus.listed)} files is here"):
        probe_encoder(str(run), root, "sprsound-wheeze", **FEW)


def test_a_task_that_cannot_be_scored_says_why_beside_those_that_can(data, tmp_path):
    shutil.copytree(data / "sprsound-2022", tmp_path / "sprsound-2022")
    for path in (tmp_path / "sprsound-2022").rglob("*.json"):
        path.write_text(path.read_text().replace("Fine Crackle", "Normal"))
    found = probe_encoder("conv", tmp_path, "sprsound-wheeze,sprsound-crackle", untrained=True)
    bad = lines_of(found)["sprsound-crackle"]
    assert bad.result is None
    assert "the train fold has no recording of class 1" in bad.notes[0]
    with pytest.raises(ProbeError, match="no task can be scored; sprsound-crackle"):
        probe_encoder("conv", tmp_path, "sprsound-crackle", untrained=True)


def test_weights_decide_and_random_ones_must_be_asked_for(data, tmp_path):
    torch.manual_seed(5)
    save_encoder(build_encoder("conv"), "conv", {}, tmp_path)
    weights = tmp_path / "encoder.safetensors"
    named = probe_encoder("conv", data, "sprsound-wheeze", weights=weights, **FEW)
    folder = probe_encoder(str(tmp_path), data, "sprsound-wheeze", **FEW)
    untrained = probe_encoder("conv", data, "sprsound-wheeze", untrained=True, **FEW)
    again = probe_encoder("conv", data, "sprsound-wheeze", untrained=True, **FEW)
    assert np.array_equal(scores_of(named), scores_of(folder))
    assert np.array_equal(scores_of(untrained), scores_of(again))
    assert not np.allclose(scores_of(named), scores_of(untrained))
    assert folder.unseen.note == f"not certified: {tmp_path} has no run.json"


@pytest.mark.parametrize(
    ("encoder", "options", "error", "sentence"),
    [
        ("opera-ct", {}, ProbeError, "--weights FILE .*align convert opera-ct FILE.*--untrained"),
        ("conv", {"untrained": True, "weights": "x"}, ProbeError, "exclude each other"),
        ("hub:a/b", {"untrained": True}, ProbeError, "has its own weights"),
        ("hub:", {}, EncoderError, "needs the id of a model"),
        ("hub", {}, EncoderError, "no run at hub, nor an encoder of that name"),
        ("tests", {}, EncoderError, "tests has no encoder.json: is it the folder of a finished"),
    ],
)
def test_an_encoder_that_is_none_is_one_sentence(
    encoder, options, error, sentence, monkeypatch, tmp_path
):
    (tmp_path / "tests").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=sentence):
        open_subject(encoder, options.pop("weights", None), **options)


def test_a_damaged_record_is_refused(run, data, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text('{"recipe": {}}')
    with pytest.raises(ProbeError, match=r"run\.json is no record of a run"):
        probe_encoder(str(tmp_path / "run"), data, TASKS)


def test_other_options_keep_the_weights():
    subject = open_subject("opera-ce", untrained=True)
    assert subject.prepared({}) is subject.encoder
    brief = subject.prepared({"minimum_seconds": 2.0})
    assert len(brief.windows(torch.ones(100))[0]) == 2 * brief.rate
    assert len(subject.encoder.windows(torch.ones(100))[0]) == 8 * brief.rate
    pairs = zip(brief.parameters(), subject.encoder.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_corpus_is_embedded_once_for_each_way_to_prepare_it(data, monkeypatch):
    calls = []
    embed = module.embed_rows

    def counted(encoder, rows, **options):
        calls.append((rows[0].corpus, encoder.crop))
        return embed(encoder, rows, **options)

    known = load_tasks()
    wheeze, crackle = known["sprsound-wheeze"], known["sprsound-crackle"]
    short = replace(wheeze, name="short", encoder_options={"conv": {"seconds": 1.024}})
    monkeypatch.setattr(module, "embed_rows", counted)
    monkeypatch.setattr(module, "select", lambda _: [short, wheeze, crackle])
    found = probe_encoder("conv", data, untrained=True, **FEW)
    assert calls == [("sprsound", 4096), ("sprsound", 24576)]
    assert [line.task.name for line in found.lines] == [
        "short",
        "sprsound-wheeze",
        "sprsound-crackle",
    ]
    assert not np.allclose(scores_of(found, "short"), scores_of(found))


def test_corpora_and_devices_are_told_apart(report):
    by_key = {origin.key: origin for origin in report.origins}
    assert by_key["corpus"].origins.keys() == {"circor", "sprsound", "physionet2016"}
    assert by_key["corpus"].accuracy.value > by_key["corpus"].chance
    assert "database" in by_key or "origin by database" in " ".join(report.notes)


def planted(strength, seed=0):
    """Patients whose sound is, to some strength, a rotation of their report's vector."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(300):
        split = ("train", "train", "test")[number % 3]
        labels = {"murmur": number // 3 % 2 == 0}
        rows.append(row(f"r{number}", split=split, labels=labels))
    text = random.standard_normal((303, 16)).astype(np.float32)
    present = np.asarray([one.labels["murmur"] for one in rows])
    text[:300, 0] = np.where(present, 3, -3)
    text[300:] = np.eye(16)[0] * np.asarray([-1, 1, 0])[:, None]
    audio = strength * text[:300] @ np.linalg.qr(random.standard_normal((16, 16)))[0]
    audio += random.standard_normal((300, 16))
    reports = {("circor", one.name): f"report {i}" for i, one in enumerate(rows)}
    task = load_tasks()["circor-murmur"]
    prompts = [text for own in task.prompts for text in own]
    place = {text: i for i, text in enumerate([*reports.values(), *prompts, ""])}
    texts = Texts("planted", "include", reports, place, text)
    return Embedded(audio.astype(np.float32), tuple(rows)), [task], texts


@pytest.mark.parametrize(("strength", "low", "high"), [(30, 0.99, 1.0), (0, 0.0, 0.06)])
def test_planted_reports_are_retrieved_and_unrelated_ones_are_not(strength, low, high):
    embedded, tasks, texts = planted(strength)
    found = read_language([embedded], tasks, texts, resamples=50)
    first = found.recalls[0]
    assert (first.corpus, first.top, first.recordings, first.reports) == ("circor", 1, 100, 100)
    assert low <= first.recall.value <= high
    (shot,) = found.zero_shot
    assert shot.estimate.value > 0.99 if strength else abs(shot.estimate.value - 0.5) < 0.2


def test_reports_of_test_patients_do_not_shape_the_map():
    embedded, tasks, texts = planted(2)
    tested = [i for i, one in enumerate(embedded.rows) if one.split == "test"]
    vectors = texts.vectors.copy()
    vectors[tested] = np.random.default_rng(9).standard_normal((len(tested), 16))
    other = read_language([embedded], tasks, replace(texts, vectors=vectors), resamples=50)
    own = read_language([embedded], tasks, texts, resamples=50)
    assert np.array_equal(other.zero_shot[0].scores.scores, own.zero_shot[0].scores.scores)
    assert other.recalls[0].recall.value < own.recalls[0].recall.value


def test_retrieval_uses_the_teacher_of_the_run(run, data):
    found = probe_encoder(
        str(run), data, TASKS, retrieval=True, cache=data / "teacher", resamples=50
    ).language
    assert found.teacher == "minilm"
    assert {(one.corpus, one.top) for one in found.recalls} == {
        (corpus, top) for corpus in ("circor", "sprsound", "physionet2016") for top in (1, 5, 10)
    }
    assert [one.scores.task.name for one in found.zero_shot] == TASKS.split(",")
    heart = found.zero_shot[-1].scores
    assert {one.metadata["database"] for one in heart.rows} == {"a"}
    with pytest.raises(ProbeError, match="give --teacher"):
        probe_encoder("conv", data, TASKS, untrained=True, retrieval=True)


def test_the_table_has_every_figure_and_says_what_is_missing(report):
    text = render(report)
    line = lines_of(report)["sprsound-wheeze"]
    tested = f"{len(line.result.scores.rows)} / {len({r.patient for r in line.result.scores.rows})}"
    row_of = f"| sprsound-wheeze | {line.result.estimate} | {line.metadata.estimate} | {tested} |"
    assert row_of in text
    assert " / no ids | only database a: the run heard the others |" in text
    assert "- icbhi: not here" in text
    assert "leakage certificate: passed" in text
    assert "the patients trained on are those of the run's own certificate" in text


def test_the_command_prints_the_table_and_writes_the_json(run, data, tmp_path):
    out = tmp_path / "deep" / "probe.json"
    arguments = ["probe", run, "--data", data, "--tasks", "circor-murmur", "--out", out]
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    assert "| circor-murmur | " in result.output
    record = json.loads(out.read_text())
    assert record["encoder"]["holdout"] == "a"
    assert record["tasks"][0]["low"] <= record["tasks"][0]["value"] <= record["tasks"][0]["high"]
    assert record["tasks"][0]["metadata"]["value"] == 0.5
    assert record["leakage"]["certificate"]["passed"] is True
    assert record["machine"]["torch"] == torch.__version__


@pytest.mark.parametrize(
    "arguments", [["conv", "--untrained", "--probe", "svm"], ["conv"], ["conv", "--tasks", "x"]]
)
def test_bad_input_is_one_sentence_and_no_traceback(arguments, data, monkeypatch, capsys):
    command = ["acula-edge", "align", "probe", *arguments, "--data", str(data)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as caught:
        main()
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert len(error.strip().splitlines()) == 1
    assert "Traceback" not in error
