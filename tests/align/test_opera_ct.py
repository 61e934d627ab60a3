"""OPERA-CT against the numbers of the original code, and what it does where that code fails."""

from fnmatch import fnmatch

import numpy as np
import pytest
import torch
from opera_fill import (
    filled,
    fixture_arrays,
    fixture_keys,
    probe_error,
    relative_error,
    waveform,
)
from torch import nn

from align.encoders import htsat
from align.encoders.base import EncoderError
from align.encoders.opera_ct import OperaCT

TOLERANCE = 1e-5  # of an embedding from the stored mel
OWN_MEL = 1e-3  # of an embedding from the sound
SECOND = 16_000


@pytest.fixture(scope="module")
def stored():
    return fixture_arrays("ct")


@pytest.fixture(scope="module")
def encoder():
    return filled(OperaCT(), "ct")


@pytest.fixture
def shallow(monkeypatch):
    """Untrained, five blocks instead of twelve: one with shifted windows."""
    monkeypatch.setattr(htsat, "DEPTHS", (2, 1, 1, 1))
    torch.manual_seed(0)
    return OperaCT()


def sound(samples):
    return torch.from_numpy(waveform(samples))


@torch.no_grad()
def error(encoder, stored, case="8s2"):
    mel = torch.from_numpy(stored[f"mel_{case}"]).to(encoder.g.weight.dtype)
    return relative_error(encoder.embed(mel[None])[0], stored[f"emb_{case}"])


def test_names_and_shapes_are_those_of_the_checkpoint(encoder):
    rows = fixture_keys("ct")
    ignored = {
        row["key"]
        for row in rows
        if any(fnmatch(row["key"], pattern) for pattern in encoder.checkpoint_keys_ignored)
    }
    expected = {row["key"]: tuple(row["shape"]) for row in rows if row["key"] not in ignored}
    assert {key: tuple(value.shape) for key, value in encoder.state_dict().items()} == expected
    learned = {row["key"] for row in rows if row["fill"] != "constant"} & ignored
    classifier = ("encoder.encoder.htsat.tscam_conv.", "encoder.encoder.htsat.head.")
    assert all(key.startswith(classifier) for key in learned)


def test_the_weights_are_those_of_the_fixtures(encoder):
    state = encoder.state_dict()
    for row in fixture_keys("ct"):
        if row["key"] in state and row["fill"] != "constant":
            value = state[row["key"]].flatten()
            assert value[0].item() == pytest.approx(row["first"], abs=1e-9)
            assert value.double().sum().item() == pytest.approx(row["sum"], abs=1e-4)


@pytest.mark.parametrize("case", ["8s2", "1s_in8", "1s_in2", "1s3_in8"])
def test_embeddings_equal_the_original(encoder, stored, case):
    assert error(encoder, stored, case) < TOLERANCE


@torch.no_grad()
def test_every_layer_equals_the_original(encoder, stored):
    root = encoder.encoder.get_submodule("encoder.htsat")
    assert probe_error(root, stored, lambda: error(encoder, stored)) < TOLERANCE


@torch.no_grad()
def test_heads_equal_the_original(encoder, stored):
    embedding = torch.from_numpy(stored["emb_8s2"])[None]
    first, second = encoder.contrast(embedding)
    assert relative_error(encoder.g(embedding)[0], stored["head_g_8s2"]) < TOLERANCE
    assert relative_error(first[0], stored["head_x1_8s2"]) < TOLERANCE
    assert relative_error(second[0], stored["head_x2_8s2"]) < TOLERANCE


def test_double_precision_agrees(encoder, stored):
    try:
        assert error(encoder.double(), stored) < TOLERANCE
    finally:
        encoder.float()


@pytest.mark.parametrize(
    ("case", "wave"),
    [
        ("8s2", sound(131_200)),
        ("trim", torch.cat([torch.zeros(8000), sound(131_200), torch.zeros(11_200)])),
        ("1s_in8", sound(SECOND)),
        ("50s", sound(50 * SECOND)),
    ],
)
def test_recordings_embed_as_in_the_original(encoder, stored, case, wave):
    assert relative_error(encoder.embed_recording(wave), stored[f"emb_{case}"]) < OWN_MEL


