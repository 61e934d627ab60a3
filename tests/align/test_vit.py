"""Our masked autoencoders: geometry, masking, loss and training, on encoders of a few layers."""

import math

import pytest
import torch
from torch import nn

from align.encoders import EncoderError, build_encoder
from align.encoders.opera_gt import OperaGT
from align.encoders.transformer import (
    Attention,
    draw_kept,
    masked_error,
    patchify,
    restore,
    sincos_table,
    take,
)
from align.encoders.vit import vit_small, vit_tiny

TINY = {"dim": 32, "depth": 2, "heads": 2, "decoder_dim": 32, "decoder_depth": 1, "seconds": 1.024}
TOKENS = 64  # 8 x 8 patches of 64 frames x 64 bands
KEPT = 19


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def tiny(**options):
    torch.manual_seed(0)
    return vit_tiny(**{**TINY, **options})


def noise(*shape, seed=1, dtype=torch.float32):
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


def test_position_table_is_the_formula_at_every_place():
    table = sincos_table(3, 5, 8)
    for row in range(3):
        for column in range(5):
            wanted = []
            for position in (column, row):
                phases = [position / 10000 ** (i / 2) for i in range(2)]
                wanted += [math.sin(p) for p in phases] + [math.cos(p) for p in phases]
            assert torch.allclose(table[row * 5 + column], torch.tensor(wanted).double())


def test_positions_are_those_of_the_patches():
    encoder = tiny()
    assert torch.equal(encoder.positions, sincos_table(8, 8, 32).float())
    assert len(encoder.positions.unique(dim=0)) == TOKENS


@pytest.mark.parametrize(("frame", "band"), [(0, 0), (9, 63), (63, 17)])
def test_a_cell_of_the_spectrogram_belongs_to_one_patch(frame, band):
    encoder = tiny()
    features = torch.zeros(1, 64, 64)
    features[0, frame, band] = 1.0
    token, pixel = torch.nonzero(encoder.patches(features)[0])[0].tolist()
    assert (token, pixel) == (frame // 8 * 8 + band // 8, frame % 8 * 8 + band % 8)


def test_patches_may_be_oblong():
    features = noise(2, 11, 6)
    patches = patchify(features, 4, 2)
    assert patches.shape == (2, 2 * 3, 8)
    assert torch.equal(patches[1, 4], features[1, 4:8, 2:4].flatten())


def test_fused_attention_is_the_plain_formula():
    torch.manual_seed(0)
    attention = Attention(12, heads=3).double()
    x = noise(2, 5, 12, dtype=torch.float64)
    query, key, value = attention.qkv(x).split(12, dim=-1)
    heads = []
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        scores = query[..., part] @ key[..., part].transpose(1, 2) / math.sqrt(4)
        heads.append(scores.softmax(dim=-1) @ value[..., part])
    wanted = attention.proj(torch.cat(heads, dim=-1))
    assert torch.allclose(attention(x), wanted, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_the_encoder_sees_exactly_the_kept_tokens_when_masking():
    encoder = tiny()
    seen = []
    encoder.blocks[0].register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].shape))
    encoder.ssl_loss(noise(3, 64, 64), seeded())
    assert seen == [(3, KEPT, 32)]


def test_masks_are_distinct_tokens_drawn_for_each_row_from_the_generator():
    kept = draw_kept(200, TOKENS, 0.7, seeded())
    assert kept.shape == (200, KEPT)
    assert all(len(row.unique()) == KEPT for row in kept)
    assert torch.equal(kept, draw_kept(200, TOKENS, 0.7, seeded()))
    assert not torch.equal(kept, draw_kept(200, TOKENS, 0.7, seeded(2)))
    assert not torch.equal(kept[0], kept[1])
    shares = torch.bincount(kept.flatten(), minlength=TOKENS) / 200
    assert shares.min() > 0.15
    assert shares.max() < 0.45


