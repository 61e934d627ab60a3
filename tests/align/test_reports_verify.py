"""The verifier on hand-labelled sentences: what each states, omits, contradicts and makes up."""

import pytest

from align.reports import Fact
from align.reports.negation import is_denied
from align.reports.quantities import quantities
from align.reports.verify import verify


def facts(**fields):
    """Facts by field (`_` for a space); a list repeats the field."""
    units = {"age": "years", "height": "cm", "weight": "kg"}
    return tuple(
        Fact(field.replace("_", " "), value, units.get(field, ""))
        for field, values in fields.items()
        for value in (values if isinstance(values, list) else [values])
    )


ABSENT = facts(murmur="absent")
PRESENT = facts(murmur="present")
LUNG = facts(wheeze="absent", crackle="present")
DESCRIBED = facts(
    murmur="present",
    murmur_location=["AV", "MV"],
    most_audible_location="MV",
    systolic_timing="holosystolic",
    systolic_shape="plateau",
    systolic_grading="II/VI",
    systolic_pitch="low",
    systolic_quality="blowing",
)
TWO_MURMURS = facts(
    murmur="present",
    systolic_timing="holosystolic",
    systolic_shape="diamond",
    systolic_grading="III/VI",
    systolic_quality="harsh",
    diastolic_timing="early-diastolic",
    diastolic_shape="decrescendo",
    diastolic_grading="I/IV",
    diastolic_quality="blowing",
)
CHILD = facts(age="8.4", sex="female", height="110", weight="19.1", device="littmann-3200")


def verdict(text, given):
    """Fields that are not stated, with their status, and the concepts that were made up."""
    result = verify(text, given)
    made_up = (*result.hallucinated, *result.inferences, *result.advice)
    faults = {field: status for field, status in result.fields.items() if status != "stated"}
    return faults, {claim.split(":")[0] for claim in made_up}


@pytest.mark.parametrize(
    "text",
    [
        "No murmur.",
        "No heart murmurs were detected.",
        "There is no evidence of a murmur.",
        "Absence of a murmur on auscultation.",
        "Auscultation was performed without evidence of any murmur.",
        "Murmur: absent.",
        "A murmur was not heard.",
        "Murmurs are not appreciated at any site.",
        "The murmur is absent.",
        "Absent murmur.",
        "The heart is free of murmurs.",
        "Neither murmur was heard.",
        "No obvious, audible murmur is present.",
        "A murmur is not present, and the sounds are clear.",
        "A cause not associated with audible murmurs.",
        "Murmur: None detected.",
        "The sounds lack a murmur, lacking murmurs of any kind.",
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
def test_every_way_to_say_that_there_is_no_murmur(text):
    assert verdict(text, ABSENT) == ({}, set())
    assert verdict(text, PRESENT)[0] == {"murmur": "contradicted"}


@pytest.mark.parametrize(
    "text",
    [
        "A murmur is present.",
        "The murmur is not absent.",
        "Despite a quiet room a murmur is heard.",
        "No doubt a murmur is heard.",
        "Not only a murmur is heard.",
        "No crackles are heard, but a murmur is audible.",
        "Nothing else is of note; a murmur is heard.",
        "No change in posture was made. A murmur was noted.",
        "A murmur cannot be ruled out.",
        "The examination reveals a murmur.",
        "Both recordings reveal a murmur.",
        "A murmur, not loud, is heard.",
        "A murmur isn't absent.",
        "There is no doubt that a murmur is heard.",
        "A patient without complaints has a murmur.",
    ],
)
def test_a_denial_of_something_else_leaves_the_murmur_standing(text):
    assert verdict(text, PRESENT)[0] == {}
    assert verdict(text, ABSENT)[0] == {"murmur": "contradicted"}


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("Crackles are heard without wheeze.", {}),
        ("No wheezes are heard, crackles are present.", {}),
        ("Crackles, but neither wheezes nor rhonchi.", {}),
        ("There are no wheezes; crackles were audible throughout.", {}),
        ("Wheezing was not detected and crackles were noted.", {}),
        ("Crackles are present with no wheeze.", {}),
        ("No wheezes or crackles.", {"crackle": "contradicted"}),
        ("No crackles, rhonchi, or wheezes.", {"crackle": "contradicted"}),
        ("Wheezes and crackles are heard.", {"wheeze": "contradicted"}),
        ("Crepitations are heard.", {"wheeze": "omitted"}),
        (
            "Wheezes are heard; crackles are absent.",
            dict.fromkeys(["wheeze", "crackle"], "contradicted"),
        ),
    ],
)
def test_denials_reach_over_lists_and_stop_at_verbs_and_contrasts(text, faults):
    assert verdict(text, LUNG)[0] == faults


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("Abnormal outcome despite the absence of a murmur.", "abnormal"),
        ("No murmur, but findings are abnormal.", "abnormal"),
        ("No murmur with normal heart sounds.", "normal"),
        ("No murmurs detected, normal cardiac auscultation.", "normal"),
        ("No murmur is heard and findings are abnormal.", "abnormal"),
        ("No murmur, and no abnormal heart sounds.", "normal"),
        ("No murmur; normal sounds without any detectable abnormalities.", "normal"),
        ("No murmur. The heart sounds are not normal.", "abnormal"),
        ("No murmur; the examination is unremarkable.", "normal"),
        ("No abnormal heart sounds or murmurs.", "normal"),
    ],
)
def test_normal_and_abnormal_are_read_beside_a_denied_murmur(text, outcome):
    other = {"normal": "abnormal", "abnormal": "normal"}[outcome]
    assert verdict(text, facts(murmur="absent", outcome=outcome)) == ({}, set())
    wrong = verdict(text, facts(murmur="absent", outcome=other))
    assert wrong[0] == {"outcome": "contradicted"}


