"""Both designs really train, and the throughput figures mean what they say."""

import json
import sys

import pytest
import tiny_models
import torch
from tiny_corpora import write_corpora

from acula_edge.cli import main
from align.encoders import EncoderError, build_encoder
from align.settings import RecipeError
from align.training.recipe import recipe_from_table
from benchmarks import throughput, training_sides
from benchmarks.released_design import BATCH, PaddedTeacher, mel_of
from benchmarks.throughput import compare_throughput
from benchmarks.training_sides import build_sides

TABLE = {
    "name": "tiny",
    "encoder": {"name": "conv", "options": {"width": 16, "seconds": 1.28, "blocks": 1}},
    "corpora": [
        {"name": "circor", "batch": 16},
        {"name": "sprsound", "batch": 12},
        {"name": "physionet2016", "batch": 4, "text": False},
    ],
    "align": {"steps": 4, "learning_rate": 1e-2},
    "objective": {"hidden": 32, "width": 32},
}


@pytest.fixture(scope="module")
def recipe():
    return recipe_from_table(TABLE)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return tiny_models.bert(tmp_path_factory.mktemp("teacher"))


@pytest.fixture
def sides(recipe, teacher, monkeypatch):
    monkeypatch.setattr(training_sides, "RECORDINGS", 20)
    return build_sides(recipe, None, teacher, None, 8)


@pytest.fixture(scope="module")
def result(recipe, teacher):
    return compare_throughput(recipe, teacher=teacher, pairs=2, steps=3)


def weights(stage):
    parts = [p.detach().flatten() for p in stage.plain.parameters() if p.requires_grad]
    return torch.cat(parts).clone()


@pytest.mark.parametrize("name", ["ours", "same_batch", "released"])
def test_every_side_trains_the_same_model(sides, name):
    side = getattr(sides, name)
    before = weights(side.stage)
    assert torch.equal(before, weights(sides.ours.stage))
    side.burst(2)
    after = weights(side.stage)
    assert after.isfinite().all()
    heads = [side.stage.plain.encoder, side.stage.plain.audio_head, side.stage.plain.text_head]
    assert (after != before).float().mean() > 0.5
    assert all(any(p.grad.abs().sum() > 0 for p in part.parameters()) for part in heads)


def test_the_language_model_reads_padding_in_every_released_step_and_in_none_of_ours(
    sides, monkeypatch
):
    shapes = []
    read = PaddedTeacher.plain_mean

    def counted(self, tokens):
        shapes.append(tuple(tokens.shape))
        return read(self, tokens)

    monkeypatch.setattr(PaddedTeacher, "plain_mean", counted)
    sides.ours.burst(2)
    assert shapes == []
    sides.released.burst(2)
    assert shapes == [(BATCH, 2 * sides.teacher.window)] * 3


def test_the_language_model_stays_as_it_was(sides):
    tokens = sides.released.material.texts.vectors[:4]
    before = sides.teacher.plain_mean(tokens)
    sides.released.burst(2)
    assert torch.equal(sides.teacher.plain_mean(tokens), before)


def test_the_plain_mean_counts_padding(sides):
    ids, mask = sides.teacher.tokens(["loud murmur"]).chunk(2, dim=1)
    hidden = sides.teacher._model(input_ids=ids, attention_mask=mask).last_hidden_state
    mean = sides.teacher.plain_mean(torch.cat([ids, mask], dim=1))
    assert torch.allclose(mean, hidden.mean(dim=1), atol=1e-6)
    assert not torch.allclose(mean, hidden[mask == 1].mean(dim=0), atol=1e-3)


@pytest.mark.parametrize("name", ["conv", "vit-ti-mae", "opera-gt"])
def test_librosa_features_have_the_shape_of_the_encoders_own(name):
    encoder = build_encoder(name)
    wave = torch.randn(1, encoder.crop, generator=torch.Generator().manual_seed(0))
    features = mel_of(encoder).features(wave[0].numpy())
    assert features.shape == encoder.inputs(wave).shape[1:]
    assert features.dtype == torch.float32
    assert (features.min(), features.max()) == (0.0, 1.0)


@pytest.mark.parametrize("name", ["vit-ti-mae", "opera-gt"])
def test_a_tone_stands_in_the_same_place_as_in_the_encoders_own_features(name):
    encoder = build_encoder(name)
    time = torch.arange(encoder.crop) / encoder.rate
    burst = ((time > 2.0) & (time < 3.0)).float()
    noise = torch.randn(encoder.crop, generator=torch.Generator().manual_seed(0))
    wave = (torch.sin(2 * torch.pi * 700 * time) * burst + 0.01 * noise)[None]
    theirs, ours = mel_of(encoder).features(wave[0].numpy()), encoder.inputs(wave)[0]
    middle = round(2.5 * len(ours) * encoder.rate / encoder.crop)
    assert abs(int(theirs[middle].argmax()) - int(ours[middle].argmax())) <= 1
    band = int(theirs[middle].argmax())
    heard = theirs[:, band] > theirs[:, band].mean()
    assert abs(int(heard.sum()) * encoder.crop / encoder.rate / len(ours) - 1.0) < 0.2