@torch.no_grad()
def test_keeping_every_token_in_any_order_is_the_unmasked_encoder():
    encoder = tiny().double()
    patches = encoder.patches(noise(2, 64, 64, dtype=torch.float64))
    order = draw_kept(2, TOKENS, 0.0, seeded())
    assert order.shape == (2, TOKENS)
    plain = encoder.encode(patches)
    assert torch.allclose(encoder.encode(patches, order), take(plain, order), atol=1e-10)
    back = restore(take(plain, order), order, torch.zeros(1, 1, 32), TOKENS)
    assert torch.equal(back, plain)


@torch.no_grad()
def test_predictions_do_not_depend_on_masked_pixels():
    encoder = tiny()
    patches = encoder.patches(noise(2, 64, 64))
    kept = draw_kept(2, TOKENS, 0.7, seeded())
    other = noise(*patches.shape, seed=9).scatter(
        1, kept[..., None].expand(-1, -1, 64), take(patches, kept)
    )
    assert not torch.equal(other, patches)
    assert torch.equal(encoder.reconstruct(other, kept), encoder.reconstruct(patches, kept))


def test_loss_is_the_mean_over_masked_patches_only():
    prediction = noise(2, 6, 4, seed=1, dtype=torch.float64).requires_grad_()
    target = noise(2, 6, 4, seed=2, dtype=torch.float64)
    kept = torch.tensor([[0, 5], [2, 3]])
    loss = masked_error(prediction, target, kept)
    masked = [(0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 1), (1, 4), (1, 5)]
    wanted = sum(((prediction[at] - target[at]) ** 2).mean() for at in masked) / len(masked)
    assert torch.allclose(loss, wanted)
    loss.backward()
    silent = (prediction.grad == 0).all(dim=-1)
    assert torch.equal(torch.nonzero(silent), torch.tensor([[0, 0], [0, 5], [1, 2], [1, 3]]))


@torch.no_grad()
def test_normalised_targets_ignore_gain_and_offset_of_a_patch():
    patches = noise(1, TOKENS, 64)
    targets = tiny().targets(patches)
    assert torch.allclose(tiny().targets(3.0 * patches + 2.0), targets, atol=1e-4)
    assert torch.equal(tiny(pixel_norm=False).targets(patches), patches)


def test_the_loss_trains_every_parameter():
    encoder = tiny()
    encoder.ssl_loss(noise(2, 64, 64), seeded()).backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())


def test_embedding_trains_the_encoder_and_nothing_of_the_decoder():
    encoder = tiny()
    encoder.embed(noise(2, 64, 64)).square().mul(noise(2, 32)).sum().backward()
    idle = {key for key, p in encoder.named_parameters() if p.grad is None}
    assert idle == {k for k, _ in encoder.named_parameters() if k.startswith(("decoder", "mask"))}


