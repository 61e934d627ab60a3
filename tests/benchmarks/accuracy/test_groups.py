"""Groups are those of the model card, and so are their figures."""

from types import SimpleNamespace

import numpy as np
import pytest
from bundle_factory import finding

from align import statistics
from benchmarks.accuracy.differences import against_original, against_variant
from benchmarks.accuracy.groups import finding_groups
from benchmarks.record import Interval
from export.figures import Scored, decisions, finding_metrics, subgroups

SPEC = finding("murmur", "heart")  # present 0.7, absent 0.3, temperature 1.5


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 200)


def exam(patient, truth, value, *, name="", site="AV", device="x", abstained=False, **metadata):
    row = SimpleNamespace(
        labels={"murmur": truth}, patient=patient, name=name or patient, site=site, device=device,
        metadata=metadata,
    )  # fmt: skip
    return Scored(row, {"murmur": value}, abstained, {"murmur": value})


@pytest.fixture
def exams():
    """Thirty patients of two recordings, one of them refused and one without a probability."""
    random = np.random.default_rng(7)
    rows = []
    for index in range(60):
        patient, truth = index // 2, index // 2 % 3 == 0
        value = float(1 / (1 + np.exp(-random.normal(2.0 * truth - 1, 1.5))))
        rows.append(
            exam(
                f"p{patient}", truth, value, name=f"r{index}", site=("AV", "MV")[index % 2],
                device=("x", "y")[patient % 2], abstained=index == 5,
                age=str(0.5 + patient % 2), sex=("male", "female")[patient // 2 % 2],
            )
        )  # fmt: skip
    rows[9] = exam("p4", False, float("nan"), name="r9", abstained=True)
    return rows


def spans(figure):
    return None if figure is None else Interval(**figure)


def test_figures_over_all_are_those_of_the_model_card(exams):
    whole = finding_groups(exams, "circor", SPEC)[0]
    card = finding_metrics(exams, "murmur", decisions(exams, SPEC))
    assert (whole.kind, whole.corpus, whole.finding) == ("all", "circor", "murmur")
    assert (whole.recordings, whole.patients, whole.positive) == (60, 30, 20)
    assert whole.refused == card["abstained"] == 2
    for name in ("auroc", "auprc", "sensitivity", "specificity", "ece"):
        assert getattr(whole, name) == spans(card[name]), name
    assert [list(row) for row in whole.reliability] == card["reliability"]
    assert set(whole.at_specificity) == {"0.90", "0.95"}
    assert whole.at_specificity["0.90"].value >= whole.at_specificity["0.95"].value > 0


def test_groups_are_those_of_the_model_card_and_the_devices(exams):
    groups = {f"{g.kind}: {g.name}": g for g in finding_groups(exams, "circor", SPEC)}
    card = subgroups(exams, "murmur", decisions(exams, SPEC))
    assert set(groups) == {"all: circor", "device: x", "device: y", *card}
    for name, figures in card.items():
        assert groups[name].patients == figures["patients"]
        for key in ("auroc", "sensitivity", "specificity"):
            assert getattr(groups[name], key) == spans(figures[key]), (name, key)
    assert groups["device: x"].recordings + groups["device: y"].recordings == 60


def test_small_groups_are_left_out_and_few_positives_tell_nothing():
    rows = [exam(f"p{i}", i == 0, i / 20, device="x" if i < 16 else "rare") for i in range(20)]
    groups = {(g.kind, g.name): g for g in finding_groups(rows, "circor", SPEC)}
    assert ("device", "rare") not in groups
    alone = groups["all", "circor"]
    assert alone.positive == 1
    assert (alone.auroc, alone.auprc, alone.sensitivity, alone.at_specificity) == (None,) * 3 + (
        {},
    )
    assert alone.specificity is not None
    rows[1] = exam("p1", True, 0.9)
    groups = {(g.kind, g.name): g for g in finding_groups(rows, "circor", SPEC)}
    assert groups["all", "circor"].auroc is not None
    assert groups["device", "x"].auroc is None


@pytest.mark.parametrize(
    "rows",
    [
        [exam("a", True, 0.9)],
        [exam("a", False, 0.1), exam("a", True, 0.8)],
        [exam("a", True, float("nan"), abstained=True), exam("b", False, float("nan"))],
    ],
    ids=["one recording", "one patient", "nothing usable"],
)
def test_what_is_undefined_is_none(rows):
    (group,) = finding_groups(rows, "circor", SPEC)
    assert (group.auroc, group.auprc, group.ece, group.sensitivity) == (None,) * 4
    assert group.at_specificity == {}
    assert against_variant(rows, rows, SPEC, "murmur", "fp32").auroc is None


def shifted(rows, by):
    def move(value):
        return 1 / (1 + np.exp(-(np.log(value / (1 - value)) + by)))

    moved = [move(item.probability["murmur"]) for item in rows]
    return [
        Scored(i.recording, {"murmur": v}, i.abstained, {})
        for i, v in zip(rows, moved, strict=True)
    ]


def test_a_shift_of_every_logit_flips_decisions_but_no_order(exams):
    same = against_variant(exams, exams, SPEC, "murmur", "fp32")
    assert (same.flips, same.largest_logit, same.recordings) == (0, 0.0, 59)
    assert same.auroc == Interval(0.0, 0.0, 0.0)
    other = against_variant(shifted(exams, 0.4), exams, SPEC, "murmur", "fp32")
    assert other.auroc == Interval(0.0, 0.0, 0.0)
    assert other.largest_logit == pytest.approx(0.4 * SPEC.temperature)
    before, after = decisions(exams, SPEC), decisions(shifted(exams, 0.4), SPEC)
    assert other.flips == sum(a is not b for a, b in zip(before, after, strict=True)) > 0


def test_a_certain_probability_tells_no_logit():
    rows = [exam("a", True, 1.0), exam("b", False, 0.0)]
    assert against_variant(rows, rows, SPEC, "murmur", "fp32").largest_logit is None


def test_the_original_is_paired_by_recording_and_decides_nothing(exams):
    truth = {item.recording.name: float(item.recording.labels["murmur"]) for item in exams}
    perfect = against_original(exams, truth, SPEC, "physionet2016-a")
    assert (perfect.finding, perfect.other) == ("physionet2016-a", "original")
    assert (perfect.flips, perfect.largest_logit, perfect.recordings) == (None, None, 59)
    usable = [item for item in exams if item.recording.name != "r9"]
    own = finding_metrics(usable, "murmur", decisions(usable, SPEC))["auroc"]["value"]
    assert perfect.auroc.value == pytest.approx(own - 1, abs=2e-4)
    assert perfect.auroc.high < 0
    opposite = {name: -value for name, value in truth.items()}
    assert against_original(exams, opposite, SPEC, "murmur").auroc.low > 0
