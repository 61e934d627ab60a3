"""From files to files."""

import bench_record
import pytest
import typer
from typer.testing import CliRunner

from acula_edge.errors import UsageError
from benchmarks.record import write_record
from benchmarks.report.cli import compare, render

app = typer.Typer()
app.command("render")(render)
app.command("compare")(compare)


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def records(tmp_path):
    paths = tmp_path / "laptop.json", tmp_path / "board.json"
    for path in paths:
        write_record(bench_record.record(), path)
    return paths


def test_a_record_becomes_a_page_a_table_and_a_picture(records, tmp_path):
    table, picture = tmp_path / "t.csv", tmp_path / "p.svg"
    result = run("render", records[0], "--csv", table, "--svg", picture)
    page = tmp_path / "laptop.html"
    assert result.output.split() == [str(page), str(table), str(picture)]
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    assert not list(tmp_path.glob("*.part"))


def test_a_record_without_accuracy_has_no_picture(tmp_path):
    path = tmp_path / "bare.json"
    write_record(bench_record.bare(), path)
    with pytest.raises(UsageError, match="no model with both accuracy and CPU time"):
        run("render", path, "--svg", tmp_path / "p.svg")


def test_two_records_are_compared_as_text_or_page(records, tmp_path):
    assert "laptop" in run("compare", *records).output
    out = tmp_path / "both.html"
    run("compare", *records, "--out", out)
    assert "board" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"kind": "other"}', None])
def test_a_corrupt_file_in_a_comparison_is_named(records, damage):
    if damage is None:
        records[1].unlink()
    else:
        records[1].write_bytes(damage)
    with pytest.raises(UsageError, match=r"board\.json"):
        run("compare", *records)


def test_a_folder_that_is_not_there_is_one_sentence(records, tmp_path):
    with pytest.raises(UsageError, match="cannot be written"):
        run("render", records[0], "--out", tmp_path / "absent" / "page.html")
