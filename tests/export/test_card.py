"""The card shows what the manifest holds, and says so where it holds nothing."""

import dataclasses
import re
from types import SimpleNamespace

import pytest
from bundle_factory import manifest

from align import statistics
from export.card import figures_table, model_card, readme_table
from export.compare import agreement
from export.figures import Scored, decisions, finding_metrics, subgroups
from export.limits import limits
from export.recipe import load_recipe
from export.reliability import reliability_files
from export.tripod import ITEMS

SPAN = {"value": 0.8123, "low": 0.7, "high": 0.9}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 50)


@pytest.fixture
def recipe():
    from pathlib import Path

    return load_recipe(Path(__file__).parents[2] / "export/recipes/heart-lung.toml")


def exams(shift):
    scored = []
    for index in range(40):
        truth, value = index % 3 == 0, (index * 7 % 40) / 80 + shift + (index % 3 == 0) * 0.3
        row = SimpleNamespace(
            labels={"murmur": truth, "wheeze": truth},
            patient=f"p{index // 2}",
            site="AV",
            metadata={"sex": "male" if index % 4 < 2 else "female"},
        )
        values = {"murmur": value, "wheeze": value}
        scored.append(Scored(row, values, index == 5, values))
    return scored


def measured():
    wanted, ours, theirs = manifest(), exams(0.0), exams(0.1)
    variants = {
        "cpu-int8": dataclasses.replace(wanted.variants["fp32"], precision="int8"),
        "fp32": wanted.variants["fp32"],
    }
    metrics = {"cpu-int8": {}, "fp32": {}, "validation": {}, "subgroups": {}}
    metrics["against_fp32"] = {"cpu-int8": {}}
    for spec in wanted.findings:
        name = spec.name
        metrics["cpu-int8"][name] = finding_metrics(ours, name, decisions(ours, spec))
        metrics["fp32"][name] = finding_metrics(theirs, name, decisions(theirs, spec))
        metrics["validation"][name] = finding_metrics(theirs, name, decisions(theirs, spec))
        metrics["subgroups"][name] = subgroups(ours, name, decisions(ours, spec))
        metrics["against_fp32"]["cpu-int8"][name] = agreement(ours, theirs, spec)
    return dataclasses.replace(wanted, variants=variants, metrics=metrics)


def test_every_section_that_tripod_names_is_there(recipe):
    assert [item.number for item in ITEMS] == list(range(1, 28))
    headings = re.findall(r"^## (.*)$", model_card(measured(), recipe), re.MULTILINE)
    assert {name for item in ITEMS for name in item.sections} <= set(headings)
    assert all(item.sections or item.note for item in ITEMS)


def test_figures_are_the_manifests(recipe):
    wanted = measured()
    card = model_card(wanted, recipe)
    for variant in ("cpu-int8", "fp32"):
        row = next(r for r in card.splitlines() if r.startswith(f"| {variant} | wheeze | 40 (14)"))
        entry = wanted.metrics[variant]["wheeze"]
        for key in ("auroc", "auprc", "sensitivity", "specificity", "unsure"):
            span = entry[key]
            assert f"{span['value']:.3f} [{span['low']:.3f}, {span['high']:.3f}]" in row
        assert row.endswith("| 1 (2.5 %) |")
    validation, test = (
        next(row for row in card.splitlines() if row.startswith(f"| murmur | {label} |"))
        for label in ("validation, left out", "test")
    )
    assert f"| {wanted.metrics['validation']['murmur']['expected']:.3f} |" in validation
    assert f"| {wanted.metrics['cpu-int8']['murmur']['expected']:.3f} |" in test
    decision = wanted.metrics["against_fp32"]["cpu-int8"]["murmur"]["decision"]
    assert f"| {decision:.3f} |" in card
    assert "| murmur | sex: female |" in card


def test_every_picture_that_is_shown_exists(recipe):
    wanted = measured()
    shown = re.findall(r"!\[[^]]*\]\(([^)]*)\)", model_card(wanted, recipe))
    assert shown == list(reliability_files(wanted, "cpu-int8"))
    assert len(shown) == 2


def test_optional_figures_have_their_own_sections(recipe):
    wanted = measured()
    plain = model_card(wanted, recipe)
    extra = {
        "lodo": {"a": {"abnormal": {"auroc": SPAN}}, "b": {"abnormal": {"auroc": None}}},
        "phases": {"corpus": "circor", "S1": {"onsets": 3, "f1": SPAN}, "heart_rate": {"told": 9}},
        "text": {"pool_size": 100, "retrieval": {"circor": {"recall@1": 0.25}}},
        "aligned": {"murmur": {"auroc": SPAN, "difference": SPAN}},
    }
    card = model_card(
        dataclasses.replace(wanted, metrics=wanted.metrics | extra),
        recipe,
        {"teacher": "none", "seconds": 12.5},
    )
    for title in ("Leave one database out", "Cardiac phase", "Text space", "Beside the aligned"):
        assert f"### {title}" in card
        assert f"### {title}" not in plain
    rows = "| a / abnormal | 0.812 [0.700, 0.900] |\n| b / abnormal | not reported |"
    assert f"|  | auroc |\n| --- | --- |\n{rows}" in card
    assert "|  | value |\n| --- | --- |\n| corpus | circor |" in card
    assert "|  | onsets | f1 |\n| --- | --- | --- |\n| S1 | 3 | 0.812 [0.700, 0.900] |" in card
    assert "|  | told |\n| --- | --- |\n| heart rate | 9 |" in card
    assert "| pool size | 100 |" in card
    assert "|  | recall@1 |\n| --- | --- |\n| retrieval / circor | 0.250 |" in card
    assert "| teacher | none |" in card


def test_what_was_not_measured_is_not_reported(recipe):
    card = model_card(dataclasses.replace(measured(), metrics={}), recipe)
    assert "## Subgroups\n\nNot reported." in card
    assert "## Calibration" in card
    assert "![" not in card
    assert "| CirCor | ODC-By | not reported | 3 |" in card


def test_other_tables():
    wanted = measured()
    assert "### Beside fp32" in figures_table(wanted)
    assert "PhysioNet" not in figures_table(wanted)
    database = {"recordings": 10, "positive": 4, "abstained": 1, "auroc": SPAN}
    metrics = {name: dict(value) for name, value in wanted.metrics.items()}
    for variant in ("cpu-int8", "fp32"):
        metrics[variant]["physionet2016"] = {"a": database}
    with_transfer = dataclasses.replace(wanted, metrics=metrics)
    assert "| fp32 | a | 10 (4) | 0.812 [0.700, 0.900] | 1 (10.0 %) |" in figures_table(
        with_transfer
    )
    rows = readme_table(with_transfer).splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:]] == [
        "`murmur`", "`wheeze`", "`physionet2016-a`",
    ]  # fmt: skip


def test_limits_name_each_corpus_once_and_who_was_recorded():
    item = manifest().training_data[0]
    names = ("circor", "physionet2016-a", "physionet2016-b", "elsewhere")
    data = tuple(dataclasses.replace(item, corpus=name) for name in names)
    people = limits(dataclasses.replace(manifest(), training_data=data))[0]
    assert people.count("physionet2016") == 1
    assert "circor: children" in people
    assert "elsewhere: not reported" in people
