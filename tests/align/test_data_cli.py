"""`acula-edge data` from the outside: tables, files, exit codes, one sentence per error."""

import json
import sys

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner

from acula_edge.cli import main
from align.corpora.catalogue import CATALOGUE
from align.corpora.download import FetchError
from align.corpora.fetch import Fetched
from align.corpora.manifest import read_manifest
from align.data_cli import app


@pytest.fixture
def coughs(tmp_path):
    """A covid19-cough of two recordings, of which one is missing."""
    raw = tmp_path / "data" / "covid19-cough" / "raw"
    raw.mkdir(parents=True)
    entries = [{"filename": f"{name}.wav", "source": "bot"} for name in ("here", "gone")]
    (raw.parent / "metadata.json").write_text(json.dumps(entries))
    sf.write(raw / "here.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 8000)
    return tmp_path / "data"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def exit_of(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["acula-edge", "data", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


def test_list_shows_every_corpus_with_licence_home_size_access_and_citation():
    text = run("list").output
    for info in CATALOGUE.values():
        assert all(word in text for word in (info.key, info.home, info.licence, info.citation))
    assert "53.7 GB" in text
    assert "on request" in text


def test_list_as_json_is_the_catalogue():
    listed = {entry["key"]: entry for entry in json.loads(run("list", "--json").output)}
    assert listed.keys() == CATALOGUE.keys()
    assert listed["zchsound"]["downloads"][0]["size"] == 339_554_986


def test_fetch_of_a_corpus_on_request_exits_with_7_and_says_where_to_put_it(
    monkeypatch, tmp_path, capsys
):
    assert exit_of(monkeypatch, "fetch", "mmlung", "nosemic", "--data", tmp_path) == 7
    text = capsys.readouterr().err
    assert text.startswith("acula-edge: MMLung")
    for name in ("mmlung", "nosemic"):
        assert CATALOGUE[name].home in text
        assert str(tmp_path / name) in text


def test_fetch_of_an_unknown_corpus_exits_with_1_and_lists_the_known(monkeypatch, tmp_path, capsys):
    assert exit_of(monkeypatch, "fetch", "circus", "--data", tmp_path) == 1
    assert "unknown corpus 'circus'; known: bmd-hs, circor" in capsys.readouterr().err


def test_fetch_prints_the_hash_it_takes_on_trust_and_what_is_left_to_do(monkeypatch, tmp_path):
    done = Fetched("respiratory-tr", tmp_path, 3, {"RespiratoryDatabaseTR.zip": "ab" * 32})
    monkeypatch.setattr("align.corpora.fetch.fetch", lambda name, data, progress: done)
    text = run("fetch", "respiratory-tr", "--data", tmp_path).output
    assert f"RespiratoryDatabaseTR.zip; from now on it must be sha256 {'ab' * 32}" in text
    assert "Labels.xlsx is a file of its own" in text
    assert "new files: 3" in text


def test_fetch_says_when_it_leaves_a_folder_alone(coughs):
    result = run("fetch", "covid19-cough", "--data", coughs)
    assert result.exit_code == 0
    assert "left as it is" in result.output


def test_a_failed_fetch_exits_with_1(monkeypatch, tmp_path, capsys):
    def fail(*arguments):
        raise FetchError("no network here")

    monkeypatch.setattr("align.corpora.fetch.fetch", fail)
    assert exit_of(monkeypatch, "fetch", "circor", "--data", tmp_path) == 1
    assert capsys.readouterr().err.endswith("acula-edge: no network here\n")


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_prepare_writes_manifest_and_report_and_warns_of_what_is_missing(coughs, tmp_path, suffix):
    out = tmp_path / f"m{suffix}"
    result = run("prepare", "covid19-cough", "--data", coughs, "--out", out)
    assert result.exit_code == 0
    assert "covid19-cough, missing: 1: gone" in result.output
    assert [entry.name for entry in read_manifest(out)] == ["here"]
    report = json.loads((tmp_path / f"m{suffix}.report.json").read_text())
    assert report["corpora"][0]["missing"] == ["gone"]


def test_strict_prepare_exits_with_1_but_still_writes(monkeypatch, coughs, tmp_path):
    out = tmp_path / "m.jsonl"
    arguments = ("prepare", "covid19-cough", "--data", coughs, "--out", out, "--strict")
    assert exit_of(monkeypatch, *arguments) == 1
    assert len(read_manifest(out)) == 1


def test_prepare_refuses_another_suffix_before_it_decodes(monkeypatch, coughs, tmp_path, capsys):
    arguments = ("prepare", "covid19-cough", "--data", coughs, "--out", tmp_path / "m.csv")
    assert exit_of(monkeypatch, *arguments) == 2
    assert "ends in .jsonl or .parquet" in capsys.readouterr().err


def test_prepare_of_an_absent_corpus_exits_with_2(monkeypatch, coughs, tmp_path, capsys):
    arguments = ("prepare", "circor", "--data", coughs, "--out", tmp_path / "m.jsonl")
    assert exit_of(monkeypatch, *arguments) == 2
    assert "corpus 'circor' is not at" in capsys.readouterr().err


def test_prepare_into_a_place_that_refuses_exits_with_1(monkeypatch, coughs, tmp_path, capsys):
    (tmp_path / "file").write_text("not a folder")
    arguments = (
        "prepare",
        "covid19-cough",
        "--data",
        coughs,
        "--out",
        tmp_path / "file" / "m.jsonl",
    )
    assert exit_of(monkeypatch, *arguments) == 1
    assert "cannot be written" in capsys.readouterr().err
