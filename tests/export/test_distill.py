"""Distillation on corpora made in seconds: it learns, resumes, and says what it lacks."""

import json
import math

import numpy as np
import pytest
import torch
from tiny_corpora import write_corpora
from tiny_recipe import RECIPE, tiny_recipe, write_teacher

from align.encoders.base import EncoderError
from align.settings import RecipeError
from export.data import UNKNOWN, crop_starts
from export.distill import _Run, _sampler, distill, load_student, read_run
from export.losses import Teaching, pool
from export.recipe import Pooling, recipe_digest, sized
from export.student import Student
from export.teacher import TeacherOutputs, teacher_outputs


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_corpora(root)
    return root


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return write_teacher(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def control(corpora, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "control"
    distill(tiny_recipe(), corpora, folder, held_out="a", quiet=True)
    return folder


@pytest.fixture(scope="module")
def taught(corpora, teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "taught"
    distill(tiny_recipe(), corpora, folder, teacher=teacher, held_out="a", quiet=True)
    return folder


def log_of(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_the_control_learns_what_was_planted(control):
    log = log_of(control)
    assert [row["epoch"] for row in log] == [1, 2, 3, 4]
    assert log[-1]["clip"] < log[0]["clip"]
    assert log[-1]["wheeze"] > 0.8
    assert "cka" not in log[0]


def test_a_teacher_comes_first_and_the_labels_after(taught):
    first, *rest = log_of(taught)
    assert set(first) == {"epoch", "cosine", "cka"}
    assert all({"clip", "event", "cosine", "cka"} <= set(row) for row in rest)
    assert rest[-1]["wheeze"] > 0.8


def test_the_run_says_what_it_is(control, taught, teacher):
    description = json.loads((teacher / "encoder.json").read_text())
    assert read_run(taught) == {
        "recipe": recipe_digest(tiny_recipe()),
        "teacher": description["sha256"],
        "held_out": "a",
    }
    assert read_run(control)["teacher"] == ""


def test_a_killed_run_continues_as_if_it_had_not_been(corpora, teacher, tmp_path):
    settings = tiny_recipe(epochs=2, steps=3)
    whole = distill(settings, corpora, tmp_path / "whole", teacher=teacher, quiet=True)
    sampler = _sampler(settings, corpora, "")
    run = _Run(settings, teacher_outputs(teacher, sampler, tmp_path))
    run.train_epoch(sampler, lambda: None)  # as `distill` does, stopped after the first epoch
    (tmp_path / "cut").mkdir()
    run.save(tmp_path / "cut" / "checkpoint.pt")
    resumed = distill(settings, corpora, tmp_path / "cut", teacher=teacher, quiet=True)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    "change", [{"teacher": None}, {"held_out": "b"}, {"recipe": tiny_recipe(seed=1)}]
)
def test_a_folder_keeps_to_one_run(change, corpora, taught, teacher):
    arguments = {"recipe": tiny_recipe(), "teacher": teacher, "held_out": "a"} | change
    with pytest.raises(RecipeError, match="another recipe, teacher or held-out"):
        distill(data_root=corpora, folder=taught, quiet=True, **arguments)


def test_a_student_of_another_shape_is_refused(control, tmp_path):
    with pytest.raises(RecipeError, match="another"):
        load_student(tiny_recipe(student={"width": 8}), control)
    with pytest.raises(RecipeError, match="export distill"):
        load_student(tiny_recipe(), tmp_path)


def test_a_teacher_checkpoint_of_another_shape_is_refused(corpora, teacher, tmp_path):
    folder = write_teacher(tmp_path / "other")
    description = json.loads((folder / "encoder.json").read_text())
    description["options"]["width"] = 24
    (folder / "encoder.json").write_text(json.dumps(description))
    with pytest.raises(EncoderError):
        distill(tiny_recipe(), corpora, tmp_path / "run", teacher=folder, quiet=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpora": ["sprsound"], "clips": [8]}, "no labels to learn 'murmur' from in sprsound"),
        (
            {"corpora": ["circor", "sprsound"], "clips": [8, 8]},
            "no labels to learn 'abnormal' from in circor, sprsound",
        ),
    ],
)
def test_a_head_without_labels_is_named(changes, message, corpora, tmp_path):
    with pytest.raises(RecipeError, match=message):
        distill(tiny_recipe(**changes), corpora, tmp_path, quiet=True)


def test_a_phase_head_needs_phases(corpora, tmp_path):
    settings = tiny_recipe(
        student={"findings": ["crackle", "wheeze"], "auxiliary": []},
        corpora=["sprsound"],
        clips=[8],
    )
    with pytest.raises(RecipeError, match="no cardiac phases"):
        distill(settings, corpora, tmp_path, quiet=True)


def test_held_out_recordings_and_test_patients_are_never_cut(corpora):
    sampler = _sampler(tiny_recipe(), corpora, "b")
    rows = [clip.recording for corpus in sampler.corpora for clip in corpus]
    assert {row.metadata["database"] for row in rows if row.corpus == "physionet2016"} == set("acd")
    assert {row.split for row in rows if row.corpus != "physionet2016"} == {"train"}


def test_every_crop_has_its_own_row(corpora):
    sampler = _sampler(tiny_recipe(), corpora, "")
    lengths = [len(clip.pcm) for corpus in sampler.corpora for clip in corpus]
    assert sampler.crops == sum(len(crop_starts(n, sampler.crop)) for n in lengths)
    batch = sampler.batch((8, 8, 4), np.random.default_rng(0))
    assert batch.corpus.tolist() == [0] * 8 + [1] * 8 + [2] * 4
    assert len(set(batch.row.tolist())) == 20
    assert int(batch.row.min()) >= 0 and int(batch.row.max()) < sampler.crops


def test_teacher_outputs_are_kept_and_belong_to_their_crops(corpora, teacher, tmp_path):
    sampler = _sampler(tiny_recipe(), corpora, "")
    found = teacher_outputs(teacher, sampler, tmp_path)
    assert found.vectors.shape == (sampler.crops, 32)
    torch.testing.assert_close(found.vectors.mean(0), torch.zeros(32), atol=1e-4, rtol=0)
    again = teacher_outputs(teacher, sampler, tmp_path)
    torch.testing.assert_close(again.vectors, found.vectors, atol=0, rtol=0)
    (stored,) = tmp_path.glob("teacher-*.safetensors")
    stored.write_bytes(b"damaged")
    mended = teacher_outputs(teacher, sampler, tmp_path)
    torch.testing.assert_close(mended.vectors, found.vectors)
    # The soft label of a crop exists where its label is known, and nowhere else.
    clip = sampler.corpora[1][0]
    row, labels = sampler.first_row[1][0], sampler.cut(clip, 0)[1]
    assert found.probabilities[row].isfinite().tolist() == (labels != UNKNOWN).tolist()


def test_soft_labels_pull_towards_the_teacher(corpora):
    settings = tiny_recipe(distillation={"soft": 1.0, "keep": 0.0})
    sampler = _sampler(settings, corpora, "")
    batch = sampler.batch((8, 8, 4), np.random.default_rng(0))
    output = Student(settings.student).eval()(batch.pcm)
    shape = (sampler.crops, len(settings.student.targets))

    def clip_loss(probability):
        outputs = TeacherOutputs(torch.randn(shape[0], 4), torch.full(shape, probability))
        return Teaching(settings, outputs)(output, batch, epoch=3)["clip"]

    hard = Teaching(settings, None)(output, batch, epoch=3)["clip"]
    assert not torch.isclose(clip_loss(0.5), hard)
    # Without a probe (NaN) the hard label stands.
    torch.testing.assert_close(clip_loss(math.nan), hard)


@pytest.mark.parametrize("kind", ["mean", "logmeanexp"])
def test_pooling_a_constant_gives_the_constant(kind):
    logits = torch.full((2, 7), -1.25)
    torch.testing.assert_close(pool(logits, Pooling(kind)), torch.full((2,), -1.25))


def test_sizes_are_one_family():
    base = tiny_recipe()
    small, large = sized(base, "S"), sized(base, "L")
    assert small.name == "tiny-s"
    assert small.student.width < large.student.width
    assert small.student.blocks == large.student.blocks
    assert len({recipe_digest(r) for r in (base, small, large)}) == 3
    with pytest.raises(RecipeError, match="S, M, L"):
        sized(base, "XL")


def test_the_digest_forgets_what_training_does_not_use():
    table = RECIPE | {"decision": {"specificity": 0.8}, "test_looks": 9}
    table["pooling"] = RECIPE["pooling"] | {"murmur": {"kind": "mean", "exam_sharpness": 2.0}}
    from export.recipe import recipe_from_table

    assert recipe_digest(recipe_from_table(table)) == recipe_digest(tiny_recipe())
    assert recipe_digest(tiny_recipe(seed=3)) != recipe_digest(tiny_recipe())