def test_recordings_padded_with_zeros_embed_as_in_the_original(encoder, stored, monkeypatch):
    monkeypatch.setattr(encoder, "minimum_seconds", 20.0)
    monkeypatch.setattr(encoder, "padding", "zeros")
    found = encoder.embed_recording(sound(SECOND))
    assert relative_error(found, stored["emb_1s_in20_pad0"]) < OWN_MEL


def layer_norms_of_eps_1e6(encoder, monkeypatch):
    for module in encoder.modules():
        if isinstance(module, nn.LayerNorm):
            monkeypatch.setattr(module, "eps", 1e-6)


def no_shift_mask(encoder, monkeypatch):
    for module in encoder.modules():
        if isinstance(module, htsat.WindowAttention) and module.shift:
            monkeypatch.setitem(module._buffers, "mask", torch.zeros_like(module.mask))


def transposed_position_bias(encoder, monkeypatch):
    for module in encoder.modules():
        if isinstance(module, htsat.WindowAttention):
            transposed = module.index.view(64, 64).T.flatten()
            monkeypatch.setitem(module._buffers, "index", transposed)


@pytest.mark.parametrize(
    ("mistake", "size"),
    [(layer_norms_of_eps_1e6, 7e-5), (no_shift_mask, 0.029), (transposed_position_bias, 0.0077)],
)
def test_the_tolerance_catches_mistakes(encoder, stored, monkeypatch, mistake, size):
    mistake(encoder, monkeypatch)
    assert error(encoder, stored) == pytest.approx(size, rel=0.1)


@pytest.mark.parametrize(("frames", "crops"), [(1024, 1), (1025, 1), (1537, 1), (1538, 2)])
def test_long_features_are_cut_in_crops(encoder, monkeypatch, frames, crops):
    seen = []
    root = encoder.encoder.get_submodule("encoder.htsat")
    monkeypatch.setattr(root, "forward", lambda x: seen.append(x) or x.mean(dim=1))
    features = torch.rand(2, frames, 64, generator=torch.Generator().manual_seed(0))
    found = encoder.embed(features)
    expected = [features[:, 512 * i : 512 * i + 1024].mean(dim=1) for i in range(crops)]
    assert seen[0].shape == (2 * crops, 1024, 64)
    torch.testing.assert_close(found, torch.stack(expected).mean(dim=0))


@torch.no_grad()
def test_bfloat16_autocast_stays_close(shallow, stored):
    mel = torch.from_numpy(stored["mel_8s2"])[None]
    shallow.eval()
    expected = shallow.embed(mel)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert relative_error(shallow.embed(mel), expected) < 0.02


@pytest.mark.parametrize("shape", [(1, 64, 257), (257, 64), (1, 0, 64)])
def test_features_of_another_shape_are_refused(encoder, shape):
    with pytest.raises(EncoderError):
        encoder.embed(torch.zeros(shape))


def test_ssl_loss_reaches_every_weight(shallow):
    features = torch.rand(2, 32, 64, generator=torch.Generator().manual_seed(1))
    shallow.ssl_loss(features, torch.Generator().manual_seed(2)).backward()
    silent = [name for name, p in shallow.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_fold_stacks_time_blocks():
    x = torch.arange(64 * 1024).view(1, 64, 1024)
    square = htsat.fold(x)[0, 0]
    assert square.shape == (256, 256)
    for block, band, frame in ((0, 0, 0), (1, 3, 7), (3, 63, 255)):
        assert square[64 * block + band, frame] == x[0, band, 256 * block + frame]


def test_windows_and_back_is_the_identity():
    square = torch.from_numpy(np.random.default_rng(0).random((2, 16, 16, 3)))
    windows = htsat.to_windows(square)
    assert torch.equal(windows[1].view(8, 8, 3), square[0, :8, 8:])
    assert torch.equal(htsat.from_windows(windows, 16), square)
