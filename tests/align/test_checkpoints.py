"""Weights on disk: conversion, strict loading, and what is said when they do not fit."""

import json
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from huggingface_hub import errors as hub
from opera_fill import filled_state, fixture_arrays, relative_error
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from align.encoders import FACTORIES, EncoderError, build_encoder, checkpoints
from align.encoders.checkpoints import (
    convert_checkpoint,
    fetch_opera,
    load_encoder,
    load_weights,
    save_encoder,
)

TINY = {"dim": 32, "depth": 1, "heads": 2, "decoder_dim": 32, "decoder_depth": 1, "seconds": 1.024}


class Toy(nn.Module):
    """Stands in for an encoder where only names and shapes matter."""

    checkpoint_keys_ignored = ("front.*", "*.index")

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 2)


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(FACTORIES, "toy", (__name__, "Toy"))
    monkeypatch.setitem(FACTORIES, "opera-ce", (__name__, "Toy"))


def toy_state(**changes):
    state = {"body.weight": torch.arange(6.0).reshape(2, 3), "body.bias": torch.tensor([7.0, 8.0])}
    return OrderedDict({**state, **changes})


def lightning(state):
    """What Lightning stores beside the weights."""
    return {
        "epoch": 3,
        "global_step": 12,
        "pytorch-lightning_version": "2.2.0",
        "state_dict": state,
        "callbacks": {
            "ModelCheckpoint{'monitor': 'loss'}": {"best_model_score": torch.tensor(0.1)}
        },
        "optimizer_states": [{"state": {0: {"step": 1}}, "param_groups": [{"lr": 1e-4}]}],
        "hyper_parameters": {"name": "operaGT"},
    }


@torch.no_grad()
def test_a_lightning_checkpoint_of_opera_gt_gives_the_original_embedding(tmp_path):
    state = dict(build_encoder("opera-gt").state_dict()) | filled_state("gt")
    torch.save(lightning(state), tmp_path / "encoder-operaGT.ckpt")
    out = tmp_path / "deep" / "opera-gt.safetensors"
    convert_checkpoint(tmp_path / "encoder-operaGT.ckpt", "opera-gt", out)
    encoder = build_encoder("opera-gt").eval()
    load_weights(encoder, out)
    arrays = fixture_arrays("gt")
    found = encoder.embed(torch.from_numpy(arrays["mel_1s"])[None])[0]
    assert relative_error(found, arrays["emb_1s"]) < 1e-5
    with safe_open(out, "pt") as file:
        metadata = file.metadata()
    assert metadata["encoder"] == "opera-gt"
    assert metadata["source"] == "encoder-operaGT.ckpt"
    assert len(metadata["source_sha256"]) == 64
    assert "MIT" in metadata["licence"]


