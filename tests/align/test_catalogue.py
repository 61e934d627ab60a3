"""The catalogue agrees with the adapters, the folds and the archives it describes."""

import json
import re
import zipfile
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile as sf

from align import splits
from align.corpora import FOLDERS, READERS, read_corpus
from align.corpora.catalogue import CATALOGUE, Download, Listing
from align.corpora.unpack import place, unpack

DOWNLOADS = [(key, part) for key, info in CATALOGUE.items() for part in info.downloads]


def test_every_adapter_has_an_entry_and_every_entry_an_adapter():
    assert set(CATALOGUE) == set(READERS) == set(FOLDERS)
    assert all(info.key == key for key, info in CATALOGUE.items())


@pytest.mark.parametrize("info", CATALOGUE.values(), ids=CATALOGUE)
def test_an_entry_says_who_owns_it_and_how_to_get_it(info):
    assert info.licence
    assert info.citation
    assert urlsplit(info.home).scheme in ("http", "https")
    assert bool(info.downloads) == (info.access == "open")
    assert info.downloads or info.how


@pytest.mark.parametrize("info", CATALOGUE.values(), ids=CATALOGUE)
def test_the_split_rule_is_one_of_the_folds(info):
    assert hasattr(splits, info.split_rule)


@pytest.mark.parametrize(("key", "part"), DOWNLOADS)
def test_a_download_is_encrypted_safe_and_well_formed(key, part):
    assert part.url.startswith(("https://", "doi:10."))
    if isinstance(part, Listing):
        assert part.keep
    else:
        assert place(part.name) is not None
        assert part.checksum is None or re.fullmatch(r"(md5:)?[0-9a-f]{32,64}", part.checksum)


def test_no_two_downloads_of_a_corpus_share_a_name():
    for info in CATALOGUE.values():
        names = [part.name for part in info.downloads if isinstance(part, Download)]
        assert len(names) == len(set(names))


def fetched(key, tmp_path, files):
    """What `fetch` leaves of an archive with these files, one download after the other."""
    folder = tmp_path / FOLDERS[key][0]
    sf.write(tmp_path / "audio.wav", np.full(4000, 0.1, np.float32), 4000)
    audio = (tmp_path / "audio.wav").read_bytes()
    for part in CATALOGUE[key].downloads:
        if part.unpack:
            with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
                for name, content in files.items():
                    archive.writestr(name, audio if content is None else content)
            unpack(tmp_path / "archive.zip", folder, part.strip, part.layout)
        else:
            (folder / part.name).write_text(files[part.name])
    return read_corpus(key, tmp_path)


def test_sprsound_as_its_repository_is_today_lands_where_its_adapter_reads(tmp_path):
    top = "SPRSound-174500e/BioCAS2022"
    note = json.dumps({"record_annotation": "Normal", "event_annotation": []})
    files = {"SPRSound-174500e/BioCAS2023/train2023_wav/7_1.0_0_p1_7.wav": None}
    for folder, name in (
        ("train2022", "1_2.0_0_p1_10"),
        ("test2022", "1_2.0_0_p2_11"),
        ("test2022", "9_2.0_0_p3_12"),
    ):
        files[f"{top}/{folder}_wav/{name}.wav"] = None
    files[f"{top}/train2022_json/1_2.0_0_p1_10.json"] = note
    files[f"{top}/test2022_json/intra_test_json/1_2.0_0_p2_11.json"] = note
    files[f"{top}/test2022_json/inter_test_json/9_2.0_0_p3_12.json"] = note
    rows = fetched("sprsound", tmp_path, files)
    assert [row.name for row in rows] == ["1_2.0_0_p1_10", "1_2.0_0_p2_11", "9_2.0_0_p3_12"]
    assert all(row.path.is_file() for row in rows)
    assert not list(tmp_path.rglob("7_1.0*"))


def test_icbhi_as_the_challenge_serves_it_lands_where_its_adapter_reads(tmp_path):
    stem = "101_1b1_Al_sc_Meditron"
    files = {
        f"ICBHI_final_database/{stem}.wav": None,
        f"ICBHI_final_database/{stem}.txt": "0.0\t1.0\t1\t0\n",
        "ICBHI_Challenge_diagnosis.txt": "101\tURTI\n",
        "ICBHI_challenge_train_test.txt": f"{stem}\ttest\n",
        "ICBHI_Challenge_demographic_information.txt": "101 3 F NA 19 99\n",
    }
    archive = {name: content for name, content in files.items() if "/" in name}
    plain = {name: content for name, content in files.items() if "/" not in name}
    rows = fetched("icbhi", tmp_path, archive | plain)
    assert [(row.name, row.labels["crackle"]) for row in rows] == [(stem, True)]
    assert rows[0].path.is_file()


def test_covid19_cough_as_its_repository_lands_where_its_adapter_reads(tmp_path):
    entry = {"filename": "a.wav", "covid19": True, "source": "call-center"}
    files = {"dataset-HEAD/metadata.json": json.dumps([entry]), "dataset-HEAD/raw/a.wav": None}
    assert fetched("covid19-cough", tmp_path, files)[0].path.is_file()


def test_kauh_as_its_archive_lands_where_its_adapter_reads(tmp_path):
    rows = fetched("kauh", tmp_path, {"DP9_Asthma,E W,P R L ,59,M.wav": None})
    assert [row.patient for row in rows] == ["9"]
