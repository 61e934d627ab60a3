"""The whole report: what is measured when, what survives Ctrl-C, and the files it makes."""

import json
from dataclasses import replace

import bench_record
import pytest
from bundle_factory import make_bundle

from acula_edge.bundle import load_bundle
from acula_edge.errors import UsageError
from benchmarks import report_command
from benchmarks.latency.measure import SPEED_ONLY
from benchmarks.record import read_record
from benchmarks.report_command import Plan, measure_report, read_students, write_report
from export.students import SCHEMA

QUICK_TURNS = report_command.peer_settings.QUICK.turns


@pytest.fixture
def measured(monkeypatch):
    """Every part answers at once, from the factory; returns the names of those that were asked."""
    asked = []

    def latency(*_, save, **__):
        asked.append("latency")
        record = bench_record.bare(complete=True, notes=(SPEED_ONLY,))
        save(record)
        return record

    def peers(*_, **__):
        asked.append("peers")
        return replace(bench_record.peers(), turns=QUICK_TURNS)

    def accuracy(_, variants, *__, **given):
        asked.append(f"accuracy of {given['split']}, {given['limit']}, {given['original']}")
        return bench_record.accuracy()

    monkeypatch.setattr(report_command, "record_latency", latency)
    monkeypatch.setattr(report_command, "measure_peers", peers)
    monkeypatch.setattr(report_command, "measure_accuracy", accuracy)
    monkeypatch.setattr(report_command, "has_corpora", lambda root: root.name == "data")
    return asked


@pytest.fixture
def bundle(tmp_path):
    return load_bundle(make_bundle(tmp_path / "tiny"))


def run(plan, saved=None):
    save = (saved if saved is not None else []).append
    return measure_report(plan, command="acula-edge bench report", save=save, say=lambda _: None)


def plan_of(bundle, tmp_path, **changes):
    variants = tuple(item.variant for item in bench_record.accuracy().variants)
    return Plan(bundle, variants, data=tmp_path / "data", looks=3, **changes)


def test_every_part_lands_in_one_record(bundle, tmp_path, measured):
    saved = []
    record = run(plan_of(bundle, tmp_path, original=tmp_path), saved)
    assert measured == ["latency", "peers", f"accuracy of test, 60, {tmp_path}"]
    assert record.complete and record.runs and record.peers and record.accuracy
    assert SPEED_ONLY not in record.notes
    assert [(part.peers is not None, part.accuracy is not None) for part in saved] == [
        (False, False), (True, False), (True, True),
    ]  # fmt: skip


def test_a_quick_report_says_what_full_adds_and_a_full_one_scores_everything(
    bundle, tmp_path, measured
):
    assert any("--full" in note for note in run(plan_of(bundle, tmp_path)).notes)
    full = run(plan_of(bundle, tmp_path, full=True, peers=False))
    assert measured[-1] == "accuracy of test, None, None"
    assert not any("--full" in note for note in full.notes)


@pytest.mark.parametrize(("limit", "told"), [(0, None), (7, 7)])
def test_the_sample_can_be_chosen(bundle, tmp_path, measured, limit, told):
    run(plan_of(bundle, tmp_path, limit=limit))
    assert measured[-1] == f"accuracy of test, {told}, None"


def test_without_corpora_it_is_speed_without_accuracy(bundle, tmp_path, measured):
    plan = Plan(bundle, ("cpu-int8",), data=tmp_path / "nothing")
    record = run(plan)
    assert record.accuracy is None and SPEED_ONLY in record.notes
    assert measured == ["latency", "peers"]


def test_the_validation_patients_are_not_compared_with_the_original(bundle, tmp_path, measured):
    run(plan_of(bundle, tmp_path, split="val", original=tmp_path))
    assert measured[-1] == "accuracy of val, 60, None"


def test_ctrl_c_keeps_what_was_measured(bundle, tmp_path, measured, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(report_command, "measure_accuracy", interrupted)
    saved = []
    record = run(plan_of(bundle, tmp_path), saved)
    assert not record.complete and record.peers is not None and record.accuracy is None
    assert saved[-1] == record


def test_the_files_are_made_of_the_record(bundle, tmp_path, measured, monkeypatch):
    def no_browser(*_):
        raise report_command.MissingDependencyError("no browser here")

    monkeypatch.setattr(report_command, "write_pdf", no_browser)
    record, said = run(plan_of(bundle, tmp_path)), []
    paths = write_report(record, tmp_path, said.append)
    assert [path.name for path in paths] == ["report.json", "report.html", "report.csv"]
    assert said == ["no PDF: no browser here"]
    assert read_record(paths[0]) == record
    assert "<!doctype html>" in paths[1].read_text().lower()


def test_students_come_from_their_record(tmp_path):
    path = tmp_path / "students.json"
    span = {"value": 0.8, "low": 0.7, "high": 0.9}
    row = {"size": "S", "parameters": 5, "macs_per_second": 7.0, "taught": True, "mean": span}
    path.write_text(json.dumps({"schema": SCHEMA, "students": {"one": row}}))
    (point,) = read_students(path)
    assert (point.name, point.size, point.mean_auroc.high) == ("one", "S", 0.9)


@pytest.mark.parametrize("text", ["", "[]", '{"students": {"one": {}}}', '{"students": 3}'])
def test_a_damaged_students_record_is_one_sentence(tmp_path, text):
    path = tmp_path / "students.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="no record of `acula-edge export students`"):
        read_students(path)