@pytest.mark.parametrize("wrap", [lightning, dict])
def test_keys_without_effect_are_left_out(tmp_path, wrap):
    state = toy_state(**{"front.stft": torch.ones(2), "body.deep.index": torch.ones(1)})
    torch.save(wrap(state), tmp_path / "toy.pt")
    convert_checkpoint(tmp_path / "toy.pt", "toy", tmp_path / "toy.safetensors")
    stored = load_file(tmp_path / "toy.safetensors")
    assert stored.keys() == {"body.weight", "body.bias"}
    assert torch.equal(stored["body.weight"], state["body.weight"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"body.weight": torch.ones(3, 2)},
            r"1 of another shape \(body.weight is \(3, 2\), not \(2, 3\)\)",
        ),
        ({"extra": torch.ones(1)}, r"1 unexpected \(extra\)"),
        ({f"x{i}": torch.ones(1) for i in range(5)}, r"5 unexpected \(x0, x1, x2, \.\.\.\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, changes, said):
    torch.save({"state_dict": toy_state(**changes)}, tmp_path / "toy.ckpt")
    with pytest.raises(EncoderError, match=said):
        convert_checkpoint(tmp_path / "toy.ckpt", "toy", tmp_path / "toy.safetensors")
    assert not (tmp_path / "toy.safetensors").exists()
    save_file(toy_state(**changes), tmp_path / "other.safetensors")
    with pytest.raises(EncoderError, match=said):
        load_weights(Toy(), tmp_path / "other.safetensors")


def test_missing_weights_are_named_and_nothing_is_loaded(tmp_path):
    save_file({"body.weight": torch.ones(2, 3)}, tmp_path / "half.safetensors")
    toy = Toy()
    before = toy.body.weight.clone()
    with pytest.raises(EncoderError, match=r"do not fit Toy: 1 missing \(body.bias\)"):
        load_weights(toy, tmp_path / "half.safetensors")
    assert torch.equal(toy.body.weight, before)


@pytest.mark.parametrize("plain", [True, False])
def test_a_checkpoint_that_runs_code_is_refused_unread(tmp_path, plain):
    victim, path = tmp_path / "victim", tmp_path / "evil.ckpt"
    content = {"state_dict": toy_state(), "callbacks": Hostile(victim)}
    if plain:
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path)
    with pytest.raises(EncoderError, match="refused: it holds more than plain tensors") as refusal:
        convert_checkpoint(path, "toy", tmp_path / "toy.safetensors")
    assert "\n" not in str(refusal.value)
    assert plain or "(builtins.getattr, pathlib.Path, pathlib.PosixPath)" in str(refusal.value)
    assert not victim.exists()
    assert not (tmp_path / "toy.safetensors").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_checkpoint_is_refused(tmp_path, share):
    path = tmp_path / "toy.ckpt"
    torch.save({"state_dict": toy_state()}, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(EncoderError, match=r"toy\.ckpt is truncated") as refusal:
        convert_checkpoint(path, "toy", tmp_path / "toy.safetensors")
    assert "\n" not in str(refusal.value)


def test_a_pointer_in_place_of_a_checkpoint_is_no_checkpoint(tmp_path):
    path = tmp_path / "toy.ckpt"
    path.write_text("version 1\noid sha256:ab\nsize 12\n")
    with pytest.raises(EncoderError, match="no PyTorch checkpoint"):
        convert_checkpoint(path, "toy", tmp_path / "toy.safetensors")


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": [1]}, {"epoch": 3}])
def test_a_checkpoint_without_weights_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "toy.ckpt")
    with pytest.raises(EncoderError, match="no state_dict of tensors"):
        convert_checkpoint(tmp_path / "toy.ckpt", "toy", tmp_path / "toy.safetensors")


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(EncoderError, match=r"no checkpoint at .*none\.ckpt"):
        convert_checkpoint(tmp_path / "none.ckpt", "toy", tmp_path / "toy.safetensors")
    with pytest.raises(EncoderError, match=r"no weights at .*none\.safetensors"):
        load_weights(Toy(), tmp_path / "none.safetensors")
    with pytest.raises(EncoderError, match="no encoder description at"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_safetensors_are_refused(tmp_path, share):
    path = tmp_path / "toy.safetensors"
    save_file(toy_state(), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(EncoderError, match=r"toy\.safetensors is truncated"):
        load_weights(Toy(), path)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    encoder = build_encoder("vit-ti-mae", TINY)
    save_encoder(encoder, "vit-ti-mae", TINY, tmp_path, recipe="r.toml", seed=3)
    return encoder, tmp_path


@torch.no_grad()
def test_a_saved_encoder_comes_back(saved):
    encoder, folder = saved
    again = load_encoder(folder)
    assert not again.training
    wave = torch.randn(6000, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again.embed_recording(wave), encoder.eval().embed_recording(wave))
    description = json.loads((folder / "encoder.json").read_text())
    assert description["record"] == {"recipe": "r.toml", "seed": 3}
    assert (description["rate"], description["dim"]) == (4000, 32)
    assert {path.name for path in folder.iterdir()} == {"encoder.json", "encoder.safetensors"}


def test_weights_other_than_the_described_ones_are_refused(saved):
    _, folder = saved
    weights = folder / "encoder.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(EncoderError, match=r"encoder\.safetensors is damaged"):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dim": 64}, "says dim 64, but its encoder has 32"),
        ({"rate": "fast"}, "no 'rate' of type int"),
        ({"options": {**TINY, "depth": 2}}, "do not fit VitMae: .* missing"),
        ({"name": "vit-xl"}, "unknown encoder 'vit-xl'"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(saved, changes, said):
    _, folder = saved
    path = folder / "encoder.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(EncoderError, match=said):
        load_encoder(folder)


def test_a_description_that_is_not_json_is_refused(saved):
    _, folder = saved
    (folder / "encoder.json").write_text("{")
    with pytest.raises(EncoderError, match=r"encoder\.json is not JSON"):
        load_encoder(folder)


def test_opera_is_downloaded_and_converted_once(tmp_path, monkeypatch):
    torch.save(lightning(toy_state()), tmp_path / "hub.ckpt")
    asked = []

    def download(repository, file):
        asked.append((repository, file))
        return str(tmp_path / "hub.ckpt")

    monkeypatch.setattr(checkpoints, "hf_hub_download", download)
    first = fetch_opera("opera-ce", tmp_path / "cache")
    again = fetch_opera("opera-ce", tmp_path / "cache")
    assert asked == [("evelyn0414/OPERA", "encoder-operaCE.ckpt")]
    assert first == again == tmp_path / "cache" / "opera-ce.safetensors"
    load_weights(Toy(), first)
    first.write_bytes(first.read_bytes()[:50])
    fetch_opera("opera-ce", tmp_path / "cache")
    load_weights(Toy(), first)


def _refusal(kind):
    if issubclass(kind, hub.HfHubHTTPError):
        return kind.__new__(kind)
    return kind("the first line\nand more")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (hub.GatedRepoError, "gated: accept its terms"),
        (hub.LocalEntryNotFoundError, "cannot be reached and no copy is cached"),
        (hub.OfflineModeIsEnabled, "cannot be reached and no copy is cached"),
        (hub.RepositoryNotFoundError, "not there any more"),
        (hub.RemoteEntryNotFoundError, "not there any more"),
        (PermissionError, "the first line; or convert"),
    ],
)
def test_a_hub_that_gives_nothing_is_explained_in_one_sentence(tmp_path, monkeypatch, kind, said):
    def download(*_):
        raise _refusal(kind)

    monkeypatch.setattr(checkpoints, "hf_hub_download", download)
    with pytest.raises(EncoderError, match=said) as refusal:
        fetch_opera("opera-ce", tmp_path)
    assert "encoder-operaCE.ckpt of evelyn0414/OPERA" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    with pytest.raises(EncoderError, match="known: opera-ct, opera-ce, opera-gt"):
        fetch_opera("opera-xl", tmp_path)