FULL = (
    "A grade 2/6 low-pitched blowing pansystolic murmur of plateau shape is loudest at the mitral "
    "valve area and also heard at the aortic area."
)


def test_synonyms_and_grade_forms_state_every_descriptor():
    assert verdict(FULL, DESCRIBED) == ({}, set())


@pytest.mark.parametrize(
    ("said", "instead", "faults", "made_up"),
    [
        ("2/6", "III/VI", {"systolic grading": "contradicted"}, set()),
        ("2/6", "II", {}, set()),
        ("2/6", "2 out of 6", {}, set()),
        ("low-pitched", "high-pitched", {"systolic pitch": "contradicted"}, set()),
        ("blowing ", "", {"systolic quality": "omitted"}, set()),
        ("blowing", "harsh", {"systolic quality": "contradicted"}, set()),
        ("pansystolic", "systolic", {"systolic timing": "omitted"}, set()),
        ("pansystolic", "early diastolic", {"systolic timing": "contradicted"}, set()),
        ("plateau", "crescendo-decrescendo", {"systolic shape": "contradicted"}, set()),
        ("mitral valve area and also heard at the aortic area", "apex",
         {"murmur location": "omitted"}, set()),
        ("loudest at the mitral valve area and also heard at the aortic area",
         "loudest at the aortic area and also heard at the mitral valve area",
         {"most audible location": "contradicted"}, set()),
        ("aortic area", "aortic and tricuspid areas", {}, {"location"}),
        (" and also heard at", ", radiating to", {}, {"radiation"}),
        ("murmur of", "murmur with a gallop of", {}, {"gallop"}),
        ("area.", "area, suggesting mitral regurgitation.", {}, {"mitral regurgitation present"}),
        ("area.", "area, indicating underlying cardiac pathology.", {}, {"pathology"}),
        ("area.", "area. Echocardiography is recommended.", {}, {"advice"}),
        ("area.", "area in a boy of 12 kg.", {}, {"sex", "weight"}),
    ],
)  # fmt: skip
def test_one_changed_word_is_found(said, instead, faults, made_up):
    assert said in FULL
    assert verdict(FULL.replace(said, instead, 1), DESCRIBED) == (faults, made_up)


def test_descriptors_belong_to_the_murmur_whose_phrase_they_stand_in():
    right = (
        "A harsh holosystolic murmur of diamond shape, graded III/VI, and an early-diastolic, "
        "blowing decrescendo murmur graded I/IV are heard."
    )
    assert verdict(right, TWO_MURMURS) == ({}, set())
    swapped = right.replace("harsh", "X").replace("blowing", "harsh").replace("X", "blowing")
    assert verdict(swapped, TWO_MURMURS)[0] == {
        "systolic quality": "contradicted",
        "diastolic quality": "contradicted",
    }