@torch.no_grad()
def test_an_embedding_does_not_depend_on_its_batch():
    encoder, features = tiny(), noise(4, 64, 64)
    together = encoder.embed(features)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(encoder.embed(features[order]), together[order], atol=1e-5)
    assert torch.allclose(encoder.embed(features[2:3]), together[2:3], atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 0.01


def test_two_crops_are_learnt_in_a_few_steps():
    """One rises in time within each patch, one in frequency: only what is seen tells which."""
    encoder = tiny()
    rising = (torch.arange(64.0) % 8).expand(64, 64)
    features = torch.stack([rising, rising.T])
    optimiser = torch.optim.Adam(encoder.parameters(), lr=3e-3)
    for _ in range(40):
        optimiser.zero_grad()
        loss = encoder.ssl_loss(features, seeded(7))
        loss.backward()
        optimiser.step()
    assert loss < 0.1  # the best answer that ignores the crop scores about 0.5


@torch.no_grad()
@pytest.mark.parametrize(("rate", "seconds", "crop"), [(4000, 1.1, 4096), (16000, 1.03, 16384)])
def test_a_crop_is_whole_patches_at_both_rates(rate, seconds, crop):
    encoder = tiny(rate=rate, seconds=seconds)
    assert (encoder.rate, encoder.crop) == (rate, crop)
    assert encoder.inputs(noise(2, crop)).shape == (2, 64, 64)
    assert encoder.windows(noise(2 * crop + 1)).shape == (4, crop)
    assert encoder.embed_recording(noise(crop // 3)).shape == (32,)


def test_vit_small_is_of_the_size_of_opera_gt():
    def encoder_weights(encoder):
        idle = ("decoder", "mask_token", "pos_embed", "cls_token")
        return sum(p.numel() for k, p in encoder.named_parameters() if not k.startswith(idle))

    small, tiny_one = vit_small(), vit_tiny()
    assert (small.dim, len(small.blocks), small.blocks[0].attn.heads) == (384, 12, 6)
    assert (tiny_one.dim, len(tiny_one.blocks), tiny_one.blocks[0].attn.heads) == (192, 12, 3)
    assert encoder_weights(small) == pytest.approx(encoder_weights(OperaGT()), rel=0.002)


@torch.no_grad()
def test_under_autocast_and_in_float64():
    encoder, features = tiny(), noise(2, 64, 64)
    single, loss = encoder.embed(features), encoder.ssl_loss(features, seeded())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(encoder.embed(features).float(), single, atol=0.1)
        half = encoder.ssl_loss(features, seeded())
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(loss.item(), rel=0.02)
    double = encoder.double()
    assert torch.allclose(double.embed(features.double()).float(), single, atol=1e-5)
    assert double.ssl_loss(features.double(), seeded()).item() == pytest.approx(
        loss.item(), rel=1e-5
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@torch.no_grad()
def test_the_accelerator_agrees():
    encoder, wave = tiny(), noise(6000)
    here, loss = encoder.embed_recording(wave), encoder.ssl_loss(noise(2, 64, 64), seeded())
    encoder = encoder.cuda()
    assert torch.allclose(encoder.embed_recording(wave.cuda()).cpu(), here, atol=1e-3)
    there = encoder.ssl_loss(noise(2, 64, 64).cuda(), seeded())
    assert there.item() == pytest.approx(loss.item(), rel=1e-3)


@pytest.mark.slow
@torch.no_grad()
def test_one_graph_for_the_compiler():
    encoder = tiny()
    patches = encoder.patches(noise(2, 64, 64))
    kept = draw_kept(2, TOKENS, 0.7, seeded())
    compiled = torch.compile(encoder.reconstruct, fullgraph=True, backend="eager")
    assert torch.equal(compiled(patches, kept), encoder.reconstruct(patches, kept))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"patch": [8, 7]}, "64 bands are not a multiple of a patch's 7"),
        ({"patch": [8]}, "patch must be"),
        ({"seconds": 0.1}, "shorter than one patch"),
        ({"mask_ratio": 0.0}, "mask_ratio 0.0"),
        ({"mask_ratio": 0.999}, "mask_ratio 0.999"),
        ({"heads": 3}, "multiple of 4 x 3 heads"),
        ({"decoder_dim": 40}, "decoder_dim 40"),
        ({"colour": 1}, "colour"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options, said):
    with pytest.raises(EncoderError, match=said):
        build_encoder("vit-ti-mae", {**TINY, **options})


def test_features_longer_than_a_crop_or_shorter_than_a_patch_are_refused():
    for frames in (7, 72):
        with pytest.raises(EncoderError, match=f"8 to 64 frames at once, not {frames}"):
            tiny().embed(torch.zeros(1, frames, 64))


def test_shorter_features_keep_their_positions():
    encoder = tiny()
    seen = []
    encoder.blocks = nn.ModuleList([nn.Identity()])
    encoder.blocks[0].register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    features = noise(1, 64, 64)
    encoder.embed(features)
    encoder.embed(features[:, :24])
    assert torch.allclose(seen[1], seen[0][:, :24], atol=1e-6)
