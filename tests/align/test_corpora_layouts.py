"""Every adapter on its published layout: its labels, what it leaves unknown and refuses."""

import sys
from collections import defaultdict
from typing import get_args

import pytest
from tiny_layouts import WRITERS, write_audio, write_layout, write_layouts

from align.corpora import READERS, CorpusError, read_corpus
from align.corpora.tables import AUDIO_SUFFIXES, UNKNOWN
from align.splits import Split

PUBLISHED_COLUMNS = {"circor"}  # keeps its table's own column names
LABELS = {
    "circor": {"murmur": bool, "outcome_abnormal": bool},
    "physionet2016": {"abnormal": bool},
    "sprsound": {"wheeze": bool, "crackle": bool},
    "icbhi": {"wheeze": bool, "crackle": bool, "diagnosis": str},
    "kauh": {"wheeze": bool, "crackle": bool, "diagnosis": str},
    "bmd-hs": {"as": bool, "ar": bool, "mr": bool, "ms": bool, "abnormal": bool},
    "zchsound": {"diagnosis": str, "abnormal": bool},
    "coswara": {"covid": bool, "smoker": bool, "sex": str},
    "coughvid": {"covid": bool, "sex": str},
    "uk-covid": {"covid": bool},
    "respiratory-tr": {"copd_severity": int},
    "mmlung": {"fvc": float, "fev1": float, "fev1_fvc": float},
    "nosemic": {"breathing_rate": float},
    "covid19-cough": {},
}


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    root = tmp_path_factory.mktemp("layouts")
    write_layouts(root)
    return root


def by_name(rows):
    return {row.name: row for row in rows}


def test_every_corpus_has_a_reader_and_a_layout():
    assert set(READERS) == set(WRITERS) == set(LABELS)
    assert len(READERS) == 14


@pytest.mark.parametrize("corpus", READERS)
def test_rows_are_complete_and_no_patient_is_in_two_splits(corpus, layouts):
    rows = read_corpus(corpus, layouts)
    assert len(by_name(rows)) == len(rows)
    assert all(row.path.is_file() for row in rows)
    splits = defaultdict(set)
    for row in rows:
        assert row.corpus == corpus
        assert row.split in get_args(Split)
        assert row.patient and row.device and row.site
        splits[row.patient].add(row.split)
    assert all(len(found) == 1 for found in splits.values())


@pytest.mark.parametrize("corpus", READERS)
def test_labels_have_their_agreed_names_and_types(corpus, layouts):
    seen = {}
    for row in read_corpus(corpus, layouts):
        seen |= {name: type(value) for name, value in row.labels.items()}
    assert seen == LABELS[corpus]


@pytest.mark.parametrize("corpus", READERS)
def test_metadata_is_plain_text_without_unknown_values(corpus, layouts):
    for row in read_corpus(corpus, layouts):
        for key, value in row.metadata.items():
            assert isinstance(value, str) and value.lower() not in UNKNOWN, (key, value)
            assert corpus in PUBLISHED_COLUMNS or (key == key.lower() and " " not in key)


@pytest.mark.parametrize("corpus", READERS)
def test_an_empty_folder_is_one_clear_sentence(corpus, tmp_path):
    write_layout(corpus, tmp_path)
    folder = next(tmp_path.iterdir())
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(CorpusError, match=r"is missing|has no recordings"):
        read_corpus(corpus, tmp_path)


def test_circor_outcome_is_of_the_child_and_murmur_of_the_site(layouts):
    rows = by_name(read_corpus("circor", layouts))
    assert rows["1001_AV"].labels == {"murmur": True, "outcome_abnormal": True}
    assert rows["1001_PV"].labels == {"outcome_abnormal": True}
    assert rows["1005_AV"].patient == rows["1000_AV"].patient == "1000"


def test_icbhi_cycles_make_the_labels_and_straddling_patients_train(layouts):
    rows = by_name(read_corpus("icbhi", layouts))
    row = rows["101_1b1_Al_sc_Meditron"]
    assert row.labels == {"wheeze": False, "crackle": True, "diagnosis": "COPD"}
    assert [cycle.label for cycle in row.intervals] == ["crackle", "normal"]
    assert row.metadata == {
        "age": "70",
        "sex": "female",
        "bmi": "33",
        "acquisition_mode": "single channel",
    }
    assert row.split == "test"
    for patient in ("156", "218"):
        assert rows[f"{patient}_1b1_Al_sc_Meditron"].split in ("train", "val")


