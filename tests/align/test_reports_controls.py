"""Control texts: what each source says of a row, and what a report file may hold."""

import csv
import json
import logging

import pytest
from rows import row

from align.reports import SOURCES, Report, ReportError, texts_for
from align.reports.controls import common_words, patient_id, read_reports
from align.reports.lexicon import terms

BOY = {"Age": "Child", "Sex": "Male", "Height": "98.0", "Patient ID": "77", "Campaign": "CC2014"}
HEARD = {"Murmur": "Present", "Murmur locations": "AV", "Systolic murmur timing": "Mid-systolic"}
CHILD = row("9_AV", metadata=BOY | HEARD, labels={"murmur": True})
LUNG = row(
    "b",
    corpus="sprsound",
    site="left posterior",
    metadata={"age": "4", "sex": "female", "quality": "Normal"},
    labels={"wheeze": False, "crackle": False},
)


def text(of, source, labels="include", **options):
    (report,) = texts_for([of], source, labels, **options)
    return report.text


def test_metadata_is_one_line_per_known_key():
    assert text(CHILD, "metadata").splitlines() == [
        "Age: Child",
        "Sex: Male",
        "Height: 98",
        "Murmur: Present",
        "Murmur locations: AV",
        "Systolic murmur timing: Mid-systolic",
        "site: AV",
        "device: stethoscope",
        "murmur: True",
    ]


def test_metadata_without_labels_keeps_person_and_recording():
    assert text(CHILD, "metadata", "exclude").splitlines() == [
        "Age: Child",
        "Sex: Male",
        "Height: 98",
        "site: AV",
        "device: stethoscope",
    ]


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (
            row("9_AV", metadata=BOY | {"Murmur": "Absent"}),
            "Heart sound recording. No murmur is heard.",
        ),
        (
            LUNG,
            "Lung sound recording. No wheeze and no crackles are heard; the breath sounds are "
            "normal.",
        ),
    ],
)
def test_findings_are_told_without_person_site_or_device(of, said):
    assert text(of, "findings") == said


def test_findings_without_labels_are_nothing_but_the_sound():
    assert text(CHILD, "findings", "exclude") == "Heart sound recording."


@pytest.mark.parametrize("source", [source for source in SOURCES if source != "file"])
def test_every_report_carries_its_source(source):
    (report,) = texts_for([CHILD], source)
    assert report.source == source


def test_random_words_know_the_corpus_and_the_name_only():
    same = row("9_AV", site="MV", patient="other", split="test", metadata={"Sex": "Female"})
    assert text(same, "random") == text(CHILD, "random")
    assert text(row("9_AV", corpus="icbhi"), "random") != text(CHILD, "random")
    assert text(row("8_AV"), "random") != text(CHILD, "random")


def test_random_words_repeat_with_their_seed():
    assert text(CHILD, "random", seed=3) == text(CHILD, "random", seed=3)
    assert text(CHILD, "random", seed=3) != text(CHILD, "random", seed=4)


def test_set_name_text_is_the_corpus():
    assert text(LUNG, "set-name") == "sprsound"


def test_random_words_are_not_medical():
    said = " ".join(common_words())
    named = {match.group() for term in terms() for match in term.pattern.finditer(said)}
    assert not named - {"quiet", "soft"}  # an intensity in a murmur's report, a word elsewhere


def test_random_lengths_do_not_depend_on_the_label():
    lengths = [len(text(row(f"{i}_AV"), "random").split()) for i in range(300)]
    assert (min(lengths), max(lengths)) == (10, 40)


def test_a_visit_has_its_own_id_and_else_the_name_tells_it():
    assert patient_id(CHILD) == "77"
    assert patient_id(row("9_AV")) == "9"


def write_csv(path, *reports):
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["Patient_ID", "Meta_Report", "Gen_Report"])
        writer.writerows([patient, "m", report] for patient, report in reports)
    return path


def write_jsonl(path, *lines, labels="include"):
    common = {"corpus": "circor", "labels": labels, "source": "llm"}
    path.write_text("".join(json.dumps(common | line) + "\n" for line in lines))
    return path


def test_csv_texts_are_of_circor_only_and_keep_commas_and_lines(tmp_path):
    path = write_csv(tmp_path / "r.csv", ("77", 'A "soft", low\nmurmur.'), ("b", "of no lung"))
    told, lung = texts_for([CHILD, LUNG], "file", file=path)
    assert (told.text, told.source) == ('A "soft", low\nmurmur.', "file")
    assert lung.source == "template"


def test_jsonl_reports_come_back_whole_by_corpus_and_name(tmp_path):
    line = {"name": "9_AV", "text": "Né.", "model": "m", "seed": 4, "omitted": ["height"]}
    path = write_jsonl(tmp_path / "r.jsonl", line)
    (report,) = texts_for([CHILD], "file", file=path)
    assert (report.text, report.source, report.model, report.seed) == ("Né.", "llm", "m", 4)
    assert report.omitted == ("height",)


def test_rows_without_a_report_get_the_template_and_are_counted(tmp_path, caplog):
    path = write_jsonl(tmp_path / "r.jsonl", {"name": "9_AV", "text": "  "})
    with caplog.at_level(logging.WARNING):
        reports = texts_for([CHILD, LUNG], "file", file=path)
    assert reports == texts_for([CHILD, LUNG], "template")
    assert f"2 of 2 rows have no report in {path}" in caplog.text


