"""`bench peers` prints a table of ratios, or the record's own JSON."""

import json

import pytest
import typer
from typer.testing import CliRunner

from acula_edge.bundle.strict import decode
from benchmarks.peers import cli
from benchmarks.record import Distribution, Interval, MissingPeer, Peer, Peers


def _row(name, kind, ms, ratio=None, peak=None):
    middle = Interval(ms, ms, ms)
    curve = (ms,) * 101
    return Peer(
        name, kind, "1.2", "MIT", None, 2_327_524 if ratio else None,
        Distribution(3, ms, middle, None, None, None, ms, curve), ratio, ratio, 3 if ratio else 0,
        peak, None if peak is None else peak / 64, "what it is",
    )  # fmt: skip


RESULT = Peers(
    6,
    (
        _row("heart-lung cpu-int8, whole path", "ours", 4.0, peak=64.0),
        _row("silero-vad", "streaming", 6.0, Interval(1.5, 1.4, 1.6), 96.0),
        _row("opera-gt", "original", 2000.0, Interval(500.0, 480.0, 520.0)),
    ),
    (MissingPeer("ast", "it is not installed: pip install 'acula-edge[align]'"),),
)


@pytest.fixture
def run(monkeypatch):
    asked = []

    def measured(bundle, variant, settings, *, original, progress):
        asked.append((bundle.manifest.name, variant, settings, original))
        progress("turn 1 of 6")
        return RESULT

    monkeypatch.setattr(cli, "measure_peers", measured)
    app = typer.Typer()
    app.command("peers")(cli.peers)

    def invoke(*arguments):
        return CliRunner().invoke(app, list(arguments)), asked

    return invoke


def test_the_table_has_ratios_and_names_what_is_missing():
    head, ours, silero, opera, *rest = cli.table_lines(RESULT)
    assert head.split()[:2] == ["kind", "CPU"]
    assert "4 " in ours and "[" not in ours
    assert "1.5 [1.4, 1.6]" in silero and "1.50" in silero and "2.33 MB" in silero
    assert "500 [480, 520]" in opera and opera.split()[-2:] != ["0", "0.00"]
    assert any("silero-vad 1.2 (MIT): what it is" in line for line in rest)
    assert rest[-1].startswith("missing: ast: it is not installed")


def test_json_is_what_the_record_holds(run):
    result, _ = run("--json")
    assert result.exit_code == 0
    assert decode(Peers, json.loads(result.stdout)) == RESULT


def test_options_reach_the_measurement(run, tmp_path):
    result, asked = run("--quick", "--variant", "fp32", "--original", str(tmp_path))
    assert result.exit_code == 0
    assert asked == [("heart-lung", "fp32", cli.QUICK, tmp_path)]
    assert "turn 1 of 6" in result.stderr and "turn 1 of 6" not in result.stdout
    assert cli.FULL.turns > cli.QUICK.turns >= 2


def test_an_interrupted_run_says_so(run):
    result, _ = run("--full")
    assert result.exit_code == 130
    assert "silero-vad" in result.stdout
    assert f"interrupted: 6 of {cli.FULL.turns} turns" in result.stderr
