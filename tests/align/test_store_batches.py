"""Recordings in memory, and which of them stand in a batch."""

import re

import numpy as np
import pytest
import soundfile as sf
import torch

from align.audio import AudioError
from align.corpora import Recording
from align.settings import RecipeError
from align.training.batches import BatchSampler
from align.training.store import load_store

RATE = 1000


def recording(path, name="r", patient="p", corpus="circor"):
    return Recording(corpus, name, path, patient, "d", "AV", "train", {})


def write(path, pcm, rate=RATE):
    sf.write(path, pcm, rate, subtype="PCM_16")
    return path


@pytest.fixture
def ramp(tmp_path):
    return write(tmp_path / "ramp.wav", np.arange(2000, dtype=np.float32) / 4000)


def load(rows):
    return load_store(rows, RATE, torch.device("cpu"), threads=2)


def test_a_crop_is_the_stretch_of_its_recording_that_place_names(ramp, tmp_path):
    other = write(tmp_path / "other.wav", np.full(1500, -0.5, np.float32))
    store = load([recording(other), recording(ramp)])
    crops = store.crops(torch.tensor([1, 1, 0]), torch.tensor([0.0, 0.9999, 0.5]), 500)
    assert crops[0, 0] == pytest.approx(0.0, abs=1e-4)
    assert crops[1, -1] == pytest.approx(1999 / 4000, abs=1e-3)
    assert torch.allclose(crops[2], torch.tensor(-0.5), atol=1e-4)
    assert torch.allclose(crops[0].diff(), torch.tensor(1 / 4000), atol=1e-4)


def test_a_recording_shorter_than_the_crop_is_repeated(ramp):
    crop = load([recording(ramp)]).crops(torch.tensor([0]), torch.tensor([0.7]), 5000)[0]
    assert torch.equal(crop[:2000], crop[2000:4000])


def test_a_wave_is_the_file(ramp):
    store = load([recording(ramp)])
    expected, _ = sf.read(ramp, dtype="float32")
    assert np.abs(store.wave(0).numpy() - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"RIFF but not really", "Format not recognised|Error"),
        (None, "No such file|System error"),
        (np.zeros(2000, np.float32), "digital silence"),
        (np.ones(100, np.float32), "shorter than"),
    ],
)
def test_a_recording_that_cannot_be_used_is_skipped_counted_and_named(
    content, reason, ramp, tmp_path, caplog
):
    path = tmp_path / "bad.wav"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        write(path, content)
    store = load([recording(path, "bad"), recording(ramp)])
    assert [row.path for row in store.rows] == [ramp]
    assert [item.name for item in store.skipped] == ["circor/bad"]
    assert re.search(reason, store.skipped[0].reason)
    assert "circor/bad" in caplog.text


def test_values_that_are_not_finite_are_skipped(ramp, tmp_path):
    pcm = np.full(2000, 0.1, np.float32)
    pcm[700] = np.nan
    path = tmp_path / "nan.wav"
    sf.write(path, pcm, RATE, subtype="FLOAT")
    store = load([recording(path, "bad"), recording(ramp)])
    assert "not finite" in store.skipped[0].reason


def test_samples_beyond_full_scale_are_scaled_not_clipped(tmp_path):
    pcm = np.linspace(-2, 2, 2000, dtype=np.float32)
    path = tmp_path / "loud.wav"
    sf.write(path, pcm, RATE, subtype="FLOAT")
    wave = load([recording(path)]).wave(0)
    assert wave.abs().max() <= 1.0
    assert torch.allclose(wave.diff(), wave.diff().mean(), atol=1e-4)


def test_nothing_to_read_is_one_clear_error(tmp_path):
    with pytest.raises(AudioError, match="no recording could be read"):
        load([recording(tmp_path / "absent.wav")])


def rows_of(patients, each, corpus="circor"):
    return [
        recording(None, f"{corpus}{p}-{i}", f"p{p}", corpus)
        for p in range(patients)
        for i in range(each)
    ]


def test_a_batch_has_its_share_of_each_corpus_and_one_recording_per_patient():
    rows = rows_of(10, 4) + rows_of(8, 3, "sprsound")
    sampler = BatchSampler(rows, range(len(rows)), [("circor", 6), ("sprsound", 5)], seed=0)
    for step in range(20):
        draw = sampler.draw(step)
        drawn = [rows[index] for index in draw.rows]
        assert [row.corpus for row in drawn] == ["circor"] * 6 + ["sprsound"] * 5
        assert len({(row.corpus, row.patient) for row in drawn}) == 11
        assert draw.corpora.tolist() == [0] * 6 + [1] * 5


def test_only_usable_rows_are_ever_drawn():
    rows = rows_of(10, 4)
    usable = [index for index in range(40) if index % 4 == 2]
    sampler = BatchSampler(rows, usable, [("circor", 10)], seed=0)
    assert all(set(sampler.draw(step).rows.tolist()) <= set(usable) for step in range(20))


def test_a_draw_depends_on_seed_and_step_alone():
    rows = rows_of(10, 4)
    one, two = (BatchSampler(rows, range(40), [("circor", 6)], seed=3) for _ in range(2))
    two.draw(0)
    assert torch.equal(one.draw(7).rows, two.draw(7).rows)
    assert not torch.equal(one.draw(7).rows, one.draw(8).rows)


def test_processes_share_one_batch_without_overlap():
    rows = rows_of(12, 2)
    sampler = BatchSampler(rows, range(24), [("circor", 8)], seed=0)
    parts = [sampler.draw(5, rank=rank, world=2).rows.tolist() for rank in (0, 1)]
    assert sorted(parts[0] + parts[1]) == sorted(sampler.draw(5).rows.tolist())
    assert not set(parts[0]) & set(parts[1])


def test_a_corpus_with_too_few_patients_says_what_to_lower():
    with pytest.raises(RecipeError, match="a batch of 20 needs as many patients, training has 10"):
        BatchSampler(rows_of(10, 4), range(40), [("circor", 20)], seed=0)
