"""CirCor, SPRSound and PhysioNet 2016 on hand-written corpora, where each label can be followed."""

import json

import numpy as np
import pytest
import soundfile as sf

from align.corpora import CorpusError, read_corpus

HEADER = "Patient ID,Murmur,Murmur locations,Additional ID\n"


def touch_audio(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, np.zeros(400, np.float32), 4000)


@pytest.fixture
def circor(tmp_path):
    folder = tmp_path / "circor-digiscope"
    folder.mkdir()
    (folder / "training_data.csv").write_text(
        HEADER + "100,Present,AV+MV,nan\n200,Absent,nan,100\n300,Unknown,nan,nan\n"
    )
    for name in ("100_AV", "100_PV", "200_MV", "200_MV_1", "300_TV"):
        touch_audio(folder / "training_data" / f"{name}.wav")
    tsv = "0\t0.1\t0\n0.1\t0.2\t1\n0.2\t0.4\t2\n0.4\t0.5\t3\n0.5\t0.9\t4\n"
    (folder / "training_data" / "100_AV.tsv").write_text(tsv)
    return tmp_path


def test_circor_murmur_is_per_site_and_unknown_is_no_label(circor):
    labels = {row.name: dict(row.labels) for row in read_corpus("circor", circor)}
    assert labels == {
        "100_AV": {"murmur": True},
        "100_PV": {},
        "200_MV": {"murmur": False},
        "200_MV_1": {"murmur": False},
        "300_TV": {},
    }


def test_circor_two_ids_are_one_child(circor):
    rows = read_corpus("circor", circor)
    assert {row.patient for row in rows if row.name.startswith(("100", "200"))} == {"100"}


def test_circor_phases_leave_out_what_is_not_annotated(circor):
    row = read_corpus("circor", circor)[0]
    assert [interval.label for interval in row.intervals] == ["S1", "systole", "S2", "diastole"]
    assert row.intervals[0].start == 0.1


@pytest.fixture
def sprsound(tmp_path):
    folder = tmp_path / "sprsound-2022"
    events = {"start": "100", "end": "900"}
    files = {
        "train_json/1_2.0_0_p1_10": ("DAS", [events | {"type": "Fine Crackle"}]),
        "train_json/2_2.0_1_p3_11": ("CAS & DAS", [events | {"type": "Wheeze+Crackle"}]),
        "train_json/3_2.0_1_p3_12": ("Poor Quality", []),
        "test_json/intra_test_json/1_2.0_0_p2_13": ("CAS", [events | {"type": "Rhonchi"}]),
        "test_json/inter_test_json/9_2.0_0_p4_14": ("Normal", [events | {"type": "Normal"}]),
    }
    for name, (quality, event_list) in files.items():
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"record_annotation": quality, "event_annotation": event_list}))
        audio = "train_wav" if name.startswith("train") else "test_wav"
        touch_audio(folder / audio / f"{path.stem}.wav")
    return tmp_path


def test_sprsound_labels_come_from_events(sprsound):
    labels = {row.name: dict(row.labels) for row in read_corpus("sprsound", sprsound)}
    assert labels["1_2.0_0_p1_10"] == {"wheeze": False, "crackle": True}
    assert labels["2_2.0_1_p3_11"] == {"wheeze": True, "crackle": True}
    assert labels["3_2.0_1_p3_12"] == {}
    assert labels["1_2.0_0_p2_13"] == {"wheeze": True, "crackle": False}
    assert labels["9_2.0_0_p4_14"] == {"wheeze": False, "crackle": False}


def test_sprsound_only_the_inter_patient_set_tests(sprsound):
    splits = {row.name: row.split for row in read_corpus("sprsound", sprsound)}
    assert splits["9_2.0_0_p4_14"] == "test"
    assert splits["1_2.0_0_p2_13"] == splits["1_2.0_0_p1_10"] != "test"


def test_physionet_is_only_ever_tested_on(tmp_path):
    for database in "abcd":
        folder = tmp_path / "physionet-2016" / f"training-{database}"
        touch_audio(folder / f"{database}0001.wav")
        (folder / "REFERENCE-SQI.csv").write_text(f"{database}0001,1,0\n")
    rows = read_corpus("physionet2016", tmp_path)
    assert {row.split for row in rows} == {"test"}
    assert rows[0].labels == {"abnormal": True}
    assert rows[0].metadata == {"database": "a", "quality": "poor"}


def test_a_missing_corpus_is_one_sentence(tmp_path):
    with pytest.raises(CorpusError, match="is not at"):
        read_corpus("circor", tmp_path)
    with pytest.raises(CorpusError, match="unknown corpus 'icbhi-9'"):
        read_corpus("icbhi-9", tmp_path)
    (tmp_path / "sprsound-2022").mkdir()
    with pytest.raises(CorpusError, match="missing"):
        read_corpus("sprsound", tmp_path)