def test_nothing_is_logged_when_every_row_has_its_report(tmp_path, caplog):
    path = write_jsonl(tmp_path / "r.jsonl", {"name": "9_AV", "text": "A murmur."})
    with caplog.at_level(logging.WARNING):
        texts_for([CHILD], "file", file=path)
    assert caplog.text == ""


def test_a_jsonl_file_written_without_labels_serves_both_modes(tmp_path):
    path = write_jsonl(tmp_path / "r.jsonl", {"name": "9_AV", "text": "A."}, labels="exclude")
    assert text(CHILD, "file", "exclude", file=path) == text(CHILD, "file", file=path) == "A."


def test_one_line_with_labels_closes_a_jsonl_file_to_texts_without(tmp_path):
    path = write_jsonl(tmp_path / "r.jsonl", {"name": "1", "text": "A."}, labels="exclude")
    stating = write_jsonl(tmp_path / "s.jsonl", {"name": "2", "text": "B."})
    path.write_text(path.read_text() + stating.read_text())
    with pytest.raises(ReportError, match=r"r\.jsonl line 2 states labels"):
        texts_for([CHILD], "file", "exclude", file=path)


def test_a_text_with_a_line_separator_stays_one_line(tmp_path):
    path = tmp_path / "r.jsonl"
    values = {"corpus": "c", "name": "n", "labels": "include", "text": "a\u2028b", "source": "llm"}
    path.write_text(json.dumps(values, ensure_ascii=False) + "\n", encoding="utf-8")
    ((_, report),) = read_reports(path, "include")
    assert report.text == "a\u2028b"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", "line 2 is no report"),
        ("[]", "line 2 is no report"),
        ("", "line 2 is no report"),
        (
            '{"corpus": ["c"], "name": "n", "labels": "include", "text": "t", "source": "s"}',
            "no re",
        ),
        ('{"corpus": "c", "name": "n", "labels": "both", "text": "t", "source": "s"}', "no report"),
        ('{"corpus": "c", "name": "n", "labels": "include", "text": 3, "source": "s"}', "strings"),
        ('{"corpus": "c", "name": "n", "labels": "include", "text": "t"}', "does not fit"),
        (
            '{"corpus": "c", "name": "n", "labels": "include", "text": "t", "source": "s", '
            '"omitted": null}',
            "does not fit",
        ),
    ],
)
def test_a_line_that_is_no_report_is_one_sentence(tmp_path, line, message):
    path = write_jsonl(tmp_path / "r.jsonl", {"name": "9_AV", "text": "A."})
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ReportError, match=message):
        texts_for([CHILD], "file", file=path)


def test_a_file_source_without_a_file_says_so():
    with pytest.raises(ReportError, match="needs the path"):
        texts_for([CHILD], "file")


def test_a_csv_without_the_columns_names_them(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("Patient_ID,Gen_Report\n77,A murmur.\n")
    with pytest.raises(ReportError, match=r"r\.csv has not the columns .*Meta_Report"):
        texts_for([CHILD], "file", file=path)


def test_a_csv_field_beyond_any_report_is_one_sentence(tmp_path):
    path = write_csv(tmp_path / "r.csv", ("77", "long " * 40_000))
    with pytest.raises(ReportError, match="cannot read the reports"):
        texts_for([CHILD], "file", file=path)


def test_a_csv_row_that_was_cut_off_counts_as_no_report(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("Patient_ID,Meta_Report,Gen_Report\n77,m\n")
    assert texts_for([CHILD], "file", file=path)[0].source == "template"


def test_reports_of_a_csv_go_by_visit_and_the_rest_falls_back_and_is_counted(tmp_path, caplog):
    path = write_csv(tmp_path / "reports.csv", ("77", "A murmur, here."), ("7", ""))
    rows = [CHILD, row("7_AV", metadata={"Patient ID": "7"}), LUNG]
    with caplog.at_level(logging.WARNING):
        reports = texts_for(rows, "file", file=path)
    assert [report.source for report in reports] == ["file", "template", "template"]
    assert reports[0].text == "A murmur, here."
    assert "2 of 3 rows" in caplog.text


def test_a_csv_states_labels_and_is_refused_where_they_are_excluded(tmp_path):
    path = write_csv(tmp_path / "reports.csv", ("1", "t"))
    with pytest.raises(ReportError, match="states labels"):
        texts_for([CHILD], "file", "exclude", path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read"), (b"a,b\n1,2\n", "columns"), (b"\xff\xfe\x00", "cannot read")],
)
def test_an_unusable_csv_is_one_sentence(tmp_path, content, message):
    path = tmp_path / "reports.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ReportError, match=message):
        texts_for([CHILD], "file", file=path)


def test_a_damaged_first_line_is_named(tmp_path):
    path = tmp_path / "reports.jsonl"
    path.write_text('{"corpus": "circor"}\n')
    with pytest.raises(ReportError, match="line 1"):
        texts_for([CHILD], "file", file=path)


def test_an_unknown_source_is_named():
    with pytest.raises(ReportError, match="metadta"):
        texts_for([], "metadta")


def test_a_report_survives_json():
    report = Report("é", "llm", "ab", "m", "r", 3, {"age": "stated"}, ("sex",))
    assert Report.from_json(report.to_json()) == report
    with pytest.raises(ReportError, match="does not fit"):
        Report.from_json('{"text": "a", "sourc": "llm"}')
