"""Facts and texts of every corpus: what they may say, and that labels can stay out of them."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_layouts import WRITERS, write_layouts

from align.corpora import read_corpus
from align.corpora.recording import Interval, Recording
from align.reports import facts_of, texts_for
from align.reports.roles import UNKNOWN
from align.reports.verify import verify

# What a person or a recording is, whatever was found; written down here and not imported.
HARMLESS = {
    *("age", "age_group", "height", "weight", "bmi", "pregnancy_status", "sound", "filter"),
    *("posture", "sex", "quality"),
}
GIVES_AWAY = {"coswara": {"sex"}, "coughvid": {"sex"}, "sprsound": {"quality"}}
DEVICE_GIVES_AWAY = ("physionet2016", "icbhi")


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
    return replace(row, **changes)


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


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_layouts(root)
    return {corpus: read_corpus(corpus, root) for corpus in WRITERS}


def flipped(value, source):
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else f"other {source.random()}"


def with_other_findings(row, source, *, told):
    """The same person and recording, with every finding changed, or (not `told`) forgotten."""
    metadata = {}
    for key, value in row.metadata.items():
        plain = key.lower().replace(" ", "_")
        if plain in HARMLESS - GIVES_AWAY.get(row.corpus, set()):
            metadata[key] = value
        elif told:
            metadata[key] = f"other {source.random()}"
    changed = {key: flipped(value, source) for key, value in row.labels.items()}
    return replace(
        row,
        labels=changed if told else {},
        metadata=metadata | ({"new column": "cough with blood"} if told else {}),
        intervals=(Interval(0.0, 0.1, "Stridor"),) if told else (),
        device="another device" if row.corpus in DEVICE_GIVES_AWAY else row.device,
    )


@pytest.mark.parametrize("corpus", WRITERS)
@pytest.mark.parametrize("source", ["template", "findings", "metadata"])
@pytest.mark.parametrize("told", [True, False], ids=["flipped", "forgotten"])
def test_texts_without_labels_see_no_finding_of_any_row(rows, corpus, source, told):
    chance = random.Random(0)
    others = [with_other_findings(row, chance, told=told) for row in rows[corpus]]
    assert texts_for(others, source, "exclude") == texts_for(rows[corpus], source, "exclude")


@pytest.mark.parametrize("corpus", WRITERS)
def test_the_flip_itself_shows_where_labels_are_told(rows, corpus):
    chance = random.Random(0)
    others = [with_other_findings(row, chance, told=True) for row in rows[corpus]]
    for row, other in zip(rows[corpus], others, strict=True):
        if row.labels or row.corpus == "sprsound":
            assert facts_of(row) != facts_of(other)


@pytest.mark.parametrize("corpus", WRITERS)
def test_no_fact_is_empty_unknown_or_twice_there(rows, corpus):
    for row in rows[corpus]:
        facts = facts_of(row)
        assert not [fact for fact in facts if fact.value.lower() in UNKNOWN]
        assert len({(fact.field, fact.value) for fact in facts}) == len(facts)


@pytest.mark.parametrize("corpus", WRITERS)
def test_identifiers_are_never_facts(rows, corpus):
    for row in rows[corpus]:
        values = {fact.value for fact in facts_of(row) if fact.field != "age"}
        assert not values & {row.name, row.patient}


@pytest.mark.parametrize("unknown", sorted(UNKNOWN))
def test_every_way_to_say_unknown_gives_no_fact(rows, unknown):
    row = rows["circor"][0]
    blank = replace(row, device=unknown, metadata=dict.fromkeys(row.metadata, unknown.upper()))
    assert [fact.field for fact in facts_of(blank)] == ["sound", "site"]


def circor(site, murmur, places, **metadata):
    table = {"Murmur": murmur, "Murmur locations": places, "Systolic murmur timing": "Holosystolic"}
    return Recording("circor", "1", "1.wav", "1", "d", site, "train", {}, (), table | metadata)


@pytest.mark.parametrize(
    ("site", "murmur", "places", "expected"),
    [
        ("AV", "Absent", "nan", ["absent"]),
        ("AV", "Present", "AV", ["present", "AV", "holosystolic"]),
        ("AV", "Present", "PV+AV", ["present", "PV", "AV", "holosystolic"]),
        ("AV", "Present", "PV+MV", ["elsewhere", "PV", "MV"]),
        ("AV", "Unknown", "AV", []),
        ("AV", "Present", "nan", []),
        ("AV", "nan", "AV", []),
    ],
)
def test_a_circor_murmur_is_a_fact_of_the_site(site, murmur, places, expected):
    findings = [fact for fact in facts_of(circor(site, murmur, places)) if fact.is_label]
    assert [fact.value for fact in findings] == expected


def test_the_outcome_stands_alone_where_the_murmur_is_unknown():
    facts = facts_of(circor("AV", "Unknown", "nan", Outcome="Abnormal"))
    assert [(f.field, f.value) for f in facts if f.is_label] == [("outcome", "abnormal")]


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
