"""From corpora to an aligned encoder with its record, on corpora made in seconds."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tiny_alignment import TABLE
from tiny_corpora import write_corpora

from align.encoders.checkpoints import load_encoder
from align.leakage import LeakageError
from align.objectives import build_objective
from align.training.material import make_batch
from align.training.model import AlignModel
from align.training.optimise import Stage, TrainingError
from align.training.recipe import recipe_from_table
from align.training.run import open_runner


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora")
    write_corpora(root, patients=20)
    return root


@pytest.fixture(scope="module")
def recipe():
    return recipe_from_table(TABLE)


@pytest.fixture(scope="module")
def runner(recipe, data):
    return open_runner(recipe, data, data / "teacher", quiet=True)


@pytest.fixture(scope="module")
def finished(recipe, runner, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return folder, runner.run(recipe, folder, seed=0)


def weights(encoder):
    return torch.cat([parameter.flatten() for parameter in encoder.parameters()]).detach()


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_run_leaves_an_encoder_that_loads_as_it_was(finished):
    folder, encoder = finished
    wave = torch.randn(6000)
    assert torch.equal(
        load_encoder(folder).eval().embed_recording(wave), encoder.eval().embed_recording(wave)
    )


def test_the_log_tells_loss_terms_cka_rank_and_throughput(finished):
    lines = log_of(finished[0])
    assert [line["stage"] for line in lines] == ["pretrain"] * 2 + ["align"] * 4
    last = lines[-1]
    assert {"loss", "align", "ssl", "effective_rank", "clips_per_second"} <= set(last)
    assert {"cka_circor", "cka_sprsound", "cka_physionet2016"} <= set(last)
    assert last["loss"] == pytest.approx(last["align"] + last["ssl"], abs=1e-5)


def test_the_record_and_the_card_say_what_was_done(finished):
    record = json.loads((finished[0] / "run.json").read_text())
    assert record["training"]["circor"] == {"recordings": 20, "patients": 20, "hours": 0.03}
    assert record["training"]["physionet2016"]["recordings"] == 18  # without the held-out database
    assert record["certificate"]["passed"] is True
    card = (finished[0] / "MODEL_CARD.md").read_text()
    assert "| circor | 20 | 20 | 0.03 |" in card
    assert "makes no diagnosis" in card


def test_a_finished_run_is_not_run_again(recipe, runner, finished):
    folder, encoder = finished
    before = (folder / "log.jsonl").stat().st_mtime_ns
    again = runner.run(recipe, folder, seed=0)
    assert torch.equal(weights(again), weights(encoder))
    assert (folder / "log.jsonl").stat().st_mtime_ns == before


def test_a_killed_run_ends_as_if_it_had_not_been(recipe, runner, finished, tmp_path, monkeypatch):
    train, seen = Stage._train, []

    def killed(self, batch):
        seen.append(self.step)
        if self.name == "align" and self.step == 3:
            raise KeyboardInterrupt
        return train(self, batch)

    monkeypatch.setattr(Stage, "_train", killed)
    with pytest.raises(KeyboardInterrupt):
        runner.run(recipe, tmp_path, seed=0)
    monkeypatch.setattr(Stage, "_train", train)
    resumed = runner.run(recipe, tmp_path, seed=0)
    assert torch.allclose(weights(resumed), weights(finished[1]), atol=1e-6)
    steps = [line["step"] for line in log_of(tmp_path) if line["stage"] == "align"]
    assert steps == [1, 2, 3, 3, 4]  # step 3 was not saved, and was done again


def test_seeds_differ_and_a_seed_repeats(recipe, runner, finished, tmp_path):
    same = runner.run(recipe, tmp_path / "same", seed=0)
    other = runner.run(recipe, tmp_path / "other", seed=1)
    assert torch.equal(weights(same), weights(finished[1]))
    assert not torch.equal(weights(other), weights(same))


def test_micro_batches_train_with_the_gradient_of_the_whole_batch(recipe, runner, tmp_path):
    """Without dropout and self-supervision; batch norm sees the micro-batch, so it is frozen."""
    quiet = replace(recipe.objective, dropout=0.0, ssl_weight=0.0)
    gradients = []
    for micro in (0, 7):
        torch.manual_seed(0)
        settings = replace(recipe, objective=quiet, align=replace(recipe.align, micro_batch=micro))
        gradients.append(head_gradient(*stage_and_batch(settings, runner)))
    assert gradients[0].norm() > 0
    assert (gradients[0] - gradients[1]).norm() < 1e-4 * gradients[0].norm()


def head_gradient(stage, batch):
    stage.plain.eval()
    stage.model.train = lambda: None  # batch norm stays in evaluation mode
    stage.optimiser.step = lambda: None
    stage.config = replace(stage.config, clip=1e9)
    stage._train(batch)
    return torch.cat([p.grad.flatten() for p in stage.plain.audio_head.parameters()])


def stage_and_batch(recipe, runner):
    material = runner.workspace.material(recipe, 0)
    encoder = fresh_encoder(recipe)
    model = AlignModel(encoder, material.texts.vectors.shape[1], recipe.objective)
    stage = Stage(
        "align",
        recipe.stage,
        model,
        build_objective(recipe.objective.name),
        recipe.objective,
        recipe.align,
        0,
        runner.accelerator,
    )
    return stage, make_batch(material, material.sampler.draw(0), encoder.crop)


def fresh_encoder(recipe):
    from align.encoders import build_encoder

    return build_encoder(recipe.encoder.name, recipe.encoder.options)


@pytest.mark.parametrize("stage", ["ssl", "supervised", "supcon"])
def test_controls_train_the_encoder_too(stage, recipe, runner, tmp_path):
    settings = replace(recipe, stage=stage, pretrain=None)
    untrained = replace(recipe, stage="none", pretrain=None)
    before = runner.run(untrained, tmp_path / "before", seed=0)
    after = runner.run(settings, tmp_path / "after", seed=0)
    assert not torch.allclose(weights(before), weights(after), atol=1e-5)


def test_evaluation_recordings_get_no_report(recipe, runner):
    material = runner.workspace.material(recipe, 0)
    for index, row in enumerate(runner.workspace.store.rows):
        held_out = row.split != "train"
        if row.corpus == "physionet2016":
            held_out = row.metadata["database"] == "a"
        assert (int(material.texts.index[index]) < 0) == held_out


def test_shuffles_keep_the_reports_and_move_them(recipe, runner):
    def reports(shuffle):
        settings = replace(recipe, text=replace(recipe.text, shuffle=shuffle))
        material = runner.workspace.material(settings, 0)
        texts = material.texts
        return {
            (row.corpus, row.name): texts.reports[int(texts.index[i])]
            for i, row in enumerate(runner.workspace.store.rows)
            if int(texts.index[i]) >= 0
        }

    own, within, everywhere = reports("none"), reports("within"), reports("global")
    assert sorted(own.values()) == sorted(within.values()) == sorted(everywhere.values())
    assert own != within != everywhere
    for corpus in ("circor", "sprsound"):
        mine = [key for key in own if key[0] == corpus]
        assert sorted(own[k] for k in mine) == sorted(within[k] for k in mine)
        assert sorted(own[k] for k in mine) != sorted(everywhere[k] for k in mine)


def test_a_patient_on_both_sides_stops_the_run(recipe, runner, tmp_path, monkeypatch):
    rows = list(runner.workspace.store.rows)
    trained = next(i for i, row in enumerate(rows) if row.split == "train")
    tested = next(i for i, row in enumerate(rows) if row.split == "test")
    rows[tested] = replace(rows[tested], patient=rows[trained].patient, corpus=rows[trained].corpus)
    leaky = replace(
        runner,
        workspace=replace(
            runner.workspace, store=replace(runner.workspace.store, rows=tuple(rows))
        ),
    )
    with pytest.raises(LeakageError, match="patient"):
        leaky.run(recipe, tmp_path, seed=0)
    assert not (tmp_path / "encoder.json").exists()


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_the_batch(
    recipe, runner, tmp_path, monkeypatch
):
    crops = type(runner.workspace.store).crops

    def broken(self, rows, places, samples):
        wave = crops(self, rows, places, samples)
        wave[3, 10] = np.nan
        return wave

    monkeypatch.setattr(type(runner.workspace.store), "crops", broken)
    with pytest.raises(TrainingError, match="not finite at step 0; its batch is in"):
        runner.run(recipe, tmp_path, seed=0)
    (saved,) = tmp_path.glob("bad-batch-*.safetensors")
    with safe_open(saved, "pt") as batch:
        assert batch.get_tensor("wave")[3, 10].isnan()
        assert len(json.loads(batch.metadata()["recordings"])) == 20


def test_not_enough_memory_says_what_to_lower(recipe, runner, tmp_path, monkeypatch):
    def exhausted(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Stage, "_train", exhausted)
    with pytest.raises(TrainingError, match="set micro_batch"):
        runner.run(recipe, tmp_path, seed=0)


def test_a_damaged_checkpoint_is_refused(recipe, runner, tmp_path):
    (tmp_path / "pretrain.checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match="is damaged or another recipe's"):
        runner.run(recipe, tmp_path, seed=0)


def test_a_corrupt_recording_is_skipped_and_stands_in_the_record(recipe, tmp_path):
    write_corpora(tmp_path / "data", patients=20)
    victim = sorted((tmp_path / "data" / "circor-digiscope" / "training_data").glob("*.wav"))[0]
    victim.write_bytes(victim.read_bytes()[:30])
    damaged = open_runner(recipe, tmp_path / "data", tmp_path / "teacher", quiet=True)
    assert [item.name for item in damaged.workspace.store.skipped] == [f"circor/{victim.stem}"]
