"""More hand-labelled sentences for the verifier: inventions, contractions, words for numbers."""

import pytest

from align.reports import Fact
from align.reports.verify import verify

UNITS = {"age": "years", "height": "cm", "weight": "kg"}


def facts(**fields):
    return tuple(
        Fact(field.replace("_", " "), value, UNITS.get(field, ""))
        for field, value in fields.items()
    )


def faults(text, given):
    """Unstated fields with their status, and concepts made up."""
    verdict = verify(text, given)
    made_up = (*verdict.hallucinated, *verdict.inferences, *verdict.advice)
    wrong = {field: status for field, status in verdict.fields.items() if status != "stated"}
    return wrong, {claim.split(":")[0] for claim in made_up}


@pytest.mark.parametrize(
    "text",
    [
        "Auscultation did not reveal a murmur.",
        "Auscultation failed to reveal any murmur.",
        "Auscultation didn't reveal a murmur.",
        "Auscultation reveals no murmurs.",
        "I could not hear a murmur.",
        "A murmur wasn't heard.",
        "A murmur wasn’t heard.",
        "There isn't a murmur.",
        "The murmur is no longer audible.",
        "Not a single murmur was audible.",
        "Murmur: no.",
        "Murmurs: nil",
        "Nil murmur.",
        "Zero murmurs.",
        "Murmur-free recording.",
        "No systolic or diastolic murmur.",
        "The sounds are not suggestive of a murmur.",
    ],
)
def test_a_denied_murmur_is_absent_and_contradicts_a_present_one(text):
    assert faults(text, facts(murmur="absent")) == ({}, set())
    assert faults(text, facts(murmur="present"))[0] == {"murmur": "contradicted"}


@pytest.mark.parametrize(
    "text",
    [
        "The examination reveals a murmur.",
        "Both recordings reveal a murmur.",
        "A murmur, not loud, is heard.",
        "A murmur isn't absent.",
        "There is no doubt that a murmur is heard.",
        "A patient without complaints has a murmur.",
    ],
)
def test_a_denial_that_is_of_something_else_leaves_the_murmur(text):
    assert faults(text, facts(murmur="present"))[0] == {}
    assert faults(text, facts(murmur="absent"))[0] == {"murmur": "contradicted"}


@pytest.mark.parametrize("text", ["A murmur was noted.", "No murmur was noted."])
def test_any_word_on_a_murmur_that_the_record_does_not_know_is_made_up(text):
    wrong, made_up = faults(text, facts(outcome="abnormal"))
    assert wrong == {"outcome": "omitted"}
    assert made_up == {f"murmur {'absent' if 'No' in text else 'present'}"}


BOY = facts(murmur="absent", sex="male", device="yunting-model-ii", site="left posterior chest")


@pytest.mark.parametrize(
    ("text", "wrong", "made_up"),
    [
        ("No murmur in this boy, left posterior chest, Yunting.", {}, set()),
        ("No murmur in this girl, left posterior chest, Yunting.", {"sex": "contradicted"}, set()),
        ("No murmur, boy, left posterior chest, Littmann.", {"device": "contradicted"}, set()),
        ("No murmur, boy, right posterior chest, Yunting.", {"site": "contradicted"}, set()),
        ("A patient who is not male, left posterior chest, Yunting; no murmur.",
         {"sex": "contradicted"}, set()),
    ],
)  # fmt: skip
def test_a_denied_finding_does_not_deny_who_was_recorded_where_with_what(text, wrong, made_up):
    assert faults(text, BOY) == (wrong, made_up)


@pytest.mark.parametrize(
    ("text", "made_up"),
    [
        ("No murmur, recorded at the trachea.", {"chest site"}),
        ("No murmur, recorded with a Littmann.", {"device"}),
        ("No murmur, recorded at the mitral valve area.", {"location"}),
        ("No murmur. Recorded over the left sternal border.", {"other place"}),
        ("No murmur in a 4-year-old.", {"age"}),
        ("No murmur in a seventy-two-year-old.", {"age"}),
        ("No murmur in a toddler.", {"age group"}),
        ("No murmur at 72 beats per minute.", {"number"}),
        ("No murmur in a patient of 1.1 m.", {"height"}),
        ("No murmur of grade II/VI.", {"grading"}),
        ("No murmur; influenza.", {"influenza present"}),
        ("No murmur; the patient is diabetic.", {"diabetes present"}),
        ("No murmur and a click.", {"click"}),
        ("No murmur; S1 and S2 are crisp.", {"S1/S2"}),
        ("No murmur, which suggests good cardiac function.", {"function"}),
        ("No murmur; follow-up in a year.", {"advice"}),
        ("No murmur and no wheeze.", {"wheeze absent"}),
    ],
)
def test_what_no_fact_records_is_made_up(text, made_up):
    assert faults(text, facts(murmur="absent")) == ({}, made_up)


