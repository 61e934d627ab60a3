"""The long table holds every figure once."""

import csv
from dataclasses import replace

import bench_record
import pytest

from acula_edge.errors import UsageError
from benchmarks.record import Microcontroller
from benchmarks.report.table_csv import figures_of, write_csv

RECORD = bench_record.record()


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "figures.csv"
    write_csv(RECORD, path)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pick(rows, **wanted):
    (found,) = [r for r in rows if all(r[key] == value for key, value in wanted.items())]
    return found


def test_a_figure_reads_back_with_its_interval(rows):
    row = pick(
        rows, section="accuracy", subject="cpu-int8", finding="crackle", group="all",
        measure="AUROC",
    )  # fmt: skip
    auroc = RECORD.accuracy.variants[0].groups
    told = next(g.auroc for g in auroc if g.finding == "crackle" and g.kind == "all")
    assert [float(row[k]) for k in ("value", "low", "high")] == [told.value, told.low, told.high]
    assert row["samples"] == "333"


def test_a_withheld_quantile_is_empty_and_says_why(rows):
    row = pick(rows, section="onset", subject="cpu-int8", measure="audio, p95")
    assert (row["value"], row["note"]) == ("", "withheld: 49 samples")


def test_what_was_not_measured_is_empty_and_says_so(rows):
    row = pick(
        rows, section="flow", subject="cpu-int8", group="flat out", measure="deadline misses"
    )
    assert (row["value"], row["note"]) == ("", "not measured")
    assert pick(rows, subject="openSMILE")["note"] == "the package opensmile is not installed"


def test_no_figure_is_told_twice():
    keys = [
        (f.section, f.subject, f.finding, f.corpus, f.group, f.measure) for f in figures_of(RECORD)
    ]
    assert len(keys) == len(set(keys))


def test_a_record_without_figures_still_writes_its_header(tmp_path):
    path = tmp_path / "bare.csv"
    write_csv(bench_record.record(runs=(), accuracy=None, peers=None, students=(),
                                  microcontrollers=()), path)  # fmt: skip
    assert path.read_text().splitlines() == [
        "section,subject,finding,corpus,group,measure,value,low,high,unit,samples,note"
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_a_text_is_never_a_formula(tmp_path, start):
    hostile = Microcontroller(f"{start}cmd()", 1.0, None, None, None, 1, 1)
    path = tmp_path / "hostile.csv"
    write_csv(replace(RECORD, microcontrollers=(hostile,)), path)
    assert f",'{start}cmd()," in path.read_text()
    assert f",{start}cmd()" not in path.read_text()


def test_no_folder_is_one_sentence(tmp_path):
    with pytest.raises(UsageError, match="cannot be written"):
        write_csv(RECORD, tmp_path / "absent" / "figures.csv")
