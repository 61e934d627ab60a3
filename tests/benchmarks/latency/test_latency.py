"""The whole command: a record that reads back, partial where it was interrupted."""

import json
import os
from dataclasses import replace

import pytest
import typer
from bundle_factory import make_bundle
from typer.testing import CliRunner

from acula_edge.bundle import load_bundle
from acula_edge.errors import AculaError, BundleError, UsageError
from benchmarks.latency import measure, soak
from benchmarks.latency.cli import latency
from benchmarks.latency.cold import measure_cold
from benchmarks.latency.limits import EXIT_CODE
from benchmarks.latency.measure import Interrupted, measure_latency, record_latency
from benchmarks.latency.settings import FULL, QUICK
from benchmarks.latency.table import lines
from benchmarks.record import read_record, write_record

TINY = replace(
    QUICK, cold_runs=1, front_end_runs=2, flat_seconds=0.4, paced_seconds=0.4, onset_trials=1,
    capacity_limit=1, capacity_seconds=0.2, source_rate=4000,
)  # fmt: skip
SHORT = replace(TINY, cold_runs=0, onset_trials=0, capacity_limit=0)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    # a hop of the tiny bundle is 2 ms: a second of sound costs 100 times the real one's
    monkeypatch.setattr("benchmarks.latency.flow.WARM_UP_SECONDS", 0.1)
    monkeypatch.setattr("benchmarks.latency.sounds.LEAD_SECONDS", 0.2)
    monkeypatch.setattr("benchmarks.latency.sounds.TAIL_SECONDS", 0.5)
    return load_bundle(make_bundle(tmp_path / "tiny"))


@pytest.fixture
def command(monkeypatch):
    monkeypatch.setattr("benchmarks.latency.settings.QUICK", SHORT)
    app = typer.Typer()
    app.command()(latency)

    def run(*arguments):
        return CliRunner().invoke(app, [str(each) for each in arguments])

    return run


def test_every_part_is_measured_and_reads_back(tiny, tmp_path):
    told, saved = [], []
    record = record_latency(
        tiny, ["fp32"], "cpu", TINY, command="x", save=saved.append, progress=told.append
    )
    found = record.runs[0].latency
    assert record.complete
    assert [each.complete for each in saved] == [False]
    assert found.flat.deadline_misses is None
    assert found.paced.deadline_misses is not None
    assert found.front_end_share is None  # the tiny graph has no convolution
    assert found.capacity.limit == 1
    assert [onset.finding for onset in found.onset] == ["murmur", "wheeze"]
    assert found.cold.runs == 1
    assert found.cold.process_ms.value > found.cold.load_ms.value > 0
    assert found.cold.peak_rss_mib > 20
    assert any("speed without accuracy" in note for note in record.notes)
    assert told[0] == "fp32: cold start"
    write_record(record, tmp_path / "r.json")
    assert read_record(tmp_path / "r.json") == record
    text = "\n".join(lines(record))
    assert "withheld (" in text
    assert "tiny 1.0.0 fp32" in text


def test_parts_can_be_left_out(tiny):
    found = measure_latency(tiny, "fp32", "cpu", SHORT)
    assert found.cold is found.capacity is None
    assert found.onset == ()
    assert found.flat.hops > 50


def test_settings_have_the_samples_for_what_they_promise():
    hop = 0.192
    assert QUICK.paced_seconds / hop >= 73
    assert QUICK.flat_seconds / hop >= 369
    assert FULL.paced_seconds / hop >= 369


@pytest.mark.parametrize(("part", "kept"), [("measure_onsets", True), ("front_end_share", False)])
def test_ctrl_c_keeps_the_parts_before_it(tiny, monkeypatch, part, kept):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, part, stop)
    settings = replace(TINY, cold_runs=0)
    with pytest.raises(Interrupted) as stopped:
        measure_latency(tiny, "fp32", "cpu", settings)
    assert (stopped.value.latency.paced is not None) == kept
    record = record_latency(tiny, ["fp32"], "cpu", settings, command="x")
    assert not record.complete
    assert (record.runs[0].latency.flat is not None) == kept
    assert any("PARTIAL" in line for line in lines(record))


