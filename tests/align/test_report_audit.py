"""The audit's rates, and the verifier against a reader on real reports."""

import csv
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from align.corpora import read_corpus
from align.reports import Report, ReportError, facts_of, texts_for
from align.reports.audit import Rate, audit, audit_circor_csv, audit_texts, facts_given
from align.reports.roles import Fact
from align.reports.verify import verify
from align.reports_cli import app

REAL = Path(__file__).parents[3] / "shared" / "data"
CSV = REAL / "circor-llm-reports" / "reports.csv"
NO_MURMUR = (Fact("murmur", "absent", is_label=True), Fact("sex", "male"))

# Patient -> faults that a reader found: O:field omitted, H made up, I inferred, A advised.
# Drawn with random.Random(20260): 30 reports of children without a murmur, then 30 others.
READ = {
    1: "I", 3: "I", 4: "I", 7: "I", 10: "I", 13: "A", 14: "A", 16: "I", 22: "I", 23: "I", 26: "A",
    28: "I", 29: "I", 31: "HI", 32: "H", 38: "O", 47: "O", 48: "H", 50: "H", 56: "H", 57: "HIA",
}  # fmt: skip


def drawn():
    with CSV.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    source = random.Random(20260)
    hard = [row for row in rows if "Absent" not in row["Meta_Report"]]
    easy = [row for row in rows if "Absent" in row["Meta_Report"]]
    return source.sample(easy, 30) + source.sample(hard, 30)


def test_rates_count_reports_by_field_and_by_fault():
    texts = ["A boy. No murmur.", "No murmur.", "A boy with a murmur and a gallop.", "A boy."]
    table = audit_texts([(text, NO_MURMUR) for text in texts])
    assert (table.contradicted["murmur"].count, table.contradicted["murmur"].total) == (1, 4)
    assert (table.omitted["murmur"].count, table.omitted["sex"].count) == (1, 1)
    assert table.made_up["hallucinated gallop"].count == 1
    assert (table.flawed.count, table.omitting.count) == (1, 2)


def test_wilson_interval_of_known_counts():
    low, high = Rate(0, 100).interval
    assert (low, high) == pytest.approx((0.0, 0.03699), abs=1e-4)
    low, high = Rate(50, 100).interval
    assert (low, high) == pytest.approx((0.40383, 0.59617), abs=1e-4)
    assert str(Rate(0, 0)) == "-"


def test_what_the_writer_was_given_is_parsed_by_phase():
    given = facts_given(
        "Murmur: Present, Murmur locations: AV+MV, Most audible location: MV, "
        "Systolic murmur timing: Holosystolic, Shape: Plateau, Grading: I/VI, Pitch: Low, "
        "Quality: Harsh, Diastolic murmur timing: Early-diastolic, Shape: Decrescendo, "
        "Grading: I/IV, Pitch: High, Quality: Blowing, Outcome: Abnormal"
    )
    told = [(fact.field, fact.value) for fact in given]
    assert ("systolic quality", "harsh") in told
    assert ("diastolic quality", "blowing") in told
    assert ("diastolic grading", "I/IV") in told
    assert told.count(("murmur location", "AV")) == told.count(("murmur location", "MV")) == 1
    assert facts_given("Murmur: Unknown, Outcome: Normal") == (
        Fact("outcome", "normal", is_label=True),
    )


