"""OPERA-GT against the numbers of its original implementation (tests/data/opera/README.md)."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from opera_fill import filled_state, fixture_arrays, fixture_keys, relative_error, waveform

from align.encoders import EncoderError, build_encoder
from align.encoders.opera_audio import log_mel
from align.encoders.opera_gt import OperaGT
from align.encoders.transformer import draw_kept

EXACT = 1e-5  # relative L2 from stored mels
OWN_MEL = 1e-3  # from our own
TABLES = {"pos_embed", "decoder_pos_embed"}


@pytest.fixture(scope="module")
def arrays():
    return fixture_arrays("gt")


@pytest.fixture(scope="module")
def gt():
    encoder = OperaGT()
    fit = encoder.load_state_dict(filled_state("gt"), strict=False)
    assert not fit.unexpected_keys
    assert set(fit.missing_keys) == TABLES
    return encoder.eval()


def kept_tokens(mask):
    """Indices (B, K) of the zeros of a mask (B, L)."""
    return torch.stack([torch.nonzero(row == 0).flatten() for row in torch.from_numpy(mask)])


def small(batch=2, frames=64):
    """Features of few tokens, for tests of behaviour rather than of numbers."""
    return torch.rand(batch, frames, 64, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def shallow(gt):
    """One encoder block and two decoder blocks, one of each kind."""
    encoder = deepcopy(gt)
    encoder.blocks, encoder.decoder_blocks = encoder.blocks[:1], encoder.decoder_blocks[:2]
    return encoder


@pytest.fixture(scope="module")
def small_loss(gt):
    return gt.ssl_loss(small(), torch.Generator().manual_seed(1))


def test_names_and_shapes_are_those_of_the_original_checkpoint(gt):
    wanted = [(row["key"], tuple(row["shape"])) for row in fixture_keys("gt")]
    assert [(key, tuple(value.shape)) for key, value in gt.state_dict().items()] == wanted


def test_position_tables_are_the_original_ones(gt, arrays):
    rows = arrays["pos_embed_rows"]
    for table in TABLES:
        stored = arrays[f"{table}_val"]
        assert np.abs(getattr(gt, table)[0, rows].numpy() - stored).max() < 1e-5


@torch.no_grad()
def test_every_layer_and_the_embedding_of_stored_windows(gt, arrays):
    found = {}

    def keep(name):
        def hook(_module, _inputs, output):
            found[name] = output[:1]

        return hook

    names = arrays["probe_names"].tolist()
    hooks = [gt.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    embeddings = gt.embed(torch.from_numpy(arrays["mel_8s2_windows"]))
    for hook in hooks:
        hook.remove()
    assert relative_error(embeddings, arrays["emb_8s2_windows"]) < EXACT
    assert relative_error(embeddings.mean(dim=0), arrays["emb_8s2"]) < EXACT
    for name, probe in zip(names, arrays["probe_values"], strict=True):
        output = found[name]
        if name == "patch_embed":
            output = output.flatten(2).transpose(1, 2)
        flat = output.double().flatten()
        picked = flat[torch.arange(16) * (len(flat) - 1) // 15]
        moments = [flat.mean(), flat.std(unbiased=False), flat.min(), flat.max()]
        assert relative_error(torch.stack([*moments, *picked]), probe) < EXACT, name


@torch.no_grad()
def test_windows_of_five_seconds(gt, arrays):
    five = OperaGT(seconds=5.0)
    five.load_state_dict(gt.state_dict())
    features = five.inputs(five.windows(torch.from_numpy(waveform(131200))))
    assert [len(row) for row in features] == arrays["frames_8s2_in5"].tolist()
    found = five.embed(features)
    assert relative_error(found, arrays["emb_8s2_in5_windows"]) < OWN_MEL


def test_own_mel_is_the_original_one(gt, arrays):
    for samples, stored, step in (
        (131200, "mel_8s2_windows", 1),
        (320000, "mel_20s_windows_every4", 4),
    ):
        found = gt.inputs(gt.windows(torch.from_numpy(waveform(samples))))[:, ::step]
        assert np.abs(found.numpy() - arrays[stored]).max() < 1e-4


@pytest.mark.slow
@torch.no_grad()
def test_whole_recordings_through_our_own_preprocessing(gt, arrays):
    clip, long = torch.from_numpy(waveform(131200)), torch.from_numpy(waveform(320000))
    silent = torch.cat([torch.zeros(8000), clip, torch.zeros(11200)])
    eight = OperaGT(seconds=8.0)
    eight.load_state_dict(gt.state_dict())
    pieces = [gt.embed(piece) for piece in log_mel(long[None]).split(256, dim=1)]
    for found, stored in (
        (gt.embed_recording(clip), "emb_8s2"),
        (gt.embed_recording(clip[:16000]), "emb_1s"),
        (gt.embed_recording(long), "emb_20s"),
        (gt.embed_recording(silent), "emb_trim"),
        (eight.embed_recording(clip), "emb_8s2_in8"),
        (torch.cat(pieces).mean(dim=0), "emb_20s_from_spec"),
    ):
        assert relative_error(found, arrays[stored]) < OWN_MEL, stored
    last = gt.embed(torch.from_numpy(arrays["mel_20s_last_window"])[None])
    assert relative_error(last[0], arrays["emb_20s_windows"][-1]) < EXACT


@torch.no_grad()
@pytest.mark.parametrize(
    ("case", "batch", "frames"), [("mae256", 1, 256), ("mae64", 1, 64), ("mae128b2", 2, 128)]
)
def test_masked_autoencoder_with_the_original_decoder(gt, arrays, case, batch, frames):
    features = torch.from_numpy(arrays["mel_8s2_windows"])[:batch, :frames]
    found = gt.masked_pass(features, kept_tokens(np.atleast_2d(arrays[f"{case}_mask"])))
    assert relative_error(found.loss, arrays[f"{case}_loss"]) < EXACT
    if batch == 1:
        latent, prediction = found.latent[0], found.prediction[0]
        assert relative_error(prediction[::16], arrays[f"{case}_pred_every16"]) < EXACT
        assert relative_error(latent[0], arrays[f"{case}_latent_cls"]) < EXACT
        assert relative_error(latent.mean(dim=0), arrays[f"{case}_latent_mean"]) < EXACT


@torch.no_grad()
def test_the_masked_encoder_sees_the_kept_tokens_only(gt):
    seen = []
    hook = gt.blocks[0].register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].shape))
    gt.ssl_loss(small(), torch.Generator().manual_seed(1))
    hook.remove()
    assert seen == [(2, 1 + 76, 384)]


@torch.no_grad()
def test_prediction_does_not_depend_on_masked_pixels(gt):
    features = small(1)
    kept = draw_kept(1, 256, 0.7, torch.Generator().manual_seed(2))
    masked = next(i for i in range(256) if i not in kept[0])
    changed = features.clone()
    frame, band = masked // 16 * 4, masked % 16 * 4
    changed[0, frame : frame + 4, band : band + 4] = 9.0
    before, after = gt.masked_pass(features, kept), gt.masked_pass(changed, kept)
    assert torch.equal(before.prediction, after.prediction)
    assert after.loss > before.loss


@torch.no_grad()
def test_the_generator_decides_the_mask(gt, small_loss):
    again = gt.ssl_loss(small(), torch.Generator().manual_seed(1))
    other = gt.ssl_loss(small(), torch.Generator().manual_seed(2))
    assert again == small_loss
    assert abs(other - small_loss) > 1e-4


def test_the_loss_trains_every_parameter_but_the_tables(gt, small_loss):
    gt.zero_grad()
    small_loss.backward()
    idle = {key for key, p in gt.named_parameters() if p.grad is None or not p.grad.any()}
    assert idle == TABLES
    gt.zero_grad()


@torch.no_grad()
def test_frames_that_fill_no_patch_are_dropped(gt):
    features = small(frames=67)
    assert torch.equal(gt.embed(features), gt.embed(features[:, :64]))


@torch.no_grad()
def test_float64_agrees_and_half_precision_is_close(shallow):
    features = small()
    kept = draw_kept(2, 256, 0.7, torch.Generator().manual_seed(3))
    single = (shallow.embed(features), shallow.masked_pass(features, kept).loss)
    for dtype, tolerance in ((torch.float64, 1e-5), (torch.bfloat16, 0.05)):
        cast = deepcopy(shallow).to(dtype)
        found = (cast.embed(features.to(dtype)), cast.masked_pass(features, kept).loss)
        assert found[0].dtype == dtype
        for value, wanted in zip(found, single, strict=True):
            assert relative_error(value, wanted) < tolerance
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert relative_error(shallow.embed(features).float(), single[0]) < 0.05
        assert relative_error(shallow.masked_pass(features, kept).loss, single[1]) < 0.05


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@torch.no_grad()
def test_the_accelerator_agrees(gt, arrays):
    copy = OperaGT().cuda()
    copy.load_state_dict(gt.state_dict())
    wave = torch.from_numpy(waveform(131200)).cuda()
    assert relative_error(copy.embed_recording(wave), arrays["emb_8s2"]) < OWN_MEL
    kept = kept_tokens(arrays["mae256_mask"][None]).cuda()
    features = torch.from_numpy(arrays["mel_8s2_windows"][:1]).cuda()
    loss = copy.masked_pass(features, kept).loss
    assert relative_error(loss, arrays["mae256_loss"]) < OWN_MEL


@pytest.mark.slow
@torch.no_grad()
def test_one_graph_for_the_compiler(shallow):
    features = small()
    kept = draw_kept(2, 256, 0.7, torch.Generator().manual_seed(3))
    compiled = torch.compile(shallow.masked_pass, fullgraph=True, backend="eager")
    assert torch.equal(compiled(features, kept).loss, shallow.masked_pass(features, kept).loss)


@pytest.mark.parametrize(
    ("shape", "said"),
    [((1, 260, 64), "not 260"), ((1, 3, 64), "not 3"), ((1, 64, 63), "64"), ((64, 64), "64")],
)
def test_impossible_features_are_refused(gt, shape, said):
    with pytest.raises(EncoderError, match=said):
        gt.embed(torch.zeros(shape))


def test_a_loss_that_the_decoder_cannot_give_is_refused(gt):
    with pytest.raises(EncoderError, match="multiple of 64 frames, not 100"):
        gt.ssl_loss(torch.zeros(1, 100, 64), torch.Generator())


@pytest.mark.parametrize("seconds", [0.05, 8.4])
def test_impossible_windows_are_refused(seconds):
    with pytest.raises(EncoderError, match="use windows of"):
        build_encoder("opera-gt", {"seconds": seconds})