def test_ctrl_c_in_the_middle_of_a_run_keeps_its_beginning(tiny, monkeypatch):
    usual, calls = measure.open_flow, []

    def stopping(*arguments, **options):
        meter = usual(*arguments, **options)
        push = meter._staged.push

        def pushed(pcm):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return push(pcm)

        meter._staged.push = pushed
        return meter

    monkeypatch.setattr(measure, "open_flow", stopping)
    record = record_latency(tiny, ["fp32"], "cpu", SHORT, command="x")
    assert not record.complete
    assert record.runs[0].latency.flat.seconds == pytest.approx(0.2)
    assert record.runs[0].latency.paced is None


def test_a_busy_machine_is_stamped(tiny, monkeypatch):
    monkeypatch.setattr(measure, "busy", lambda machine: ("someone else computes",))
    record = record_latency(tiny, ["fp32"], "cpu", SHORT, command="x")
    assert record.busy[0] == "someone else computes"
    assert any(line.startswith("NOT COMPARABLE") for line in lines(record))


def test_a_soak_only_listens_and_is_saved_on_the_way(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(soak.Saver.__init__, "__defaults__", (0.0,))
    path = tmp_path / "soak.json"
    saved = []

    def save(record):
        if record.runs and os.getpid() != here:
            write_record(record, path)
        saved.append(record)

    here = os.getpid()
    settings = replace(SHORT, front_end_runs=0)
    record = record_latency(
        tiny, ["fp32"], "cpu", settings, command="x", soak_hours=2.2 / 3600, save=save
    )
    found = record.runs[0].latency
    assert record.complete
    assert found.flat is None
    assert found.paced.seconds == pytest.approx(2.2)
    partial = read_record(path)  # written by the forked process
    assert not partial.complete
    assert 0 < partial.runs[0].latency.paced.seconds < 2.2


def test_ctrl_c_before_a_soak_began_keeps_the_variants_before_it(tiny, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(soak, "open_flow", stop)
    record = record_latency(tiny, ["fp32"], "cpu", SHORT, command="x", soak_hours=1)
    assert not record.complete
    assert record.runs == ()


def test_a_fresh_process_does_not_inherit_our_memory(tiny):
    ours = bytearray(b"x" * 2**29)
    assert 20 < measure_cold(tiny, "fp32", "cpu", TINY).peak_rss_mib < 400
    del ours


def test_a_process_that_fails_is_one_sentence(tiny):
    with pytest.raises(AculaError, match="no variant 'int3'"):
        measure_cold(tiny, "int3", "cpu", TINY)


def test_unknown_variants_and_providers_are_refused_before_anything_runs(tiny):
    with pytest.raises(BundleError, match="no variant"):
        record_latency(tiny, ["fp32", "int3"], "cpu", SHORT, command="x")
    with pytest.raises(UsageError, match="unknown provider"):
        record_latency(tiny, ["fp32"], "abacus", SHORT, command="x")


def test_the_command_writes_and_prints(command, tiny, tmp_path):
    out = tmp_path / "out.json"
    done = command("--model", tiny.origin, "--variant", "fp32", "--out", out)
    assert done.exit_code == 0, done.output
    assert "paced, a hop" in done.output
    assert str(out) in done.output
    assert read_record(out).complete


def test_the_command_prints_json(command, tiny, tmp_path):
    out = tmp_path / "out.json"
    done = command("--model", tiny.origin, "--variant", "fp32", "--out", out, "--json")
    assert json.loads(done.stdout) == json.loads(out.read_text())


def test_a_broken_limit_has_its_own_exit_code(command, tiny, tmp_path):
    out = tmp_path / "out.json"
    model = ("--model", tiny.origin, "--variant", "fp32", "--out", out)
    done = command(*model, "--max-p50-ms", 0, "--max-misses", 10**6)
    assert done.exit_code == EXIT_CODE
    assert done.output.count("limit: ") == 1
    withheld = command(*model, "--max-p99-ms", 10**9)
    assert withheld.exit_code == EXIT_CODE or read_record(out).runs[0].latency.paced.hop_ms.p99


def test_a_bad_place_for_the_record_is_refused_first(command, tiny, tmp_path):
    done = command("--model", tiny.origin, "--out", tmp_path / "no" / "out.json")
    assert isinstance(done.exception, UsageError)
    done = command("--model", tiny.origin, "--variant", "fp32", "--out", tmp_path)
    assert isinstance(done.exception, UsageError)
