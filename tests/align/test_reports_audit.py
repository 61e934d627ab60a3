"""The audit against counts by hand and the committed table; the verifier against a reader."""

import csv
import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
from rows import row

from align.reports import Fact, Report, ReportError
from align.reports.audit import Rate, audit, audit_circor_csv, audit_texts, facts_given
from align.reports.verify import verify

ROOT = Path(__file__).parents[2]
CSV = ROOT / ".." / "shared" / "data" / "circor-llm-reports" / "reports.csv"
COMMITTED = ROOT / "align" / "results" / "circor-gpt4o-audit.json"
needs_csv = pytest.mark.skipif(not CSV.is_file(), reason="the GPT-4o reports are not here")

ABSENT = (Fact("murmur", "absent", is_label=True),)
NO_MURMUR = (*ABSENT, Fact("sex", "male"))
PRESENT = (Fact("murmur", "present", is_label=True), Fact("systolic pitch", "low", is_label=True))
PAIRS = [  # what each does with its facts
    ("No murmur.", ABSENT),  # right
    ("A murmur.", ABSENT),  # contradicts the murmur
    ("Auscultation.", ABSENT),  # omits it
    ("A low-pitched murmur.", PRESENT),  # right
    ("A high-pitched murmur with a gallop.", PRESENT),  # contradicts the pitch, makes up a gallop
    ("A murmur with a gallop, follow-up needed.", PRESENT),  # omits, makes up, advises
    ("A low-pitched murmur; a pathology.", PRESENT),  # infers
]


def wilson(count, total, z=1.959964):
    """The interval's ends as roots of (p - rate)^2 = z^2 p (1 - p) / total (Wilson 1927)."""
    rate = count / total
    a, b, c = 1 + z**2 / total, -(2 * rate + z**2 / total), rate**2
    root = math.sqrt(max(0.0, b**2 - 4 * a * c))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


@pytest.mark.parametrize(("count", "total"), [(0, 5), (1, 7), (50, 100), (69, 824), (824, 824)])
def test_wilson_ends_solve_the_score_equation(count, total):
    assert Rate(count, total).interval == pytest.approx(wilson(count, total), abs=1e-12)


def test_every_rate_is_the_count_by_hand():
    table = audit_texts(PAIRS)
    counts = {
        name: (getattr(table, name).count, getattr(table, name).total)
        for name in (
            "flawed",
            "omitting",
            "contradicting",
            "hallucinating",
            "inferring",
            "advising",
        )
    }
    assert counts == {
        "flawed": (3, 7),
        "omitting": (2, 7),
        "contradicting": (2, 7),
        "hallucinating": (2, 7),
        "inferring": (1, 7),
        "advising": (1, 7),
    }


def test_a_field_counts_only_the_reports_whose_facts_have_it():
    table = audit_texts(PAIRS)
    rates = {field: (table.omitted[field], table.contradicted[field]) for field in table.omitted}
    assert rates == {
        "murmur": (Rate(1, 7), Rate(1, 7)),
        "systolic pitch": (Rate(1, 4), Rate(1, 4)),
    }


def test_words_and_reports_are_counted():
    table = audit_texts(PAIRS[:2])
    assert (table.reports, table.mean_words) == (2, 2.0)


def test_a_concept_twice_in_a_report_is_one_report():
    table = audit_texts([("No murmur; a gallop. Again a gallop.", ABSENT)])
    assert dict(table.made_up) == {"hallucinated gallop": Rate(1, 1)}


def test_skipped_reports_are_in_no_total():
    row_with = row("1_AV", metadata={"Murmur": "Absent"})
    table = audit([row_with, row_with], [Report("No murmur.", "llm"), None])
    assert table.contradicted["murmur"] == Rate(0, 1)


def test_an_audit_without_labels_asks_for_no_label():
    row_with = row("1_AV", metadata={"Murmur": "Absent"})
    table = audit([row_with], [Report("Heart sounds, aortic area.", "llm")], "exclude")
    assert "murmur" not in table.omitted


def test_the_json_holds_what_the_markdown_shows():
    table = audit_texts(PAIRS, notes=("a note",))
    flawed = json.loads(table.to_json())["flawed"]
    assert flawed["value"] == 3 / 7
    assert flawed["interval"] == pytest.approx(wilson(3, 7))
    markdown = table.to_markdown()
    assert "| any contradiction or hallucination | 3/7 = 42.9% [15.8%, 75.0%] |" in markdown
    assert markdown.endswith("* a note\n")


@pytest.mark.parametrize("given", ["", "Murmur: Unknown", "nothing of the kind", "Murmur: nan, "])
def test_what_was_given_without_a_known_value_is_no_fact(given):
    assert facts_given(given) == ()


def test_an_empty_file_and_one_that_is_not_there_are_one_sentence(tmp_path):
    path = tmp_path / "reports.csv"
    with pytest.raises(ReportError, match="cannot read the reports"):
        audit_circor_csv(path)
    path.write_text("Patient_ID,Meta_Report,Gen_Report\n")
    with pytest.raises(ReportError, match="no report to audit"):
        audit_circor_csv(path)


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


@needs_csv
def test_the_committed_table_has_the_rates_of_the_file():
    fresh, committed = (
        json.loads(audit_circor_csv(CSV).to_json()),
        json.loads(COMMITTED.read_text()),
    )
    assert {**fresh, "notes": None} == {**committed, "notes": None}
    markdown = COMMITTED.with_suffix(".md").read_text()
    shown = audit_circor_csv(CSV).to_markdown().rstrip()
    assert shown in markdown


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


@needs_csv
def test_the_verifier_agrees_with_a_reader_on_sixty_real_reports():
    read = {(index, fault) for index, faults in READ.items() for fault in faults}
    found = set()
    for index, line in enumerate(drawn()):
        verdict = verify(line["Gen_Report"], facts_given(line["Meta_Report"]))
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
        lines = list(csv.DictReader(handle))[::6]
    missed = planted = 0
    for line in lines:
        given = facts_given(line["Meta_Report"])
        before = verify(line["Gen_Report"], given).fields
        for index, fact in enumerate(given):
            taken = {other.value for other in given if other.field == fact.field}
            values = [v for v in OTHER[fact.field.split()[-1]] if v not in taken]
            if before[fact.field] != "stated" or not values:
                continue
            changed = [*given[:index], replace(fact, value=values[-1]), *given[index + 1 :]]
            planted += 1
            missed += verify(line["Gen_Report"], changed).fields[fact.field] == "stated"
    assert planted > 400
    assert missed / planted <= 0.005


@needs_csv
def test_the_known_invention_is_found():
    with CSV.open(newline="") as handle:
        line = next(line for line in csv.DictReader(handle) if line["Patient_ID"] == "9983")
    verdict = verify(line["Gen_Report"], facts_given(line["Meta_Report"]))
    assert verdict.hallucinated == ("murmur present: murmur",)
