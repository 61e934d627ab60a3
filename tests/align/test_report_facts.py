"""Facts, templates and control texts: what a text may say, and that labels can stay out of it."""

import dataclasses
import logging
from pathlib import Path

import pytest

from align.corpora.recording import Interval, Recording
from align.reports import Report, ReportError, facts_of, texts_for
from align.reports.verify import verify

CIRCOR = {
    "Patient ID": "14241",
    "Locations": "AV+MV",
    "Age": "Child",
    "Sex": "Female",
    "Height": "87.0",
    "Weight": "11.2",
    "Pregnancy status": "False",
    "Murmur": "Present",
    "Murmur locations": "AV+MV",
    "Most audible location": "MV",
    "Systolic murmur timing": "Holosystolic",
    "Systolic murmur shape": "Plateau",
    "Systolic murmur grading": "II/VI",
    "Systolic murmur pitch": "Low",
    "Systolic murmur quality": "Harsh",
    "Diastolic murmur timing": "nan",
    "Outcome": "Abnormal",
    "Campaign": "CC2015",
}
ILL = {  # corpus -> (labels, site, device, metadata) with every finding there
    "circor": ({"murmur": True, "outcome_abnormal": True}, "MV", "littmann-3200", CIRCOR),
    "physionet2016": (
        {"abnormal": True},
        "heart",
        "audioscope",
        {"database": "c", "quality": "good"},
    ),
    "sprsound": (
        {"wheeze": True, "crackle": True},
        "left posterior",
        "yunting-model-ii",
        {"age": "8.4", "sex": "female", "quality": "CAS & DAS"},
    ),
    "icbhi": (
        {"wheeze": True, "crackle": True, "diagnosis": "COPD"},
        "Al",
        "akg-c417l",
        {"age": "70", "sex": "female", "bmi": "28.47", "acquisition_mode": "multichannel"},
    ),
    "kauh": (
        {"wheeze": True, "crackle": True, "diagnosis": "asthma"},
        "posterior right lower",
        "littmann-3200",
        {"age": "59", "sex": "male", "filter": "bell", "sound_type": "expiratory wheezes"},
    ),
    "bmd-hs": (
        {"as": True, "ar": True, "mr": True, "ms": True, "abnormal": True},
        "mitral",
        "unknown",
        {"age_group": "31-40", "sex": "male", "smoker": "yes", "posture": "supine"},
    ),
    "zchsound": (
        {"diagnosis": "vsd", "abnormal": True},
        "heart",
        "unknown",
        {"age": "0.52", "sex": "female", "quality": "noisy"},
    ),
    "coswara": (
        {"covid": True, "smoker": True, "sex": "male"},
        "mouth",
        "participant's phone or computer",
        {"sound": "cough-heavy", "age": "28", "sex": "male", "smoker": "yes", "fever": "yes"},
    ),
    "coughvid": (
        {"covid": True, "sex": "male"},
        "mouth",
        "participant's phone or computer",
        {"sound": "cough", "age": "28", "sex": "male", "status": "COVID-19", "wheezing_1": "yes"},
    ),
    "uk-covid": (
        {"covid": True},
        "mouth",
        "participant's phone or computer",
        {"sound": "exhalation", "age_group": "18-44", "recruitment_source": "clinic"},
    ),
    "respiratory-tr": ({"copd_severity": 4}, "left 1", "littmann-3200", {}),
    "mmlung": ({"fvc": 3.4, "fev1": 2.8, "fev1_fvc": 0.82}, "mouth", "phone", {"sound": "vowel"}),
    "nosemic": ({"breathing_rate": 31.0}, "nose", "nose microphone", {"sound": "nose-breathing"}),
    "covid19-cough": ({}, "mouth", "telegram", {"sound": "cough", "asymptomatic": "false"}),
}
WELL = {  # what changes in each corpus when every label is flipped
    "circor": ({"murmur": False, "outcome_abnormal": False}, {"Murmur": "Absent"}),
    "physionet2016": ({"abnormal": False}, {"database": "b"}),
    "sprsound": ({"wheeze": False, "crackle": False}, {"quality": "Normal"}),
    "icbhi": (
        {"wheeze": False, "crackle": False, "diagnosis": "Healthy"},
        {"acquisition_mode": "single channel"},
    ),
    "kauh": (
        {"wheeze": False, "crackle": False, "diagnosis": "normal"},
        {"sound_type": "normal"},
    ),
    "bmd-hs": (
        {"as": False, "ar": False, "mr": False, "ms": False, "abnormal": False},
        {"smoker": "no"},
    ),
    "zchsound": ({"diagnosis": "normal", "abnormal": False}, {}),
    "coswara": (
        {"covid": False, "smoker": False, "sex": "female"},
        {"sex": "female", "smoker": "no", "fever": "no"},
    ),
    "coughvid": (
        {"covid": False, "sex": "female"},
        {"sex": "female", "status": "healthy", "wheezing_1": "no"},
    ),
    "uk-covid": ({"covid": False}, {"recruitment_source": "survey"}),
    "respiratory-tr": ({"copd_severity": 0}, {}),
    "mmlung": ({"fvc": 2.0, "fev1": 1.0, "fev1_fvc": 0.5}, {}),
    "nosemic": ({"breathing_rate": 12.0}, {}),
    "covid19-cough": ({}, {"asymptomatic": "true"}),
}
CIRCOR_MURMUR = [key for key in CIRCOR if "urmur" in key or key == "Most audible location"]


