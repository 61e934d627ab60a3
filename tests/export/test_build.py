"""From corpora to a bundle that listens: the whole training side, on corpora made in seconds."""

import json

import pytest
import torch
from tiny_corpora import murmuring, write_corpora

import align.statistics
from acula_edge import Session
from acula_edge.bundle import load_bundle
from acula_edge.bundle.golden import verify_golden
from acula_edge.cli import main
from align.settings import RecipeError
from export.build import build_bundle
from export.recipe import recipe_from_table
from export.train import _Run, _sampler, load_student, train

RECIPE = {
    "name": "tiny",
    "version": "0.0.1",
    "student": {
        "findings": ["murmur", "crackle", "wheeze"],
        "window": 768 * 10,
        "width": 16,
        "blocks": [{"kernel": 3}, {"kernel": 4, "stride": 2}, {"kernel": 3, "dilation": 4}],
        "front_end": {"bands": 24, "short_frame": 64},
    },
    "training": {
        "corpora": ["circor", "sprsound"],
        "epochs": 4,
        "steps": 12,
        "clips": [8, 8],
        "crop": 768 * 20,
        "learning_rate": 1e-2,
        "ema": 0.8,
    },
    "pooling": {
        "murmur": {"kind": "mean"},
        "crackle": {"kind": "logmeanexp"},
        "wheeze": {"kind": "logmeanexp"},
    },
}


def recipe(**training):
    return recipe_from_table(RECIPE | {"training": RECIPE["training"] | training})


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    """Intervals are tested elsewhere; here they only cost minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(align.statistics, "RESAMPLES", 50)
        yield


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_corpora(root)
    return root


@pytest.fixture(scope="module")
def run(corpora, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(recipe(), corpora, folder, quiet=True)
    return folder


@pytest.fixture(scope="module")
def bundle(corpora, run, tmp_path_factory):
    target = tmp_path_factory.mktemp("out") / "tiny"
    return build_bundle(load_student(recipe(), run), recipe(), corpora, target, quiet=True)


def test_training_learns_what_was_planted(run):
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in log] == [1, 2, 3, 4]
    assert log[-1]["clip"] < log[0]["clip"]
    assert max(row.get("wheeze", 0) for row in log) > 0.8


def test_a_killed_run_continues_as_if_it_had_not_been(corpora, tmp_path):
    settings = recipe(epochs=2, steps=3)
    whole = train(settings, corpora, tmp_path / "whole", quiet=True)
    run = _Run(settings)  # as `train` does, stopped after the first epoch
    run.train_epoch(_sampler(settings, corpora), lambda: None)
    (tmp_path / "cut").mkdir()
    run.save(tmp_path / "cut" / "checkpoint.pt")
    resumed = train(settings, corpora, tmp_path / "cut", quiet=True)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_run_of_another_student_is_refused(run):
    other = recipe_from_table(RECIPE | {"student": RECIPE["student"] | {"width": 8}})
    with pytest.raises(RecipeError, match="another"):
        load_student(other, run)
    with pytest.raises(RecipeError, match="export train"):
        load_student(recipe(), run / "nowhere")


def test_the_bundle_verifies_and_listens(bundle):
    reloaded = load_bundle(bundle.origin)
    reloaded.verify()
    assert len(list(verify_golden(reloaded))) >= 3
    with Session(reloaded, site="heart") as session:
        session.push(murmuring(3, murmur=True))
        assert 0.0 <= session.finish().findings["murmur"].probability <= 1.0


def test_the_manifest_reports_every_figure_with_its_interval(bundle):
    for variant in ("cpu-int8", "fp32"):
        figures = bundle.manifest.metrics[variant]
        for finding in ("murmur", "crackle", "wheeze"):
            auroc = figures[finding]["auroc"]
            assert 0.0 <= auroc["low"] <= auroc["value"] <= auroc["high"] <= 1.0
            assert figures[finding]["recordings"] == 10
        assert set(figures["physionet2016"]) == {"a", "b", "c", "d"}


def test_thresholds_are_ordered_and_calibrated_away_from_the_default(bundle):
    for spec in bundle.manifest.findings:
        assert 0 < spec.absent <= spec.present < 1
        assert 0 < spec.leave < spec.enter < 1
        assert spec.temperature != 1.0


def test_the_card_says_what_the_manifest_says(bundle):
    card = bundle.card()
    auroc = bundle.manifest.metrics["cpu-int8"]["wheeze"]["auroc"]["value"]
    assert f"{auroc:.3f}" in card
    assert bundle.manifest.notice in card
    assert "not reported" in card
    assert all(spec.definition in card for spec in bundle.manifest.findings)


def test_the_commands_build_and_evaluate(corpora, run, tmp_path, monkeypatch, capsys):
    text = json.dumps  # TOML takes JSON scalars and arrays
    lines = ['name = "tiny"', 'version = "0.0.1"']
    for section in ("training", "student"):
        lines.append(f"[{section}]")
        values = RECIPE[section]
        lines += [f"{k} = {text(v)}" for k, v in values.items() if k not in ("blocks", "front_end")]
    for block in RECIPE["student"]["blocks"]:
        lines += ["[[student.blocks]]", *(f"{key} = {value}" for key, value in block.items())]
    lines += ["[student.front_end]", "bands = 24", "short_frame = 64"]
    for name, spec in RECIPE["pooling"].items():
        lines += [f"[pooling.{name}]", f"kind = {text(spec['kind'])}"]
    path = tmp_path / "tiny.toml"
    path.write_text("\n".join(lines) + "\n")
    out = tmp_path / "bundle"
    command = ["acula-edge", "export", "bundle", str(path), str(out)]
    monkeypatch.setattr("sys.argv", [*command, "--data", str(corpora), "--run", str(run)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code in (0, None)
    assert "| cpu-int8 | murmur |" in capsys.readouterr().out
    assert load_bundle(out).manifest.name == "tiny"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nowhere.toml", "--data", "."], "no recipe at nowhere.toml"),
        (["evaluate", "heart-lung", "--data", "/nonexistent"], "is not at /nonexistent"),
    ],
)
def test_mistakes_are_one_sentence(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["acula-edge", "export", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
