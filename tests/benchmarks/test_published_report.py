"""What README quotes of the committed report is what the record says, of the shipped artefact."""

import json
import re
from pathlib import Path

import bench_record
import pytest

from acula_edge.bundle import load_bundle
from benchmarks.microcontroller import read_microcontrollers
from benchmarks.published import FIRMWARE, RESULT, firmware_table, latency_table, peers_table
from benchmarks.record import read_record
from benchmarks.report.page import headline_svg

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "README.md").read_text()
ENGINEERS = (ROOT / "firmware_bridge" / "README.md").read_text()
TABLES = {"peers": peers_table, "latency": latency_table}


def block_of(page, name):
    return re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", page, re.DOTALL)[1].strip()


@pytest.fixture(scope="module")
def record():
    return read_record(RESULT)


@pytest.mark.parametrize("block", TABLES)
def test_the_page_shows_the_records_figures(block, record):
    assert block_of(PAGE, block) == TABLES[block](record)


@pytest.mark.parametrize(("page", "block"), [(PAGE, "firmware"), (ENGINEERS, "budget")])
def test_the_firmwares_figures_are_those_of_its_proof(page, block):
    assert block_of(page, block) == firmware_table(read_microcontrollers(FIRMWARE))


def test_the_proof_is_of_the_shipped_bundle_and_complete():
    proof = json.loads(FIRMWARE.read_text())
    bundle = load_bundle("heart-lung-xs")
    assert proof["model"]["sha256"] == bundle.manifest.variant("mcu-int8").stream.sha256
    assert {core["core"] for core in proof["cores"]} == {"host", "m4", "m7", "m55"}
    for core in proof["cores"]:
        assert core["equal"] == core["vectors"] > 600
    assert proof["decisions"]["equal"] == proof["decisions"]["recordings"] > 0


def test_the_record_is_of_the_shipped_artefacts(record):
    bundle = load_bundle("heart-lung")
    assert record.complete
    assert {run.identity.variant for run in record.runs} >= {"cpu-int8", "fp32"}
    for run in record.runs:
        shipped = bundle.manifest.variant(run.identity.variant).stream.sha256
        assert run.identity.graph_sha256 == shipped
    scored = {item.variant: item.graph_sha256 for item in record.accuracy.variants}
    assert scored["cpu-int8"] == bundle.manifest.variant("cpu-int8").stream.sha256


def test_its_accuracy_is_the_bundles(record):
    metrics = load_bundle("heart-lung").manifest.metrics["cpu-int8"]
    (ours,) = (item for item in record.accuracy.variants if item.variant == "cpu-int8")
    for group in ours.groups:
        if group.kind == "all" and group.corpus in ("circor", "sprsound"):
            assert group.auroc.value == pytest.approx(
                metrics[group.finding]["auroc"]["value"], abs=5e-4
            )


def test_the_records_name_no_folder_of_a_machine():
    for path in (RESULT, FIRMWARE):
        assert not re.search(r"[\s=\"](/|~|\.\./)[\w.]", path.read_text()), path.name


def test_the_picture_is_drawn_from_the_record(record):
    assert (ROOT / "docs" / "benchmark.svg").read_text() == headline_svg(record)


def test_a_withheld_quantile_is_called_so_and_a_peer_that_is_missing_is_left_out():
    made = bench_record.record()
    assert "withheld" in latency_table(bench_record.bare()) or "-" in latency_table(made)
    assert "opera" not in peers_table(bench_record.bare()).lower()