def ill(corpus, /, **changes):
    labels, site, device, metadata = ILL[corpus]
    events = ("Wheeze", "Fine Crackle") if corpus == "sprsound" else ()
    row = Recording(
        corpus=corpus,
        name="14241_MV",
        path=Path("a.wav"),
        patient="14241",
        device=device,
        site=site,
        split="train",
        labels=labels,
        intervals=tuple(Interval(0.0, 1.0, event) for event in events),
        metadata=metadata,
    )
    return dataclasses.replace(row, **changes)


def well(corpus):
    labels, changes = WELL[corpus]
    metadata = ILL[corpus][3] | changes
    if corpus == "circor":
        metadata = {**metadata, **dict.fromkeys(CIRCOR_MURMUR, "nan"), "Murmur": "Absent"}
        metadata["Outcome"] = "Normal"
    device = {"physionet2016": "littmann-e4000", "icbhi": "welch-allyn-meditron"}
    return ill(
        corpus,
        labels=labels,
        metadata=metadata,
        intervals=(),
        device=device.get(corpus, ILL[corpus][2]),
    )


@pytest.mark.parametrize("corpus", ILL)
@pytest.mark.parametrize("source", ["template", "metadata"])
def test_without_labels_the_text_is_the_same_when_every_label_is_flipped(corpus, source):
    rows = [ill(corpus), well(corpus)]
    first, second = texts_for(rows, source, "exclude")
    assert first == second
    told, otherwise = texts_for(rows, source, "include")
    if (corpus, source) != ("covid19-cough", "metadata"):
        assert told != otherwise


@pytest.mark.parametrize("corpus", ILL)
@pytest.mark.parametrize("labels", ["include", "exclude"])
@pytest.mark.parametrize("state", [ill, well])
def test_every_template_passes_the_verifier_and_omits_nothing(corpus, labels, state):
    row = state(corpus)
    (report,) = texts_for([row], "template", labels)
    assert verify(report.text, facts_of(row, labels)).passed()
    assert report.omitted == ()
    assert 1 <= report.text.count(". ") + 1 <= 4


def test_circor_murmur_is_told_as_heard_at_this_site():
    here = texts_for([ill("circor")], "template")[0].text
    assert "low-pitched harsh holosystolic murmur of plateau shape is audible at this site" in here
    assert "where the murmur is loudest, also heard at the aortic valve area" in here
    there = texts_for([ill("circor", site="PV", labels={})], "template")[0].text
    assert "No murmur is audible at this site; a murmur is heard at the" in there
    assert "harsh" not in there