def test_a_hub_model_is_refused(tmp_path):
    encoder = build_encoder("hub", {"model": tiny_models.ast(tmp_path), "seconds": 1.0})
    with pytest.raises(EncoderError, match="hub model"):
        mel_of(encoder)


def test_counts_are_pairs_times_steps_times_batch(result):
    assert (result.ours.batch, result.ours.clips) == (32, 2 * 3 * 32)
    assert (result.ours_same_batch.batch, result.ours_same_batch.clips) == (24, 2 * 3 * 24)
    assert (result.released.batch, result.released.clips) == (24, 2 * 3 * 24)
    assert result.split.clips == 3 * 24
    assert result.ratio.pairs == result.ratio_same_batch.pairs == 2


def test_ratios_are_of_the_rates_shown(result):
    between = [result.ratio.low, result.ratio.high]
    # With two pairs the ratio of medians lies between the two ratios that the interval spans.
    shown = result.ours.clips_per_second / result.released.clips_per_second
    assert between[0] * 0.999 <= shown <= between[1] * 1.001
    assert result.ratio_free_features.median < result.ratio.median


def test_the_split_adds_up_to_a_burst_like_the_others(result):
    split = result.split
    assert min(split.features, split.language_model, split.encoder) > 0
    total = split.features + split.language_model + split.encoder
    assert 0.2 < total * result.released.clips_per_second / 1e3 < 5


def test_json_holds_every_figure_and_the_table_is_short(result):
    figures = json.loads(json.dumps(result.to_dict()))
    assert figures["ratio"]["median"] == result.ratio.median
    assert figures["released"]["clips_per_second"] == result.released.clips_per_second
    assert figures["sound"] == "noise"
    assert len(result.lines()) < 10


def test_the_share_of_the_peak_is_told_for_a_known_device_only(
    recipe, teacher, result, monkeypatch
):
    assert (result.bf16_peak, result.peak_share) == (None, None)
    assert "unknown" in result.lines()[-1]
    monkeypatch.setattr(throughput, "_device_name", lambda _: "NVIDIA H200")
    known = compare_throughput(recipe, teacher=teacher, pairs=1, steps=1)
    expected = known.ours.clips_per_second * known.flops_per_clip / 989e12
    assert known.peak_share == pytest.approx(expected)
    assert known.flops_per_clip == result.flops_per_clip


def test_flops_are_those_of_a_layer_that_can_be_counted_by_hand(recipe, teacher, monkeypatch):
    monkeypatch.setattr(training_sides, "RECORDINGS", 20)
    side = build_sides(recipe, None, teacher, None, 8).same_batch
    head = side.stage.plain.audio_head
    small = throughput._flops_per_clip(side)
    head[0] = torch.nn.Linear(32, 64)  # 32 more hidden units
    head[3] = torch.nn.Linear(64, 32)
    # A multiplication and an addition, thrice (forward, to the weights, to the inputs).
    assert throughput._flops_per_clip(side) - small == 2 * 3 * (32 * 32 + 32 * 32)


def test_a_batch_is_shared_in_the_recipes_proportions(recipe):
    assert training_sides._shares(recipe, 24) == [
        ("circor", 12), ("sprsound", 9), ("physionet2016", 3),
    ]  # fmt: skip
    assert sum(share for _, share in training_sides._shares(recipe, 23)) == 23


def test_recordings_of_as_many_patients_as_possible_are_taken(
    recipe, teacher, tmp_path, monkeypatch
):
    monkeypatch.setattr(training_sides, "RECORDINGS", 5)
    write_corpora(tmp_path, patients=20)
    sides = build_sides(recipe, None, teacher, tmp_path, 4)
    rows = sides.ours.material.store.rows
    circor = [row.patient for row in rows if row.corpus == "circor"]
    assert len(circor) == len(set(circor)) == 16
    assert throughput._corpora(rows) == "circor, physionet2016, sprsound"
    sides.released.burst(1)


def test_a_recipe_without_reports_is_refused(teacher):
    table = {**TABLE, "corpora": [{"name": "circor", "batch": 8, "text": False}]}
    with pytest.raises(RecipeError, match="no corpus with reports"):
        compare_throughput(recipe_from_table(table), teacher=teacher)


def told(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["acula-edge", "bench", "throughput", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code, capsys.readouterr().err


def test_missing_librosa_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "librosa", None)
    code, message = told(monkeypatch, capsys)
    assert code == 5
    assert "pip install 'acula-edge[bench]'" in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["--encoder", "ear"], "ear"), (["--recipe", "no.toml"], "no.toml")],
)
def test_what_does_not_exist_is_named(monkeypatch, capsys, arguments, word):
    code, message = told(monkeypatch, capsys, *arguments)
    assert code == 2
    assert word in message
    assert "Traceback" not in message
