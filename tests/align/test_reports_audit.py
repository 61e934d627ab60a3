"""The audit against counts and intervals worked out by hand, and against the committed table."""

import json
import math
from pathlib import Path

import pytest
from rows import row

from align.reports import Fact, Report, ReportError
from align.reports.audit import Rate, audit, audit_circor_csv, audit_texts, facts_given

ROOT = Path(__file__).parents[2]
CSV = ROOT / ".." / "shared" / "data" / "circor-llm-reports" / "reports.csv"
COMMITTED = ROOT / "align" / "results" / "circor-gpt4o-audit.json"
ABSENT = (Fact("murmur", "absent", is_label=True),)
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


@pytest.mark.skipif(not CSV.is_file(), reason="the GPT-4o reports are not here")
def test_the_committed_table_has_the_rates_of_the_file():
    fresh, committed = (
        json.loads(audit_circor_csv(CSV).to_json()),
        json.loads(COMMITTED.read_text()),
    )
    assert {**fresh, "notes": None} == {**committed, "notes": None}
    markdown = COMMITTED.with_suffix(".md").read_text()
    shown = audit_circor_csv(CSV).to_markdown().rstrip()
    assert shown in markdown