def test_unknown_values_are_no_facts():
    blank = dict.fromkeys(CIRCOR, "nan") | {"Murmur": "Unknown", "Sex": "", "Age": "NA"}
    row = ill("circor", labels={}, metadata=blank)
    assert [fact.field for fact in facts_of(row)] == ["sound", "site", "device"]
    assert "nknown" not in texts_for([row], "template")[0].text


def test_a_column_that_nobody_vouched_for_counts_as_a_label():
    row = ill("kauh", corpus="new-corpus", metadata={"age": "59", "smoking_years": "30"})
    told = {fact.field: fact.is_label for fact in facts_of(row)}
    assert told["smoking years"]
    assert not told["age"]


def test_a_poor_sprsound_recording_is_told_only_with_labels():
    row = ill("sprsound", labels={}, intervals=(), metadata={"quality": "Poor Quality"})
    assert "quality is poor" in texts_for([row], "template", "include")[0].text
    assert "quality" not in texts_for([row], "template", "exclude")[0].text


def test_random_text_depends_on_name_and_seed_and_on_nothing_else():
    first, again = (
        texts_for([row], "random", seed=3)[0].text for row in (ill("kauh"), well("kauh"))
    )
    other_seed = texts_for([ill("kauh")], "random", seed=4)[0].text
    other_name = texts_for([ill("kauh", name="b")], "random", seed=3)[0].text
    assert first == again
    assert len({first, other_seed, other_name}) == 3
    assert 10 <= len(first.split()) <= 40


def test_set_name_text_is_the_corpus():
    assert texts_for([ill("icbhi")], "set-name")[0].text == "icbhi"


def test_reports_of_a_csv_go_by_visit_and_the_rest_falls_back_and_is_counted(tmp_path, caplog):
    path = tmp_path / "reports.csv"
    path.write_text('Patient_ID,Meta_Report,Gen_Report\n14241,m,"A murmur, here."\n7,m,\n')
    rows = [
        ill("circor"),
        ill("circor", name="7_AV", metadata={"Patient ID": "7"}),
        ill("sprsound"),
    ]
    with caplog.at_level(logging.WARNING):
        reports = texts_for(rows, "file", file=path)
    assert [report.source for report in reports] == ["file", "template", "template"]
    assert reports[0].text == "A murmur, here."
    assert "2 of 3 rows" in caplog.text


def test_a_file_that_states_labels_is_refused_where_labels_are_excluded(tmp_path):
    path = tmp_path / "reports.csv"
    path.write_text("Patient_ID,Meta_Report,Gen_Report\n1,m,t\n")
    with pytest.raises(ReportError, match="states labels"):
        texts_for([ill("circor")], "file", "exclude", path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read"), ("a,b\n1,2\n", "columns"), (b"\xff\xfe\x00", "cannot read")],
)
def test_an_unusable_csv_is_one_sentence(tmp_path, content, message):
    path = tmp_path / "reports.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ReportError, match=message):
        texts_for([ill("circor")], "file", file=path)


def test_a_damaged_jsonl_line_is_named(tmp_path):
    path = tmp_path / "reports.jsonl"
    path.write_text('{"corpus": "circor"}\n')
    with pytest.raises(ReportError, match="line 1"):
        texts_for([ill("circor")], "file", file=path)


def test_an_unknown_source_is_named():
    with pytest.raises(ReportError, match="metadta"):
        texts_for([], "metadta")


def test_a_report_survives_json():
    report = Report("é", "llm", "ab", "m", "r", 3, {"age": "stated"}, ("sex",))
    assert Report.from_json(report.to_json()) == report
    with pytest.raises(ReportError, match="does not fit"):
        Report.from_json('{"text": "a", "sourc": "llm"}')
