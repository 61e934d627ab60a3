"""OPERA-CE against the numbers of the original code; COLA, which OPERA-CT shares."""

import copy

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
from torch.nn import functional as F

from align.encoders.base import EncoderError
from align.encoders.cola_head import random_crop
from align.encoders.efficientnet import SameConv2d
from align.encoders.opera_ce import OperaCE

TOLERANCE = 1e-5  # of an embedding from the stored mel
OWN_MEL = 1e-3  # of an embedding from the sound
SECOND = 16_000


@pytest.fixture(scope="module")
def stored():
    return fixture_arrays("ce")


@pytest.fixture(scope="module")
def original():
    return filled(OperaCE(), "ce")


@pytest.fixture
def encoder(original):
    return copy.deepcopy(original)


def sound(samples):
    return torch.from_numpy(waveform(samples))


def generator(seed):
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def error(encoder, stored, case="8s2"):
    mel = torch.from_numpy(stored[f"mel_{case}"]).to(encoder.g.weight.dtype)
    return relative_error(encoder.embed(mel[None])[0], stored[f"emb_{case}"])


def test_names_and_shapes_are_those_of_the_checkpoint(encoder):
    expected = {row["key"]: tuple(row["shape"]) for row in fixture_keys("ce")}
    assert {key: tuple(value.shape) for key, value in encoder.state_dict().items()} == expected


def test_the_weights_are_those_of_the_fixtures(encoder):
    state = encoder.state_dict()
    for row in fixture_keys("ce"):
        value = state[row["key"]].flatten()
        assert value[-1].item() == pytest.approx(row["last"], abs=1e-9)
        assert value.double().sum().item() == pytest.approx(row["sum"], abs=1e-4)


@pytest.mark.parametrize("case", ["8s2", "1s_in8", "1s_in2", "1s3_in8", "1s1_in1"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_embeddings_equal_the_original(encoder, stored, case, dtype):
    assert error(encoder.to(dtype), stored, case) < TOLERANCE


@torch.no_grad()
def test_every_layer_equals_the_original(encoder, stored):
    root = nn.Module()
    root.cnn1 = encoder.encoder.cnn1
    for name, module in encoder.encoder.efficientnet.named_children():
        root.add_module(name, module)
    assert probe_error(root, stored, lambda: error(encoder, stored)) < TOLERANCE


@torch.no_grad()
def test_heads_equal_the_original(encoder, stored):
    embedding = torch.from_numpy(stored["emb_8s2"])[None]
    first, second = encoder.contrast(embedding)
    assert relative_error(encoder.g(embedding)[0], stored["head_g_8s2"]) < TOLERANCE
    assert relative_error(first[0], stored["head_x1_8s2"]) < TOLERANCE
    assert relative_error(second[0], stored["head_x2_8s2"]) < TOLERANCE


@pytest.mark.parametrize(
    ("case", "seconds", "wave"),
    [
        ("8s2", 8, sound(131_200)),
        ("trim", 8, torch.cat([torch.zeros(8000), sound(131_200), torch.zeros(11_200)])),
        ("1s_in2", 2, sound(SECOND)),
        ("1s1_in1", 1, sound(17_600)),
        ("50s", 8, sound(50 * SECOND)),
    ],
)
def test_recordings_embed_as_in_the_original(encoder, stored, case, seconds, wave):
    encoder.minimum_seconds = seconds
    assert relative_error(encoder.embed_recording(wave), stored[f"emb_{case}"]) < OWN_MEL


def test_the_tolerance_catches_the_usual_batch_norm(encoder, stored):
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-5
    assert error(encoder, stored) == pytest.approx(0.0043, rel=0.1)


def test_the_tolerance_catches_even_padding(encoder, stored):
    for module in encoder.modules():
        if isinstance(module, SameConv2d) and module.after > module.before:
            module.before, module.padding = module.after, (module.after, module.after)
    assert error(encoder, stored) == pytest.approx(0.36, rel=0.1)


def test_padding_does_not_follow_the_real_size():
    conv = SameConv2d(1, 1, kernel=3, stride=2)
    nn.init.ones_(conv.weight)
    with torch.no_grad():
        assert conv(torch.ones(1, 1, 4, 4))[0, 0].tolist() == [[9, 6], [6, 4]]
        assert conv(torch.ones(1, 1, 5, 5))[0, 0].tolist() == [[9, 9], [9, 9]]


def test_bfloat16_autocast_stays_close(encoder, stored):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert error(encoder, stored) < 0.02


def test_a_second_of_sound_is_too_short_and_34_frames_are_enough():
    encoder = OperaCE(minimum_seconds=1.0)
    with pytest.raises(EncoderError, match=r"at least 34 frames .* \(1.056 s\), got 32: give"):
        encoder.windows(torch.ones(SECOND))
    assert encoder.windows(torch.ones(16_896)).shape == (1, 16_896)


def test_too_few_features_are_refused_and_34_frames_are_enough(encoder):
    with pytest.raises(EncoderError, match="at least 34 frames"):
        encoder.embed(torch.zeros(1, 33, 64))
    assert encoder.embed(torch.zeros(2, 34, 64)).shape == (2, 1280)


def test_ssl_loss_is_cola_of_two_crops(encoder):
    features = torch.rand(4, 100, 64, generator=generator(0))
    with torch.no_grad():
        found = encoder.ssl_loss(features, generator(1))
        draws = generator(1)
        hidden = []
        for _ in range(2):
            starts = torch.randint(51, (4, 1), generator=draws).flatten().tolist()
            crop = torch.stack([features[i, s : s + 50] for i, s in enumerate(starts)])
            hidden.append(torch.tanh(encoder.layer_norm(encoder.g(encoder.embed(crop)))))
        logits = hidden[0] @ encoder.linear.weight.T @ hidden[1].T
        expected = F.cross_entropy(logits, torch.arange(4))
    torch.testing.assert_close(found, expected)


def test_ssl_loss_is_drawn_from_the_generator_only(encoder):
    features = torch.rand(4, 200, 64, generator=generator(0))
    with torch.no_grad():
        losses = [encoder.ssl_loss(features, generator(seed)) for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


def test_ssl_loss_reaches_every_weight():
    torch.manual_seed(0)
    fresh = OperaCE()
    fresh.ssl_loss(torch.rand(4, 80, 64, generator=generator(1)), generator(2)).backward()
    silent = [name for name, p in fresh.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_ssl_loss_of_too_short_features_is_refused(encoder):
    with pytest.raises(EncoderError, match="at least 34 frames"):
        encoder.ssl_loss(torch.zeros(2, 67, 64), generator(0))


def test_crops_are_consecutive_frames_of_their_own_row():
    features = torch.arange(3 * 20.0).view(3, 20, 1)
    starts = set()
    for seed in range(40):
        crop = random_crop(features, 15, generator(seed))
        assert crop.shape == (3, 15, 1)
        assert torch.equal(crop - crop[:, :1], torch.arange(15.0).view(1, 15, 1).expand(3, -1, -1))
        starts |= {int(start) for start in crop[:, 0, 0] - features[:, 0, 0]}
    assert starts == set(range(6))


def test_an_untrained_encoder_tells_sounds_apart():
    torch.manual_seed(0)
    fresh = OperaCE().eval()
    with torch.no_grad():
        first, second = fresh.embed(torch.rand(2, 100, 64, generator=generator(0)))
    assert relative_error(first, second) > 0.01