def test_nothing_to_audit_and_unequal_lists_are_refused():
    with pytest.raises(ReportError, match="no report"):
        audit_texts([])
    with pytest.raises(ReportError, match="0 recordings but 1 reports"):
        audit([], [Report("x", "file")])


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data" / "circor-digiscope"
    (folder / "training_data").mkdir(parents=True)
    header = "Patient ID,Age,Sex,Murmur,Murmur locations,Additional ID"
    (folder / "training_data.csv").write_text(
        f"{header}\n100,Child,Male,Present,AV,nan\n200,Child,Female,Absent,nan,nan\n"
    )
    for name in ("100_AV", "200_MV"):
        (folder / "training_data" / f"{name}.wav").touch()
    return tmp_path / "data"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_write_verify_and_audit_from_the_command_line(data, tmp_path):
    out = tmp_path / "reports.jsonl"
    assert run("write", "circor", "--data", data, "--out", out).exit_code == 0
    assert run("verify", out, "--data", data).exit_code == 0
    lines = out.read_text().splitlines()
    out.write_text("\n".join([lines[0], lines[1].replace("No murmur", "A murmur")]) + "\n")
    verified = run("verify", out, "--data", data)
    assert verified.exit_code == 1
    assert "circor/200_MV: {'murmur': 'contradicted'}" in verified.stdout
    audited = run("audit", out, "--data", data, "--out", tmp_path / "tables")
    assert audited.exit_code == 0
    table = json.loads((tmp_path / "tables" / "reports-audit.json").read_text())
    assert table["contradicted"]["murmur"]["count"] == 1
    assert "| murmur | 0/2" in (tmp_path / "tables" / "reports-audit.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["write", "circor", "--source", "llm", "--out", "x"], "needs --model"),
        (["write", "circo", "--out", "x"], "circo"),
        (["verify", "none.jsonl"], "cannot read the reports none.jsonl"),
        (["audit", "none.csv"], "cannot read the reports none.csv"),
    ],
)
def test_bad_input_is_one_sentence(data, arguments, sentence):
    result = run(*arguments, "--data", data)
    assert result.exit_code != 0
    assert sentence in str(result.exception)


needs_csv = pytest.mark.skipif(not CSV.is_file(), reason="the GPT-4o reports are not here")


@needs_csv
def test_the_verifier_agrees_with_a_reader_on_sixty_real_reports():
    read = {(index, fault) for index, faults in READ.items() for fault in faults}
    found = set()
    for index, row in enumerate(drawn()):
        verdict = verify(row["Gen_Report"], facts_given(row["Meta_Report"]))
        kinds = {"H": verdict.hallucinated, "I": verdict.inferences, "A": verdict.advice}
        found |= {(index, kind) for kind, claims in kinds.items() if claims}
        found |= {(index, s[0].upper()) for s in verdict.fields.values() if s != "stated"}
    assert len(found & read) / len(found) >= 0.96
    assert len(found & read) / len(read) == 1.0


OTHER = {  # another value of each field, so that a report of the first contradicts the second
    "murmur": ("present", "absent"),
    "outcome": ("normal", "abnormal"),
    "timing": ("holosystolic", "early-systolic", "mid-systolic"),
    "shape": ("plateau", "diamond", "decrescendo"),
    "grading": ("I/VI", "II/VI", "III/VI"),
    "pitch": ("low", "medium", "high"),
    "quality": ("blowing", "harsh", "musical"),
    "location": ("AV", "MV", "PV", "TV"),
}


@needs_csv
def test_a_fact_changed_under_a_real_report_is_found():
    with CSV.open(newline="") as handle:
        rows = list(csv.DictReader(handle))[::6]
    missed = planted = 0
    for row in rows:
        given = facts_given(row["Meta_Report"])
        before = verify(row["Gen_Report"], given).fields
        for index, fact in enumerate(given):
            taken = {other.value for other in given if other.field == fact.field}
            values = [v for v in OTHER[fact.field.split()[-1]] if v not in taken]
            if before[fact.field] != "stated" or not values:
                continue
            changed = [*given[:index], replace(fact, value=values[-1]), *given[index + 1 :]]
            planted += 1
            missed += verify(row["Gen_Report"], changed).fields[fact.field] == "stated"
    assert planted > 400
    assert missed / planted <= 0.005


@needs_csv
def test_the_known_invention_is_found():
    with CSV.open(newline="") as handle:
        row = next(row for row in csv.DictReader(handle) if row["Patient_ID"] == "9983")
    verdict = verify(row["Gen_Report"], facts_given(row["Meta_Report"]))
    assert verdict.hallucinated == ("murmur present: murmur",)


@needs_csv
def test_the_committed_audit_is_the_audit_of_the_file():
    committed = Path(__file__).parents[2] / "align" / "results" / "circor-gpt4o-audit.json"
    values = json.loads(committed.read_text())
    fresh = json.loads(audit_circor_csv(CSV).to_json())
    assert values["omitted"] == fresh["omitted"]
    assert values["made_up"] == fresh["made_up"]


@pytest.mark.skipif(not (REAL / "sprsound-2022").is_dir(), reason="no SPRSound here")
def test_templates_of_real_recordings_pass_the_verifier():
    for corpus in ("circor", "sprsound"):
        rows = read_corpus(corpus, REAL)[::90]
        for row, report in zip(rows, texts_for(rows, "template"), strict=True):
            assert verify(report.text, facts_of(row)).passed(), report.text