def test_kauh_filters_and_duplicates_are_one_patient(layouts):
    rows = by_name(read_corpus("kauh", layouts))
    versions = [rows[f"{letter}P7_Heart Failure + COPD,I C E W,P L R,65,M"] for letter in "BDE"]
    assert {row.patient for row in versions} == {"7"}
    assert {row.split for row in versions} == {"test"}
    assert [row.metadata["filter"] for row in versions] == ["bell", "diaphragm", "extended"]
    pair = rows["BP76_N,N,A L U,31,M"], rows["BP77_Asthma,E W,A R L,40,M"]
    assert {row.patient for row in pair} == {"76"}
    assert {row.metadata["duplicates"] for row in pair} == {"76 and 77"}
    assert all(row.labels == {} and row.split == "train" for row in pair)
    assert rows["BP101_Asthma,E W,P L M,12,F"].patient == "100"


def test_kauh_names_become_labels_and_places(layouts):
    rows = by_name(read_corpus("kauh", layouts))
    both = rows["BP5_Heart Failure + COPD,I C E W,P L R ,71,M"]
    assert both.labels == {"diagnosis": "heart failure and copd", "wheeze": True, "crackle": True}
    assert rows["BP74_N,N,P R M,74,M"].labels == {
        "diagnosis": "normal",
        "wheeze": False,
        "crackle": False,
    }
    assert rows["BP26_Lung Fibrosis,Crep,P,90,F"].labels["crackle"] is True
    assert rows["BP6_Plueral Effusion,I C B,P L R,81,M"].labels["diagnosis"] == "pleural effusion"
    assert rows["BP1_Asthma,I E W,P L L,70,M"].site == "posterior left lower"
    assert rows["BP74_N,N,P R M,74,M"].site == "posterior right middle"


def test_bmd_hs_labels_valves_and_leaves_the_unlabelled_patient_out(layouts):
    rows = by_name(read_corpus("bmd-hs", layouts))
    ill, well = rows["AS_002_sup_Mit"], rows["N_001_sit_Aor"]
    assert ill.labels == {"as": True, "ar": False, "mr": False, "ms": False, "abnormal": True}
    assert well.labels["abnormal"] is False
    assert rows["AS_004_sup_Mit"].labels == {}
    assert well.metadata == {
        "age_group": "20-29",
        "sex": "male",
        "smoker": "yes",
        "residence": "urban",
        "posture": "sitting",
    }
    assert well.site == "aortic"


def test_zchsound_duplicates_share_a_patient_and_contradicted_ones_have_no_diagnosis(layouts):
    rows = by_name(read_corpus("zchsound", layouts))
    assert rows["ZCH0171"].patient == rows["ZCH0090"].patient == "ZCH0090"
    assert rows["ZCH0171"].metadata["duplicate_of"] == "ZCH0090"
    for name in ("ZCH0545", "ZCH0802"):
        assert rows[name].patient == "ZCH0545"
        assert rows[name].labels == {"abnormal": True}
    assert rows["ZCH0942"].labels == {"abnormal": True, "diagnosis": "pfo"}
    assert rows["ZCH0942"].metadata == {"age": "2.00", "sex": "male", "quality": "noisy"}


def test_coswara_labels_whom_it_is_sure_of(layouts):
    rows = by_name(read_corpus("coswara", layouts))
    assert len(rows) == 27
    assert rows["bert_vowel-a"].labels == {"covid": True, "smoker": True, "sex": "male"}
    assert rows["anna_cough-shallow"].labels == {"covid": False, "smoker": False, "sex": "female"}
    assert rows["cara_vowel-a"].labels == {}
    assert rows["bert_vowel-a"].metadata["asthma"] == "yes"
    assert rows["bert_vowel-a"].metadata["sound"] == "vowel-a"


def test_coswara_bad_recordings_have_no_label(layouts):
    rows = by_name(read_corpus("coswara", layouts))
    assert rows["anna_cough-heavy"].labels == {}
    assert rows["anna_cough-heavy"].metadata["quality"] == "bad"
    assert rows["bert_cough-heavy"].labels["covid"] is True


