"""Facts and `exclude` texts of every corpus, read by its adapter from its published layout."""

import random
from dataclasses import replace

import pytest
from tiny_layouts import WRITERS, write_layouts

from align.corpora import read_corpus
from align.corpora.recording import Interval, Recording
from align.reports import facts_of, texts_for
from align.reports.roles import UNKNOWN

# What a person or a recording is, whatever was found; written down here and not imported.
HARMLESS = {
    *("age", "age_group", "height", "weight", "bmi", "pregnancy_status", "sound", "filter"),
    *("posture", "sex", "quality"),
}
GIVES_AWAY = {"coswara": {"sex"}, "coughvid": {"sex"}, "sprsound": {"quality"}}
DEVICE_GIVES_AWAY = ("physionet2016", "icbhi")


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