@pytest.mark.parametrize(
    ("field", "value", "right", "wrong"),
    [
        ("height", "110", ["110 cm", "1.1 m", "1.10 metres", "1100 mm", "43.3 inches", "110.0cm"],
         ["111 cm", "1.11 m", "110 mm", "11 m", "44.3 inches"]),
        ("weight", "19.1", ["19.1 kg", "19 kg", "19100 g", "42.1 lb"], ["18 kg", "19 g"]),
        ("age", "8.4", ["8-year-old", "8.4 years old", "aged 8", "eight years old",
                        "101 months old"],
         ["9-year-old", "8.5 years old", "aged 84", "eighty-four years old", "8 months old"]),
        ("age", "72", ["seventy-two-year-old", "Seventy two years old", "aged 72"],
         ["two-year-old", "seventy-year-old", "27-year-old"]),
        ("systolic grading", "II/VI", ["grade 2/6", "grade II/VI", "grade ii of vi", "grade 2"],
         ["grade 3/6", "grade II/IV", "grade 2/4", "grade VI"]),
    ],
)  # fmt: skip
def test_a_quantity_is_right_in_every_unit_and_wrong_in_every_unit(field, value, right, wrong):
    given = (Fact(field, value),)
    for words in right:
        assert verify(f"Recording, {words}.", given).fields == {field: "stated"}, words
    for words in wrong:
        assert verify(f"Recording, {words}.", given).fields == {field: "contradicted"}, words


@pytest.mark.parametrize(
    ("field", "value", "right", "wrong"),
    [
        ("murmur location", "AV", ["aortic valve area", "aortic area", "AV"], []),
        ("systolic timing", "holosystolic", ["pansystolic", "holo-systolic"], ["mid-systolic"]),
        ("systolic shape", "diamond", ["crescendo-decrescendo"], ["crescendo", "plateau"]),
        ("sex", "female", ["girl", "woman", "she"], ["boy", "his", "gentleman"]),
        ("age group", "child", ["child"], ["adult", "elderly", "newborn"]),
        (
            "covid",
            "present",
            ["SARS-CoV-2", "COVID-19 positive"],
            ["COVID-19 negative", "no COVID"],
        ),
        ("diagnosis", "copd", ["chronic obstructive pulmonary disease"], ["asthma", "healthy"]),
        ("device", "littmann-3200", ["Littmann"], ["Meditron", "smartphone"]),
    ],
)
def test_synonyms_state_a_fact_and_other_values_contradict_it(field, value, right, wrong):
    given = (Fact(field, value),)
    for words in right:
        assert verify(f"Recording, {words}.", given).fields == {field: "stated"}, words
    for words in wrong:
        assert verify(f"Recording, {words}.", given).fields == {field: "contradicted"}, words


def test_a_second_diagnosis_contradicts_and_a_denied_one_is_made_up():
    copd = facts(diagnosis="copd")
    assert faults("COPD and asthma.", copd)[0] == {"diagnosis": "contradicted"}
    assert faults("A patient without asthma has COPD.", copd) == ({}, {"asthma absent"})


@pytest.mark.parametrize("text", ["", "   ", "...", "½ \U0001f600 Ω", "no " * 500])
def test_a_text_that_says_nothing_omits_everything_and_makes_nothing_up(text):
    assert faults(text, facts(murmur="absent", age="4")) == (
        {"murmur": "omitted", "age": "omitted"},
        set(),
    )


def test_a_verdict_as_a_mapping_holds_all_that_was_made_up():
    verdict = verify("A murmur, a gallop and pathology; follow-up.", facts(murmur="present"))
    assert verdict.as_mapping() == {
        "murmur": "stated",
        "hallucinated": "gallop: gallop, pathology: pathology, advice: follow-up",
    }
    assert not verdict.passed()
