"""Figures against closed forms, planted differences and nulls."""

from types import SimpleNamespace

import numpy as np
import pytest
from bundle_factory import finding

from acula_edge.events import Decision
from align import statistics
from align.statistics import expected_calibration_error
from export.compare import agreement, paired
from export.figures import Scored, decisions, finding_metrics, reliability, subgroups

SPEC = finding("murmur", "heart")  # present 0.7, absent 0.3


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 300)


def exam(patient, truth, value, abstained=False, **metadata):
    row = SimpleNamespace(
        labels={"murmur": truth}, patient=patient, name=patient, site="AV", metadata=metadata
    )
    return Scored(row, {"murmur": value}, abstained, {"murmur": value})


FOUR = [
    exam("a", True, 0.9),
    exam("b", True, 0.2),
    exam("c", False, 0.8),
    exam("d", False, 0.1),
    exam("e", True, float("nan"), abstained=True),
    exam("f", False, 0.5),
]


def test_a_refused_recording_is_unsure():
    said = decisions(FOUR, SPEC)
    assert [word.value for word in said] == [
        "present", "absent", "present", "absent", "unsure", "unsure",
    ]  # fmt: skip
    assert decisions([exam("a", True, 0.9, abstained=True)], SPEC) == [Decision.UNSURE]


def test_figures_by_hand():
    figures = finding_metrics(FOUR, "murmur", decisions(FOUR, SPEC))
    assert figures["sensitivity"]["value"] == pytest.approx(1 / 3, abs=1e-4)
    assert figures["specificity"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["rule_out"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["unsure"]["value"] == pytest.approx(2 / 6, abs=1e-4)
    assert figures["auroc"]["value"] == pytest.approx(4 / 6, abs=1e-4)
    assert figures["brier"]["value"] == pytest.approx(
        np.mean([0.1**2, 0.8**2, 0.8**2, 0.1**2, 0.5**2]), abs=1e-4
    )
    assert (figures["prevalence"], figures["expected"]) == (0.4, 0.5)
    assert (figures["abstained"], figures["unusable"]) == (1, 1)


def test_figures_of_one_class_are_none_not_nan():
    figures = finding_metrics(FOUR[:2], "murmur", decisions(FOUR[:2], SPEC))
    assert figures["auroc"] is None
    assert figures["specificity"] is None
    assert figures["sensitivity"]["value"] == 0.5
    nothing = [exam("e", True, float("nan"), abstained=True)]
    assert finding_metrics(nothing, "murmur", decisions(nothing, SPEC))["reliability"] == []


def test_the_bins_are_those_of_the_calibration_error():
    random = np.random.default_rng(0)
    value = random.uniform(0, 1, 237)
    truth = (random.uniform(0, 1, 237) < value**2).astype(float)
    bins = reliability(truth, value)
    assert len(bins) == 10
    gap = sum(abs(x - y) * n for x, y, n in bins) / 237
    assert gap == pytest.approx(expected_calibration_error(truth, value), abs=2e-4)


def test_paired_finds_a_planted_difference_and_none_where_there_is_none():
    random = np.random.default_rng(1)
    truth = np.tile([0.0, 1.0], 200)
    patients = [str(index // 4) for index in range(400)]
    good = truth + random.normal(0, 1, 400)
    worse = truth + random.normal(0, 2, 400)
    planted = paired(patients, truth, good, worse)
    assert planted["low"] > 0
    assert paired(patients, truth, good, good) == {"value": 0.0, "low": 0.0, "high": 0.0}
    backwards = paired(patients, truth, worse, good)
    assert backwards["value"] == -planted["value"]
    assert paired(patients, truth * 0, good, worse) is None


def test_pairing_narrows_the_interval():
    random = np.random.default_rng(2)
    truth = np.tile([0.0, 1.0], 100)
    patients = [str(index) for index in range(200)]
    ours = truth + random.normal(0, 1, 200)
    beside = paired(patients, truth, ours, ours + random.normal(0, 0.01, 200))
    apart = paired(patients, truth, ours, truth + random.normal(0, 1, 200))
    assert beside["high"] - beside["low"] < (apart["high"] - apart["low"]) / 5


def test_paired_refuses_what_cannot_be_paired():
    with pytest.raises(ValueError, match="length"):
        paired(["a", "b"], np.array([0.0, 1.0]), np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="not finite"):
        paired(["a", "b"], np.array([0.0, 1.0]), np.array([0.0, np.nan]), np.zeros(2))


def test_agreement_counts_decisions():
    other = [exam("a", True, 0.6), *FOUR[1:]]  # present becomes unsure
    found = agreement(other, FOUR, SPEC)
    assert found["decision"] == pytest.approx(5 / 6, abs=1e-4)
    assert found["argmax"] == 1.0
    assert found["largest"] == pytest.approx(0.3)
    assert agreement(FOUR, FOUR, SPEC)["decision"] == 1.0


def test_subgroups_are_of_enough_patients():
    rows = [exam(f"p{i}", i % 2 == 0, i / 20, age=str(0.5 + i % 2), sex="male") for i in range(20)]
    rows.append(exam("x", True, 0.9, age="9", Sex="Female"))
    groups = subgroups(rows, "murmur", decisions(rows, SPEC))
    assert sorted(groups) == ["age: 1 to 4 years", "age: under 1 year", "sex: male", "site: AV"]
    assert groups["sex: male"]["patients"] == 20
    assert groups["age: 1 to 4 years"]["auroc"] is None  # nobody there has the finding
    assert groups["age: 1 to 4 years"]["specificity"]["value"] == pytest.approx(0.7)