def test_coughvid_keeps_uncertain_coughs_without_labels(layouts):
    rows = by_name(read_corpus("coughvid", layouts))
    assert rows["aa-1"].labels == {"covid": False, "sex": "male"}
    assert rows["aa-1"].path.suffix == ".wav"
    assert rows["aa-2"].labels == {"covid": True, "sex": "female"}
    assert rows["aa-3"].labels == {}
    assert rows["aa-3"].metadata["cough_heard"] == "no"
    assert rows["aa-4"].labels == {}
    assert "latitude" not in rows["aa-1"].metadata


def test_uk_covid_takes_the_official_split_and_nobody_else_trains(layouts):
    rows = read_corpus("uk-covid", layouts)
    splits = {row.patient: row.split for row in rows}
    assert splits == {"p0": "train", "p1": "val", "p2": "test", "p3": "test", "p4": "test"}
    labels = {row.patient: row.labels.get("covid") for row in rows}
    assert labels == {"p0": False, "p1": True, "p2": None, "p3": False, "p4": True}
    assert [row.metadata["sound"] for row in rows if row.patient == "p4"] == ["cough"]
    assert by_name(rows)["p0_cough"].metadata == {
        "age_group": "18-44",
        "sex": "female",
        "smoker_status": "Never",
        "symptom_fever": "0",
        "recruitment_source": "REACT",
        "official_split": "train",
        "sound": "cough",
    }


def test_respiratory_tr_severity_and_split_are_of_the_patient(layouts):
    rows = by_name(read_corpus("respiratory-tr", layouts))
    assert rows["H003_R6"].labels == {"copd_severity": 1}
    assert rows["H003_R6"].site == "right 6"
    assert {row.patient: row.split for row in rows.values()} == {
        "H002": "train",
        "H003": "test",
        "H007": "val",
        "H016": "train",
    }


def test_respiratory_tr_names_what_reading_its_sheet_takes(tmp_path, monkeypatch):
    folder = write_layout("respiratory-tr", tmp_path)
    (folder / "Labels.csv").rename(folder / "Labels.xlsx")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(CorpusError, match=r"Labels\.xlsx needs openpyxl; install it or save"):
        read_corpus("respiratory-tr", tmp_path)


