"""Embedding recordings: batching changes nothing, and damaged audio is named."""

import dataclasses

import numpy as np
import pytest
import soundfile as sf
import torch
from rows import row

from align.encoders import Encoder, EncoderError
from align.probe import embed
from align.probe.embed import embed_rows, embed_waves

RATE, WINDOW = 1000, 200


class Toy(Encoder):
    """Windows of 200 samples, or one window of the whole wave; mean, power and a dropout."""

    rate, dim, crop = RATE, 3, WINDOW

    def __init__(self, whole=False):
        super().__init__()
        self.whole, self.batches = whole, []
        self.scale = torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
        self.dropout = torch.nn.Dropout(0.5)

    def windows(self, wave):
        if len(wave) < 10:
            raise EncoderError("too short")
        if self.whole:
            return wave[None]
        return wave[: len(wave) // WINDOW * WINDOW].reshape(-1, WINDOW)

    def inputs(self, wave):
        return wave

    def embed(self, features):
        self.batches.append(len(features))
        moments = [features.mean(1), features.square().mean(1), features.abs().amax(1)]
        return self.dropout(torch.stack(moments, dim=1) * self.scale)

    def ssl_loss(self, features, generator):
        return features.sum()


def waves(*lengths):
    random = torch.Generator().manual_seed(0)
    return [torch.randn(length, generator=random) for length in lengths]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("batch", [1, 3, 256])
def test_batching_gives_what_each_recording_gives_alone(whole, batch):
    encoder, some = Toy(whole), waves(200, 1000, 450, 200, 1600, 1000)
    found = embed_waves(encoder, some, batch=batch)
    alone = torch.stack([encoder.eval().embed_recording(wave) for wave in some])
    assert found.dtype == np.float32
    assert np.allclose(found, alone.detach().numpy(), atol=1e-6)


def test_windows_of_many_recordings_share_a_batch():
    encoder = Toy()
    embed_waves(encoder, waves(*[400] * 10), batch=8)
    assert sum(encoder.batches) == 20
    assert max(encoder.batches) == 8
    assert len(encoder.batches) <= 4


def test_uneven_windows_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(embed, "SAMPLES_WAITING", 500)
    encoder, some = Toy(whole=True), waves(100, 300, 200, 100, 250, 300)
    found = embed_waves(encoder, some)
    assert len(encoder.batches) > 5
    monkeypatch.undo()
    assert np.array_equal(found, embed_waves(encoder, some))


def test_the_encoder_is_evaluated_and_given_back_as_it_was():
    encoder, some = Toy(), waves(1000)
    encoder.train()
    found = embed_waves(encoder, some)
    assert encoder.training
    assert np.array_equal(found, embed_waves(encoder, some))
    embed_waves(encoder.eval(), some)
    assert not encoder.training


def test_no_waves_is_an_empty_table():
    assert embed_waves(Toy(), []).shape == (0, 3)


@pytest.fixture
def files(tmp_path):
    """Good, damaged, empty, NaN, too short, missing, good, and one whose embedding overflows."""
    random = np.random.default_rng(0)
    content = {
        "good": 0.1 * random.standard_normal(800),
        "empty": np.zeros(0),
        "nan": np.full(400, np.nan),
        "short": np.zeros(5),
        "last": 0.2 * random.standard_normal(400),
        "huge": np.full(400, 1e30),
    }
    for name, pcm in content.items():
        sf.write(tmp_path / f"{name}.wav", pcm, RATE, subtype="FLOAT")
    (tmp_path / "damaged.wav").write_bytes(b"RIFF, but no more than that")
    names = ["good", "damaged", "empty", "nan", "short", "absent", "last", "huge"]
    return [dataclasses.replace(row(name), path=tmp_path / f"{name}.wav") for name in names]


def test_damaged_audio_is_left_out_and_named(files, monkeypatch):
    monkeypatch.setattr(embed, "FILES_AT_ONCE", 3)
    embedded = embed_rows(Toy(), files, threads=2)
    assert [one.name for one in embedded.rows] == ["good", "last"]
    assert embedded.vectors.shape == (2, 3)
    reasons = {path.stem: reason for path, reason in embedded.failures}
    assert set(reasons) == {"damaged", "empty", "nan", "short", "absent", "huge"}
    assert "no samples" in reasons["empty"]
    assert reasons["short"] == "too short"
    assert "not finite" in reasons["huge"]


def test_files_and_waves_give_the_same_embeddings(files):
    encoder = Toy()
    pcm = [sf.read(files[i].path, dtype="float32")[0] for i in (0, 6)]
    found = embed_rows(encoder, [files[0], files[6]]).vectors
    assert np.array_equal(found, embed_waves(encoder, [torch.from_numpy(one) for one in pcm]))


def test_nothing_readable_is_an_empty_table_not_a_crash(files):
    embedded = embed_rows(Toy(), [files[1]])
    assert embedded.rows == () and embedded.vectors.shape == (0, 3)
    assert len(embedded.failures) == 1
