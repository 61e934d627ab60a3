"""`firmware verify`: a table, JSON for `benchmarks`, and exit code 7 where a byte differs."""

import json

import pytest
import typer
from typer.testing import CliRunner

from acula_edge.errors import UsageError
from firmware_bridge.verify import case
from firmware_bridge.verify.cli import verify

app = typer.Typer()
app.command()(verify)


@pytest.fixture
def stand_in(monkeypatch, reference):
    """The stand-in's reference instead of a bundle's."""
    monkeypatch.setattr(case, "reference_of", lambda firmware, bundle, rounding: reference)


@pytest.mark.usefixtures("arm", "host_cc", "stand_in")
def test_table_and_json(make_folder, tmp_path):
    out = tmp_path / "out.json"
    options = ["--on", "m4", "--on", "host", "--json", str(out)]
    done = CliRunner().invoke(app, [str(make_folder()), *options])
    assert done.exit_code == 0, done.output
    figures = json.loads(out.read_text())
    assert (figures["schema"], figures["kind"]) == (1, "acula-edge-firmware-verify")
    assert figures["model"]["name"] == "standin"
    m4, host = figures["cores"]
    assert (m4["core"], m4["machine"], host["core"]) == ("m4", "mps2-an386", "host")
    assert m4["vectors"] == m4["equal"] == host["vectors"] == host["equal"] > 90
    for key in ("instructions_per_second", "flash_bytes", "ram_bytes", "stack_bytes"):
        assert m4[key] > 0 and host[key] is None
    assert f"| m4 | {m4['equal']} of {m4['vectors']} |" in done.output


@pytest.mark.usefixtures("arm", "stand_in")
def test_a_difference_is_exit_code_3(make_folder):
    folder = make_folder(edits={"-0.0f;": "0.0f;"})
    done = CliRunner().invoke(app, [str(folder), "--on", "m4"])
    assert done.exit_code == 7
    assert "m4: golden, hop 0: phases[1][2]: expected" in done.output


@pytest.mark.usefixtures("stand_in")
def test_a_core_that_is_none(make_folder):
    done = CliRunner().invoke(app, [str(make_folder()), "--on", "m33"])
    assert isinstance(done.exception, UsageError)


@pytest.mark.usefixtures("host_cc", "stand_in")
def test_json_that_cannot_be_written(make_folder, tmp_path):
    options = ["--on", "host", "--json", str(tmp_path / "none" / "out.json")]
    done = CliRunner().invoke(app, [str(make_folder()), *options])
    assert isinstance(done.exception, UsageError)
