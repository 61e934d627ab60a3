"""From a distilled run to a bundle that listens, on corpora made in seconds."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_corpora import murmuring, write_corpora
from tiny_recipe import RECIPE, tiny_recipe, write_teacher

import align.statistics
from acula_edge import Session
from acula_edge.bundle import load_bundle
from acula_edge.bundle.golden import verify_golden
from acula_edge.cli import main
from acula_edge.events import HeartSound
from align.settings import RecipeError
from export.build import Build, _heard_by_teacher, build_bundle
from export.distill import distill, load_student, read_run
from export.gate import GateError
from export.recipe import Quantisation, recipe_digest
from export.sbom import FILE_NAME as SBOM
from export.students import SCHEMA
from export.variants import FOR_FIRMWARE, FOR_HOSTS

STUDENT = {"text": 3}
SPAN = {"value": 0.8, "low": 0.7, "high": 0.9}


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
def teacher(tmp_path_factory):
    return write_teacher(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def run(corpora, teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    recipe = tiny_recipe(student=STUDENT)
    distill(recipe, corpora, folder, teacher=teacher, held_out="b", quiet=True)
    return folder


def students():
    """A record as `export students` writes it: this run, and one without database d."""
    tasks = {"circor-murmur": {"auroc": SPAN}, "physionet2016-abnormal": {"auroc": SPAN}}
    row = {"recipe": recipe_digest(tiny_recipe(student=STUDENT)), "taught": True, "tasks": tasks}
    row |= {"mean": SPAN, "against_original": SPAN}
    rows = {"b": row | {"held_out": "b"}, "d": row | {"held_out": "d"}}
    rows["stranger"] = row | {"held_out": "a", "recipe": "another"}
    return {
        "schema": SCHEMA,
        "students": rows,
        "originals": {"b": {"tasks": tasks, "mean": SPAN}},
    }


def tiny_build(corpora, run, teacher, cache, **quantise):
    recipe = tiny_recipe(student=STUDENT)
    # So few patients carry no accuracy to speak of: the gate is tested on its own below.
    recipe = replace(recipe, quantise=Quantisation(**({"allowed_drop": 0.5} | quantise)))
    record = read_run(run)
    held_out = record["held_out"]
    return Build(recipe, corpora, cache, held_out, teacher, record, students(), quiet=True)


@pytest.fixture(scope="module")
def bundle(corpora, run, teacher, tmp_path_factory):
    target = tmp_path_factory.mktemp("out") / "tiny"
    build = tiny_build(corpora, run, teacher, tmp_path_factory.mktemp("texts"))
    return build_bundle(load_student(build.recipe, run), build, target)


def test_the_bundle_verifies_and_listens_in_every_variant(bundle):
    reloaded = load_bundle(bundle.origin)
    reloaded.verify()
    assert len(list(verify_golden(reloaded))) >= 3
    for name in FOR_HOSTS:
        with Session(reloaded, site="heart", variant=name) as session:
            session.push(murmuring(3, murmur=True))
            assert 0.0 <= session.finish().findings["murmur"].probability <= 1.0


def test_it_hears_the_cycle_and_finds_reports(bundle):
    assert bundle.manifest.phases == ("S1", "systole", "S2", "diastole")
    assert bundle.manifest.text.size == 3
    with Session(bundle, site="heart") as session:
        events = session.push(murmuring(3, murmur=True)) + session.flush()
        assert session.embedding.shape == (3,)
    assert all(event.sound in ("S1", "S2") for event in events if isinstance(event, HeartSound))


def test_the_manifest_reports_every_figure_with_its_interval(bundle):
    metrics = bundle.manifest.metrics
    for variant in FOR_HOSTS:
        for finding in ("murmur", "crackle", "wheeze"):
            auroc = metrics[variant][finding]["auroc"]
            assert 0.0 <= auroc["low"] <= auroc["value"] <= auroc["high"] <= 1.0
            assert metrics[variant][finding]["recordings"] == 10
    assert set(metrics["against_fp32"]) == {"cpu-int8", "trt-int8"}
    assert metrics["phases"]["S1"]["onsets"] > 0
    assert set(metrics["text"]["zero_shot"]) >= {"circor-murmur", "sprsound-wheeze"}
    assert set(metrics["validation"]) == {"murmur", "crackle", "wheeze"}


def test_a_bundle_for_firmware_leads_with_its_integer_variant(corpora, run, teacher, tmp_path):
    build = replace(tiny_build(corpora, run, teacher, tmp_path), variants=FOR_FIRMWARE)
    bundle = build_bundle(load_student(build.recipe, run), build, tmp_path / "tiny")
    assert tuple(bundle.manifest.variants) == FOR_FIRMWARE
    assert "mcu-int8" in bundle.manifest.metrics["against_fp32"]
    with Session(bundle, site="heart", variant="mcu-int8") as session:
        session.push(murmuring(3, murmur=True))
        assert 0.0 <= session.finish().findings["murmur"].probability <= 1.0


@pytest.mark.parametrize(
    ("variants", "said"),
    [(("cpu-int8", "npu", "fp32"), "no variant 'npu'"), (("fp32",), "needs an int8 variant first")],
)
def test_variants_that_cannot_be_built_are_refused(variants, said):
    with pytest.raises(RecipeError, match=said):
        Build(tiny_recipe(), Path("data"), Path("cache"), variants=variants)


def test_only_the_database_never_heard_is_a_transfer(bundle):
    assert set(bundle.manifest.metrics["cpu-int8"]["physionet2016"]) == {"b"}
    heard = {item.corpus for item in bundle.manifest.training_data}
    assert heard == {"circor", "sprsound", *(f"physionet2016-{name}" for name in "acd")}


def test_figures_from_elsewhere_are_of_this_recipe_alone(bundle):
    metrics = bundle.manifest.metrics
    assert set(metrics["lodo"]) == {"b", "d"}
    assert metrics["aligned"]["mean"] == {"auroc": SPAN, "difference": SPAN}


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
    assert all(spec.definition in card for spec in bundle.manifest.findings)
    assert "reliability-murmur.svg" in card and "reliability-murmur.svg" in bundle.files


def test_the_bill_of_materials_lists_the_files_as_they_are(bundle):
    from acula_edge.bundle.sums import sha256

    text = bundle.files[SBOM].decode()
    json.loads(text)
    for name in ("cpu-int8.stream.onnx", "golden.f32", "text-projection.f32"):
        assert sha256(bundle.files[name]) in text


def test_what_the_teacher_heard_is_told_or_nothing_is_built(corpora, run, teacher, tmp_path):
    build = tiny_build(corpora, run, None, tmp_path / "texts")
    with pytest.raises(RecipeError, match="--teacher"):
        build_bundle(load_student(build.recipe, run), build, tmp_path / "out")
    heard = replace(build.recipe.training, corpora=("circor", "sprsound"), clips=(8, 8))
    build = replace(build, teacher=teacher, recipe=replace(build.recipe, training=heard))
    rows = {item.corpus: item for item in _heard_by_teacher(build)}
    assert set(rows) == {f"physionet2016-{name}" for name in "acd"}
    assert all("distilled encoder alone" in row.split for row in rows.values())


def test_a_bundle_that_fails_its_gate_leaves_nothing(corpora, run, teacher, tmp_path):
    limits = {"allowed_drop": -1.0, "most_float": 1}
    build = tiny_build(corpora, run, teacher, tmp_path / "texts", **limits)
    with pytest.raises(GateError, match="AUROC on validation patients"):
        build_bundle(load_student(build.recipe, run), build, tmp_path / "out" / "tiny")
    assert not (tmp_path / "out").exists()


def write_toml(path):
    text = json.dumps  # TOML takes JSON scalars and arrays
    lines = ['name = "tiny"', 'version = "0.0.1"']
    student = RECIPE["student"] | STUDENT
    for section, values in (("training", RECIPE["training"]), ("student", student)):
        lines.append(f"[{section}]")
        lines += [f"{k} = {text(v)}" for k, v in values.items() if k not in ("blocks", "front_end")]
    for block in student["blocks"]:
        lines += ["[[student.blocks]]", *(f"{key} = {value}" for key, value in block.items())]
    lines += ["[student.front_end]", "bands = 24", "short_frame = 64"]
    lines += ["[distillation]", "embedding_epochs = 1", "[quantise]", "allowed_drop = 0.5"]
    for name, spec in RECIPE["pooling"].items():
        lines += [f"[pooling.{name}]", f"kind = {text(spec['kind'])}"]
    path.write_text("\n".join(lines) + "\n")
    return path


def command(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["acula-edge", "export", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code or 0


def test_the_commands_build_and_evaluate(corpora, run, teacher, tmp_path, monkeypatch, capsys):
    recipe, out, cache = write_toml(tmp_path / "tiny.toml"), tmp_path / "bundle", tmp_path / "texts"
    options = ("--data", corpora, "--run", run, "--cache", cache, "--teacher", teacher)
    assert command(monkeypatch, "bundle", recipe, out, *options) == 0
    assert "| cpu-int8 | murmur |" in capsys.readouterr().out
    assert load_bundle(out).manifest.name == "tiny"
    assert "lodo" not in load_bundle(out).manifest.metrics


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["distill", "nowhere.toml", "--data", "."], "no recipe at nowhere.toml"),
        (["evaluate", "heart-lung", "--data", "/nonexistent"], "is not at /nonexistent"),
        (["bundle", "{recipe}", "out", "--data", ".", "--run", "none"], "export distill"),
        (["students", "{recipe}", "none", "--data", "."], "holds no run"),
        (
            ["distill", "{recipe}", "--data", ".", "--teacher", "none", "--run", "{folder}/r"],
            "encoder",
        ),
    ],
)
def test_mistakes_are_one_sentence(arguments, message, tmp_path, monkeypatch, capsys):
    recipe = write_toml(tmp_path / "tiny.toml")
    filled = [a.format(recipe=recipe, folder=tmp_path) for a in arguments]
    assert command(monkeypatch, *filled) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
