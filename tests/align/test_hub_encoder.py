"""Hub encoders: features equal the library's extractors, and only sound is averaged."""

import functools

import pytest
import tiny_models
import torch
import transformers as hf

from align.encoders import EncoderError, build_encoder
from align.encoders.hub import HubEncoder

FAMILIES = {
    "ast": tiny_models.ast,
    "clap": tiny_models.clap,
    "clap-fused": functools.partial(tiny_models.clap, fusion=True),
    "wav2vec2": tiny_models.wav2vec2,
    "whisper": tiny_models.whisper,
}
SECONDS = {"ast": 1.0, "clap": 0.6, "clap-fused": 0.6, "wav2vec2": 1.0, "whisper": 2.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    @functools.cache
    def saved(family):
        makers = {**FAMILIES, "other": tiny_models.wav2vec2_bert, "text": tiny_models.bert}
        return makers[family](tmp_path_factory.mktemp(family))

    return saved


@pytest.fixture(scope="module")
def built(folder):
    """Encoders for tests that do not change them."""
    return functools.cache(
        lambda family, seconds, layer=-1: HubEncoder(folder(family), layer=layer, seconds=seconds)
    )


def waves(encoder, rows=2, seed=0, samples=None):
    """Noise at -20 and -80 dB, with a silent stretch: logarithms show every difference."""
    generator = torch.Generator().manual_seed(seed)
    wave = torch.randn(rows, samples or encoder.crop, generator=generator)
    wave[:, 1000:3000] = 0.0
    return wave * torch.logspace(-1, -4, rows)[:, None]


def library_features(folder, encoder, wave):
    extractor = hf.AutoFeatureExtractor.from_pretrained(folder)
    found = extractor(list(wave.numpy()), sampling_rate=encoder.rate, return_tensors="pt")
    return found[extractor.model_input_names[0]].float()


@pytest.mark.parametrize(
    ("family", "seconds", "tolerance"),
    [
        ("ast", 1.0, 2e-5), ("ast", 1.29, 2e-5), ("ast", 0.3, 2e-5),
        ("clap", 1.6, 5e-3), ("clap", 2.0, 5e-3), ("clap", 1.99, 5e-3), ("clap", 0.6, 5e-3),
        ("clap-fused", 0.6, 5e-3), ("wav2vec2", 1.0, 2e-6), ("whisper", 2.0, 2e-6),
        ("whisper", 3.0, 2e-6), ("whisper", 2.99, 2e-6),
    ],
)  # fmt: skip
def test_features_equal_the_library_s_extractor(folder, built, family, seconds, tolerance):
    """Absolute tolerances: CLAP's are decibels, the others' about unit deviation."""
    encoder = built(family, seconds)
    wave = waves(encoder)
    padded = next(iter(encoder.front_end.padded(encoder.inputs(wave)).values()))
    expected = library_features(folder(family), encoder, wave)
    assert expected.std() > 0.1
    torch.testing.assert_close(padded, expected, atol=tolerance, rtol=0)


def reference_model(family, folder):
    if family == "ast":
        return hf.ASTForAudioClassification.from_pretrained(folder).audio_spectrogram_transformer
    if family.startswith("clap"):
        return hf.ClapModel.from_pretrained(folder).audio_model
    if family == "whisper":
        return hf.WhisperForConditionalGeneration.from_pretrained(folder).model.encoder
    return hf.Wav2Vec2ForCTC.from_pretrained(folder).wav2vec2


@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_equal_the_library_s_model(folder, built, family):
    encoder = built(family, SECONDS[family])
    wave = waves(encoder)
    features = library_features(folder(family), encoder, wave)
    extra = {"is_longer": torch.zeros(2, 1).bool()} if family.startswith("clap") else {}
    with torch.no_grad():
        output = reference_model(family, folder(family)).eval()(features, **extra)
        embedding = encoder.embed(encoder.inputs(wave))
    hidden = output.last_hidden_state
    expected = {
        # 98 frames hold 9 patches of 16 every 10; tokens are 12 bands of 12 columns after 2
        "ast": lambda: hidden[:, 2:].view(2, 12, 12, 16)[:, :, :9].mean(dim=(1, 2)),
        "wav2vec2": lambda: hidden.mean(dim=1),
        "whisper": lambda: hidden[:, :101].mean(dim=1),  # 2 s and half a window, 20 ms each
    }.get(family, lambda: output.pooler_output)()
    assert embedding.shape == (2, encoder.dim)
    torch.testing.assert_close(embedding, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ["ast", "whisper", "wav2vec2"])
@pytest.mark.parametrize("layer", [0, 1])
def test_a_layer_is_the_library_s_hidden_state(folder, built, family, layer):
    encoder = built(family, SECONDS[family], layer)
    wave = waves(encoder)
    features = library_features(folder(family), encoder, wave)
    with torch.no_grad():
        reference = reference_model(family, folder(family)).eval()
        hidden = reference(features, output_hidden_states=True).hidden_states[layer]
        frames = encoder.inputs(wave).shape[1]
        expected = encoder.front_end.pool(None, hidden, frames)
        embedding = encoder.embed(encoder.inputs(wave))
    torch.testing.assert_close(embedding, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_clip_embeds_the_same_alone_as_beside_a_louder_one(built, family):
    encoder = built(family, SECONDS[family])
    wave = waves(encoder)
    with torch.no_grad():
        both = encoder.embed(encoder.inputs(wave))
        alone = encoder.embed(encoder.inputs(wave[1:]))
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(both[0], both[1], atol=1e-4)


def test_windows_overlap_by_half_end_at_the_end_and_repeat_what_is_short(built):
    encoder = built("wav2vec2", 0.5)
    assert (encoder.rate, encoder.crop) == (16_000, 8_000)
    wave = torch.arange(18_500.0)
    windows = encoder.windows(wave)
    assert windows[:, 0].tolist() == [0, 4000, 8000, 10_500]
    assert windows[:, -1].tolist() == [7999, 11_999, 15_999, 18_499]
    short = encoder.windows(torch.arange(3_000.0))
    assert short.shape == (1, 8_000)
    assert torch.equal(short[0, 3_000:6_000], torch.arange(3_000.0))
    with pytest.raises(EncoderError, match="without samples"):
        encoder.windows(torch.empty(0))


def test_a_recording_s_embedding_is_the_mean_over_its_windows(built):
    encoder = built("ast", 1.0)
    wave = waves(encoder, rows=1, samples=40_000)[0]
    with torch.no_grad():
        parts = [encoder.embed(encoder.inputs(window[None])) for window in encoder.windows(wave)]
    assert len(parts) == 4
    expected = torch.cat(parts).mean(dim=0)
    torch.testing.assert_close(encoder.embed_recording(wave), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_depends_on_the_generator_alone_even_in_training(folder, family):
    encoder = HubEncoder(folder(family), seconds=SECONDS[family]).train()
    features = encoder.inputs(waves(encoder, rows=3))
    draws = [
        encoder.ssl_loss(features, torch.Generator().manual_seed(seed)).item() for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_trainable_weight_learns(folder, family):
    """Distributed training stalls on a weight without gradient."""
    encoder = HubEncoder(folder(family), seconds=SECONDS[family]).train()
    features = encoder.inputs(waves(encoder, rows=3))
    assert not features.requires_grad
    embedding, ssl = encoder.embed_and_ssl(features, torch.Generator().manual_seed(0))
    (embedding.sum() + ssl).backward()
    weights = {n: w for n, w in encoder.named_parameters() if w.requires_grad}
    assert [name for name, weight in weights.items() if weight.grad is None] == []
    assert encoder.bilinear.weight.grad.norm() > 0


def test_training_on_the_loss_tells_tones_apart(folder):
    torch.manual_seed(0)
    encoder = HubEncoder(folder("clap"), seconds=0.6).train()
    time = torch.arange(encoder.crop) / encoder.rate
    wave = torch.sin(2 * torch.pi * torch.tensor([200.0, 800.0, 3000.0, 6000.0])[:, None] * time)
    features = encoder.inputs(wave)
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(encoder.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = encoder.ssl_loss(features, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > 1.0
    assert sum(losses[-5:]) / 5 < 0.3


def test_features_stay_in_float32_under_autocast(folder):
    encoder = HubEncoder(folder("ast"), seconds=1.0)
    wave = waves(encoder)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = encoder.inputs(wave.bfloat16().float())
    assert features.dtype == torch.float32
    assert torch.equal(features, encoder.inputs(wave.bfloat16().float()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_computed_where_the_wave_lives(folder, family):
    encoder = HubEncoder(folder(family), seconds=SECONDS[family])
    wave = waves(encoder)
    here = encoder.inputs(wave)
    there = encoder.cuda().inputs(wave.cuda())
    assert there.is_cuda
    torch.testing.assert_close(there.cpu(), here, atol=5e-3, rtol=0)


def test_any_other_model_uses_its_own_extractor_and_says_so_once(folder, caplog):
    encoder = HubEncoder(folder("other"), seconds=1.0)
    wave = waves(encoder)
    for _ in range(2):
        features = encoder.inputs(wave)
    assert torch.equal(features, library_features(folder("other"), encoder, wave))
    assert encoder.embed(features).shape == (2, encoder.dim)
    assert [r.getMessage().count("runs on the processor") for r in caplog.records] == [1]
    with pytest.raises(EncoderError, match="no self-supervised loss here"):
        encoder.ssl_loss(features, torch.Generator())


def test_it_is_built_by_name(folder):
    encoder = build_encoder("hub", {"model": folder("ast"), "seconds": 1.0})
    assert isinstance(encoder, HubEncoder)
    with pytest.raises(EncoderError, match="hub"):
        build_encoder("hub", {})


@pytest.mark.parametrize(
    ("family", "options", "sentence"),
    [
        ("ast", {"seconds": 2.0}, r"hears 1\.3\d s at a time, not 2\.00 s: lower `seconds`"),
        ("clap", {"seconds": 2.5}, r"hears 2\.00 s at a time"),
        ("whisper", {"seconds": 4.0}, r"hears 3\.00 s at a time"),
        ("ast", {"seconds": 0.01}, r"cannot embed 0\.01 s"),
        ("wav2vec2", {"seconds": 0.0}, "cannot embed 0 s"),
        ("wav2vec2", {"layer": 7}, "at layer 7"),
        ("clap", {"layer": 1}, "pooled output only: layer is -1"),
        ("text", {}, "has no audio feature extractor: is it an audio encoder"),
    ],
)
def test_what_does_not_fit_is_refused_when_built(folder, family, options, sentence):
    with pytest.raises(EncoderError, match=sentence) as caught:
        HubEncoder(folder(family), **{"seconds": 1.0, **options})
    assert "\n" not in str(caught.value)


def test_missing_models_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EncoderError, match="not in the local cache and the hub cannot be reached"):
        HubEncoder("example/no-such-model")
    with pytest.raises(EncoderError, match="no model folder at"):
        HubEncoder(str(tmp_path / "absent"))


def test_a_checkpoint_without_some_weights_is_refused(folder, tmp_path):
    model = hf.AutoModel.from_pretrained(folder("ast"))
    weights = {k: v for k, v in model.state_dict().items() if "layers.1" not in k}
    model.save_pretrained(tmp_path, state_dict=weights)
    hf.ASTFeatureExtractor(max_length=128).save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match=r"lacks \d+ of its weights, among them .*layers\.1"):
        HubEncoder(str(tmp_path), seconds=1.0)
