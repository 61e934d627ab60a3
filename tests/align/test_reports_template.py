"""Template reports as a reader sees them: whole sentences, no gaps, no machine words."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_layouts import WRITERS, write_layouts

from align.corpora import read_corpus
from align.corpora.recording import Recording
from align.reports import Fact, facts_of, texts_for
from align.reports.template import series, write_facts
from align.reports.verify import verify

REAL = Path(__file__).parents[3] / "shared" / "data"
LABELS = ["include", "exclude"]
MACHINE_WORDS = r"(?i)\b(?:none|nan|null|true|false|unknown|undefined)\b|[_{}<>]"


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_layouts(root)
    return [row for corpus in WRITERS for row in read_corpus(corpus, root)]


def texts(rows, source="template", labels="include"):
    return [report.text for report in texts_for(rows, source, labels)]


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("source", ["template", "findings"])
def test_every_corpus_reads_as_whole_sentences(rows, source, labels):
    for text in texts(rows, source, labels):
        assert text.endswith(".")
        assert all(part[:1].isupper() for part in re.split(r"(?<=\.)\s", text)), text
        assert not re.search(r"\s{2}|\n|\.\.|\s[.,;)]|\(\s|\(\)|,,|\bat the [.,]", text), text
        assert not re.search(r"\ba [aeio]\w|\ban [bcdfgjkqtvw]", text), text


@pytest.mark.parametrize("labels", LABELS)
def test_no_corpus_shows_a_machine_word(rows, labels):
    kept = [row for row in rows if row.corpus != "coughvid"]  # its values have underscores
    found = [text for text in texts(kept, labels=labels) if re.search(MACHINE_WORDS, text)]
    assert found == []


@pytest.mark.parametrize("labels", LABELS)
def test_every_report_of_every_corpus_passes_its_own_verifier(rows, labels):
    for row, report in zip(rows, texts_for(rows, "template", labels), strict=True):
        verdict = verify(report.text, facts_of(row, labels))
        assert verdict.passed(report.omitted), (report.text, verdict)


def test_equal_facts_make_equal_reports_whatever_the_recording_is_called(rows):
    renamed = [replace(row, name=f"x-{row.name}", patient="y", split="test") for row in rows]
    renamed = [row for row in renamed if row.corpus != "circor"]
    kept = [row for row in rows if row.corpus != "circor"]
    assert texts(renamed) == texts(kept) == texts(kept)


def person(**metadata):
    metadata = {key: value for key, value in metadata.items() if value}
    row = Recording("nosemic", "1", "1.wav", "1", "", "", "train", {}, (), metadata)
    return texts([row])[0].removeprefix("Cough recording").removesuffix(".").strip()


@pytest.mark.parametrize(
    ("age", "group", "sex", "words"),
    [
        ("", "", "", ""),
        ("4", "", "male", "of a 4-year-old boy"),
        ("17.9", "", "female", "of a 17.9-year-old girl"),
        ("18", "", "female", "of an 18-year-old woman"),
        ("8", "", "", "of an 8-year-old child"),
        ("11", "", "F", "of an 11-year-old girl"),
        ("80.0", "", "M", "of an 80-year-old man"),
        ("110", "", "", "of a 110-year-old adult"),
        ("31", "", "other", "of a 31-year-old adult of other sex"),
        ("", "", "other", "of a patient of other sex"),
        ("", "18-44", "female", "of a female patient aged 18-44"),
        ("", "18-44", "", "of a patient aged 18-44"),
        ("", "Infant", "", "of an infant"),
        ("", "Adolescent", "male", "of a male adolescent"),
        ("", "", "male", "of a male patient"),
    ],
)
def test_people_are_named_by_what_is_known_of_them(age, group, sex, words):
    assert person(age=age, age_group=group, sex=sex) == words


def test_a_person_of_another_sex_is_stated_and_may_not_be_called_a_boy():
    facts = (Fact("sound", "cough", kind="acquisition"), Fact("sex", "other", kind="demographic"))
    report = write_facts("coswara", facts)
    assert verify(report.text, facts).passed()
    assert verify("Cough recording of a boy.", facts).fields["sex"] == "contradicted"


def test_what_a_long_questionnaire_leaves_out_is_listed_as_omitted():
    facts = tuple(
        Fact(f"question {letter}", "present", is_label=True) for letter in "abcdefghijklmn"
    )
    report = write_facts("uk-covid", (Fact("sound", "cough", kind="acquisition"), *facts))
    assert report.omitted == ("question m", "question n")
    assert "question l present" in report.text
    assert "question m" not in report.text


@pytest.mark.parametrize(("words", "text"), [("a", "a"), ("ab", "a and b"), ("abc", "a, b and c")])
def test_a_series_has_one_and(words, text):
    assert series(list(words)) == text


@pytest.mark.skipif(not (REAL / "sprsound-2022").is_dir(), reason="no SPRSound here")
def test_templates_of_real_recordings_pass_the_verifier():
    for corpus in ("circor", "sprsound"):
        rows = read_corpus(corpus, REAL)[::90]
        for row, report in zip(rows, texts_for(rows, "template"), strict=True):
            assert verify(report.text, facts_of(row)).passed(), report.text
