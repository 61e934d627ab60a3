"""What preparing corpora finds: planted faults, each of which must be named, none of them fatal."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from align.audio import pcm_sha256
from align.corpora import CorpusError
from align.corpora.validate import prepare
from align.splits import circor_split, hash_split

REAL = Path(__file__).parents[3] / "shared" / "data"
RATE = 4000
SPLITS = ("train", "val", "test")
CHILD = {
    split: next(str(n) for n in range(1000, 9999) if circor_split(str(n)) == split)
    for split in SPLITS
}
CALLER = {
    split: next(f"c{n}" for n in range(999) if hash_split("covid19-cough", f"c{n}") == split)
    for split in SPLITS
}


def noise(seed, seconds=1.0):
    pcm = np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * RATE))
    return np.round(pcm * 2**15) / 2**15


@pytest.fixture
def data(tmp_path):
    """A CirCor of three children, one per split, and a covid19-cough without recordings yet."""
    audio = tmp_path / "circor-digiscope" / "training_data"
    audio.mkdir(parents=True)
    lines = ["Patient ID,Murmur,Murmur locations,Additional ID"]
    lines += [f"{CHILD['train']},Absent,nan,nan", f"{CHILD['test']},Present,AV+MV,nan"]
    lines += [f"{CHILD['val']},Absent,nan,nan"]
    (audio.parent / "training_data.csv").write_text("\n".join(lines) + "\n")
    for seed, split in enumerate(SPLITS):
        sf.write(audio / f"{CHILD[split]}_AV.wav", noise(seed), RATE, subtype="PCM_16")
    (tmp_path / "covid19-cough" / "raw").mkdir(parents=True)
    return tmp_path


def circor_file(data, split, rest):
    return data / "circor-digiscope" / "training_data" / f"{CHILD[split]}_{rest}"


def coughs(data, names):
    entries = [{"filename": name, "source": "call-center"} for name in names]
    (data / "covid19-cough" / "metadata.json").write_text(json.dumps(entries))


def test_sound_recordings_become_entries(data):
    entries, report = prepare(["circor"], data)
    assert [entry.name for entry in entries] == sorted(f"{child}_AV" for child in CHILD.values())
    first = next(entry for entry in entries if entry.split == "train")
    assert first.path == f"circor-digiscope/training_data/{CHILD['train']}_AV.wav"
    assert (first.seconds, first.rate, first.licence) == (1.0, RATE, "ODC-By 1.0")
    assert first.audio_sha256 == pcm_sha256(noise(0).astype(np.float32))
    (found,) = report.corpora
    assert (found.recordings, found.patients, found.hours) == (3, 3, pytest.approx(3 / 3600))
    assert found.patients_per_split == {"train": 1, "val": 1, "test": 1}
    assert found.rates == {RATE: 3}
    assert found.labels["murmur"] == {
        "train": {"false": 1},
        "val": {"false": 1},
        "test": {"true": 1},
    }
    assert report.complete
    assert report.duplicates == ()


def test_corrupt_audio_is_named_and_not_fatal(data):
    circor_file(data, "train", "MV.wav").write_bytes(b"RIFF but not really")
    whole = circor_file(data, "train", "PV.wav")
    sf.write(whole, np.array([0.1, np.nan, 0.2]), RATE, subtype="FLOAT")
    sf.write(circor_file(data, "train", "TV.wav"), np.zeros(0), RATE)
    entries, report = prepare(["circor"], data)
    assert len(entries) == 3
    reasons = {fault.name.split("_")[1]: fault.reason for fault in report.corpora[0].unreadable}
    assert reasons.keys() == {"MV", "PV", "TV"}
    assert "not finite" in reasons["PV"]
    assert "no samples" in reasons["TV"]
    assert not report.complete


def test_a_missing_recording_is_named(data):
    coughs(data, ["gone.mp3"])
    entries, report = prepare(["covid19-cough"], data)
    assert entries == []
    assert report.corpora[0].missing == ("gone",)
    assert report.corpora[0].recordings == 1
    assert not report.complete


def test_silent_and_short_recordings_are_named_but_kept(data):
    sf.write(circor_file(data, "train", "MV.wav"), np.full(RATE, 0.25), RATE)
    sf.write(circor_file(data, "train", "PV.wav"), noise(9, 0.4), RATE)
    sf.write(circor_file(data, "train", "TV.wav"), noise(9, 0.5), RATE)
    entries, report = prepare(["circor"], data)
    assert len(entries) == 6
    assert report.corpora[0].silent == (f"{CHILD['train']}_MV",)
    assert report.corpora[0].short == (f"{CHILD['train']}_PV",)
    assert report.complete


def test_re_encoded_copies_are_found_within_a_corpus(data):
    sf.write(circor_file(data, "train", "MV.flac"), noise(0), RATE, subtype="PCM_24")
    (copy,) = prepare(["circor"], data)[1].duplicates
    assert copy.recordings == (f"circor/{CHILD['train']}_AV", f"circor/{CHILD['train']}_MV")
    assert copy.patients == (f"circor/{CHILD['train']}",)
    assert not copy.leaks
    assert copy.contradicting == ()


def test_a_copy_on_the_other_side_of_the_split_with_another_label_is_found(data):
    sf.write(circor_file(data, "test", "MV.flac"), noise(0), RATE)
    (copy,) = prepare(["circor"], data)[1].duplicates
    assert copy.splits == ("test", "train")
    assert copy.leaks
    assert copy.contradicting == ("murmur",)
    assert len(copy.patients) == 2


def test_a_copy_in_another_corpus_is_found(data):
    name = f"{CALLER['test']}.wav"
    coughs(data, [name])
    sf.write(data / "covid19-cough" / "raw" / name, noise(0), RATE)
    report = prepare(["circor", "covid19-cough"], data)[1]
    (copy,) = report.duplicates
    assert copy.corpora == ("circor", "covid19-cough")
    assert copy.splits == ("test", "train")
    assert "in two corpora: 1" in report.to_markdown()


def test_silence_is_no_duplicate_of_silence(data):
    for site in ("MV", "PV"):
        sf.write(circor_file(data, "train", f"{site}.wav"), np.zeros(RATE), RATE)
    assert prepare(["circor"], data)[1].duplicates == ()


def test_the_hash_is_of_samples_not_of_files_or_signs_of_zero():
    pcm = noise(0).astype(np.float32)
    pcm[0] = 0.0
    other = pcm.copy()
    other[0] = -0.0
    assert pcm_sha256(pcm) == pcm_sha256(other) == pcm_sha256(pcm.astype(">f4"))
    other[0] = 2**-15
    assert pcm_sha256(pcm) != pcm_sha256(other)


def test_a_corpus_that_is_named_twice_is_read_once(data):
    entries, report = prepare(["circor", "circor"], data)
    assert len(entries) == 3
    assert len(report.corpora) == 1
    assert report.duplicates == ()


def test_an_absent_corpus_is_one_sentence(data):
    with pytest.raises(CorpusError, match="is not at"):
        prepare(["kauh"], data)


def test_progress_counts_every_recording(data):
    seen = []
    prepare(["circor"], data, lambda *state: seen.append(state))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_report_as_json_has_everything(data):
    sf.write(circor_file(data, "test", "MV.flac"), noise(0), RATE)
    circor_file(data, "train", "TV.wav").write_bytes(b"no")
    content = json.loads(prepare(["circor"], data)[1].to_json())
    assert content["version"] == 1
    assert content["corpora"][0]["unreadable"][0]["name"] == f"{CHILD['train']}_TV"
    assert content["duplicates"][0]["splits"] == ["test", "train"]


def test_the_report_for_people_names_what_is_wrong(data):
    sf.write(circor_file(data, "test", "MV.flac"), noise(0), RATE)
    circor_file(data, "train", "TV.wav").write_bytes(b"no")
    text = prepare(["circor"], data)[1].to_markdown()
    assert "| circor | 5 | 3163 | 3 (1/1/1) | 0.00 | 0 | 1 | 0 | 0 |" in text
    assert f"circor, unreadable: 1: {CHILD['train']}_TV (" in text
    assert "in two splits: 1" in text
    assert "contradicting labels: 1" in text
    assert "(on murmur)" in text


@pytest.mark.skipif(not REAL.is_dir(), reason="the real recordings are not on this machine")
def test_the_real_fragments_decode_and_what_is_not_there_is_counted():
    entries, report = prepare(["kauh", "icbhi"], REAL)
    kauh, icbhi = report.corpora
    assert (kauh.recordings, icbhi.recordings, icbhi.published) == (7, 920, 920)
    assert len(icbhi.missing) == 910
    assert len(entries) == 17
    assert all(entry.rate == RATE and entry.seconds > 4 for entry in entries)
    assert report.duplicates == ()