@pytest.mark.parametrize(
    ("text", "faults", "made_up"),
    [
        ("8.4-year-old girl, 110 cm and 19.1 kg, Littmann 3200.", {}, set()),
        ("Girl aged 8 years, height 1.1 m, weight 19 kg, Littmann 3200.", {}, set()),
        ("An eight-year-old girl, 1100 mm, 19100 g, Littmann.", {}, set()),
        ("8-year-old boy, 110 cm, 19.1 kg, Littmann.", {"sex": "contradicted"}, set()),
        ("9-year-old girl, 110 cm, 19.1 kg, Littmann.", {"age": "contradicted"}, set()),
        ("8-year-old girl, 1.2 m, 19.1 kg, Littmann.", {"height": "contradicted"}, set()),
        ("8-year-old girl, 110 cm, 19.4 kg, Littmann.", {"weight": "contradicted"}, set()),
        ("8-year-old girl, 110 cm, 19.1 kg, Meditron.", {"device": "contradicted"}, set()),
        ("8-year-old girl, 110 cm, 19.1 kg, Littmann 4100.", {}, {"number"}),
        ("Elderly girl of 8.4 years of age, 110 cm, 19.1 kg, Littmann.",
         {"age": "contradicted"}, set()),
    ],
)  # fmt: skip
def test_numbers_units_and_devices(text, faults, made_up):
    assert verdict(text, CHILD) == (faults, made_up)


def test_unknown_is_no_claim_but_an_unspecified_murmur_is():
    nothing = facts(outcome="abnormal")
    assert verdict("Abnormal outcome; murmur status is unknown.", nothing) == ({}, set())
    assert verdict("An unspecified abnormal murmur was noted.", nothing) == ({}, {"murmur present"})


def test_a_murmur_heard_elsewhere_needs_both_halves():
    given = facts(site="AV", murmur="elsewhere", murmur_location="MV")
    assert verdict("No murmur at the aortic area; one murmur at the mitral area.", given)[0] == {}
    assert verdict("A murmur at the mitral area, not at the aortic.", given)[0] == {
        "murmur": "omitted"
    }


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("Recorded at the left posterior chest.", {}),
        ("Recorded over the posterior left lung.", {}),
        ("Recorded at the right posterior chest.", {"site": "contradicted"}),
        ("Recorded at the left side.", {"site": "omitted"}),
    ],
)
def test_places_on_the_chest(text, faults):
    assert verdict(text, facts(site="left posterior chest"))[0] == faults


def test_diagnoses_by_synonym_and_by_contradiction():
    copd = facts(diagnosis="copd")
    assert verdict("Chronic obstructive pulmonary disease.", copd)[0] == {}
    assert verdict("The patient has asthma.", copd)[0] == {"diagnosis": "contradicted"}


def test_abnormal_sounds_follow_from_a_finding_only_where_no_outcome_is_known():
    assert verdict("Abnormal breath sounds with crackles, no wheeze.", LUNG) == ({}, set())
    assert verdict("Normal breath sounds with crackles, no wheeze.", LUNG)[1] == {"outcome"}


def test_passed_needs_every_omission_listed():
    result = verify("Crepitations are heard.", LUNG)
    assert not result.passed()
    assert result.passed(omitted=["wheeze"])
    assert not result.passed(omitted=["crackle"])


def test_decimals_do_not_end_a_sentence():
    text = "No murmur at 19.1 kg or gallop"
    start = text.index("gallop")
    assert is_denied(text, start, start + len("gallop"))


def test_each_number_is_read_once():
    found = [
        (q.concept, round(q.value, 3)) for q in quantities("Grade II/VI, 1.1 m, 24-month-old, 7")
    ]
    assert found == [("grading", 2), ("age", 2.0), ("height", 110.0), ("number", 7)]


@pytest.mark.parametrize("text", ["A murmur was noted.", "No murmur was noted."])
def test_any_word_on_a_murmur_that_the_record_does_not_know_is_made_up(text):
    wrong, made_up = verdict(text, facts(outcome="abnormal"))
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
    assert verdict(text, BOY) == (wrong, made_up)


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
    assert verdict(text, facts(murmur="absent")) == ({}, made_up)


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
    assert verdict("COPD and asthma.", copd)[0] == {"diagnosis": "contradicted"}
    assert verdict("A patient without asthma has COPD.", copd) == ({}, {"asthma absent"})


@pytest.mark.parametrize("text", ["", "   ", "...", "½ \U0001f600 Ω", "no " * 500])
def test_a_text_that_says_nothing_omits_everything_and_makes_nothing_up(text):
    assert verdict(text, facts(murmur="absent", age="4")) == (
        {"murmur": "omitted", "age": "omitted"},
        set(),
    )


def test_a_verdict_as_a_mapping_holds_all_that_was_made_up():
    found = verify("A murmur, a gallop and pathology; follow-up.", facts(murmur="present"))
    assert found.as_mapping() == {
        "murmur": "stated",
        "hallucinated": "gallop: gallop, pathology: pathology, advice: follow-up",
    }
    assert not found.passed()