def test_respiratory_tr_reads_the_published_sheet(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    folder = write_layout("respiratory-tr", tmp_path)
    book = openpyxl.Workbook()
    for line in (folder / "Labels.csv").read_text().splitlines():
        book.active.append(line.split(",")[:2])
    book.save(folder / "Labels.xlsx")
    expected = read_corpus("respiratory-tr", tmp_path)
    (folder / "Labels.csv").unlink()
    assert read_corpus("respiratory-tr", tmp_path) == expected
    (folder / "Labels.xlsx").write_text("no sheet")
    with pytest.raises(CorpusError, match="not a readable sheet"):
        read_corpus("respiratory-tr", tmp_path)


def test_mmlung_has_a_breath_and_a_vowel_per_person_where_recorded(layouts):
    rows = by_name(read_corpus("mmlung", layouts))
    assert set(rows) == {"1_breath", "1_vowel", "2_breath", "2_vowel", "3_breath"}
    assert rows["1_vowel"].labels == {"fvc": 4.5, "fev1": 3.6, "fev1_fvc": 0.8}
    assert {row.split for row in rows.values()} == {"test"}


def test_nosemic_rate_stands_in_the_name(layouts):
    rows = by_name(read_corpus("nosemic", layouts))
    assert rows["u1_rest_0_15.5"].labels == {"breathing_rate": 15.5}
    assert rows["u1_rest_0_15.5"].patient == "u1"
    assert {row.split for row in rows.values()} == {"test"}


def test_covid19_cough_never_tells_its_covid_column(layouts):
    rows = read_corpus("covid19-cough", layouts)
    assert all(row.labels == {} for row in rows)
    assert {key for row in rows for key in row.metadata} == {"sound", "asymptomatic"}


@pytest.mark.parametrize(
    ("corpus", "stray"),
    [
        ("circor", "training_data/7777_AV.wav"),
        ("physionet2016", "training-a/a0777.wav"),
        ("icbhi", "ICBHI_final_database/101_9b9_Al_sc_Meditron.wav"),
        ("bmd-hs", "train/N_777_sup_Mit.wav"),
        ("zchsound", "ZCHSound/clean Heartsound Data/ZCH7777.wav"),
        ("respiratory-tr", "RespiratoryDatabase@TR/H777_L1.wav"),
        ("covid19-cough", "raw/cough-777.mp3"),
    ],
)
def test_audio_that_no_table_names_is_refused_by_its_name(corpus, stray, tmp_path):
    write_audio(write_layout(corpus, tmp_path) / stray)
    with pytest.raises(CorpusError, match=stray.rsplit("/", 1)[1].split(".")[0]):
        read_corpus(corpus, tmp_path)


@pytest.mark.parametrize("corpus", ["coswara", "coughvid", "uk-covid"])
def test_audio_without_consent_on_record_is_skipped(corpus, tmp_path):
    folder = write_layout(corpus, tmp_path)
    before = read_corpus(corpus, tmp_path)
    places = {
        "coswara": "Extracted_data/20200413/zoe/cough-heavy.wav",
        "coughvid": "public_dataset/zz-9.wav",
        "uk-covid": "audio/p9_cough.wav",
    }
    write_audio(folder / places[corpus])
    assert read_corpus(corpus, tmp_path) == before


@pytest.mark.parametrize(
    "corpus", ["sprsound", "icbhi", "bmd-hs", "coswara", "coughvid", "uk-covid", "covid19-cough"]
)
def test_a_row_whose_audio_is_missing_stays_a_row(corpus, tmp_path):
    write_layout(corpus, tmp_path)
    before = [row.name for row in read_corpus(corpus, tmp_path)]
    gone = read_corpus(corpus, tmp_path)[0].path
    for path in gone.parent.glob(f"{gone.stem}.*"):
        if path.suffix in AUDIO_SUFFIXES:
            path.unlink()
    rows = read_corpus(corpus, tmp_path)
    assert [row.name for row in rows] == before
    assert not rows[0].path.is_file()
    assert all(row.path.is_file() for row in rows[1:])


@pytest.mark.parametrize(
    ("corpus", "table", "content", "message"),
    [
        ("circor", "training_data.csv", "Patient ID,Murmur\n1,Absent\n", "no column 'Murmur loc"),
        ("circor", "training_data.csv", b"\xff\xfe\x00", "not a readable table"),
        ("physionet2016", "training-b/REFERENCE-SQI.csv", "b0001,1\n", "line 1 is not name"),
        ("icbhi", "ICBHI_Challenge_diagnosis.txt", "101\tURTI\tmild\n", "has not 1 values"),
        ("bmd-hs", "train.csv", "patient_id,N\n", "no column 'AS'"),
        ("coswara", "combined_data.csv", "id,a,g,covid_status,smoker\nx,1\n", "has 2 of 5 cells"),
        ("covid19-cough", "metadata.json", '[{"filename": 3}]', "not a list of recordings"),
        ("covid19-cough", "metadata.json", '[{"filename": ', "not a list of recordings"),
        ("mmlung", "All_path.csv", "Spirometry_file\n", "no column 'Deep_Breath_file'"),
    ],
)
def test_a_corrupt_table_is_named_with_what_is_wrong(corpus, table, content, message, tmp_path):
    path = write_layout(corpus, tmp_path) / table
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CorpusError, match=message) as caught:
        read_corpus(corpus, tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("corpus", "stray"),
    [
        ("kauh", "Audio Files/BP9_Asthma.wav"),
        ("nosemic", "audio/u1_rest_0_fast.wav"),
        ("respiratory-tr", "RespiratoryDatabase@TR/H2.wav"),
    ],
)
def test_a_name_that_says_too_little_is_refused(corpus, stray, tmp_path):
    write_audio(write_layout(corpus, tmp_path) / stray)
    with pytest.raises(CorpusError, match="is not named"):
        read_corpus(corpus, tmp_path)


def test_the_first_folder_that_exists_is_read(tmp_path):
    full = write_layout("icbhi", tmp_path)
    assert full.name == "icbhi-2017"
    full.rename(tmp_path / "icbhi-2017-fragment")
    assert len(read_corpus("icbhi", tmp_path)) == 10
    write_layout("icbhi", tmp_path)
    assert all(full in row.path.parents for row in read_corpus("icbhi", tmp_path))
