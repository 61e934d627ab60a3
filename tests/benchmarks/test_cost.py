"""The benchmarks run, and their numbers mean what they say."""

import pytest

from acula_edge.cli import main
from benchmarks.cost import _blocks, compare_cost
from benchmarks.startup import measure_start


@pytest.mark.parametrize("paced", [False, True])
def test_cost_is_measured_on_both_sides(paced):
    result = compare_cost("heart-lung", variant="cpu-int8", paced=paced, pairs=2, seconds=0.6)
    assert result.mode == ("paced" if paced else "flat out")
    assert 0.01 < result.ours_ms < 1000
    assert 0.01 < result.peer_ms < 1000
    assert result.ratio.pairs == 2


def test_blocks_cover_the_time_asked_for():
    blocks = list(_blocks(44100, 0.1, 1.0, 0))
    assert len(blocks) == 10
    assert all(len(samples) == 4410 for _, samples in blocks)


def test_start_is_measured_in_whole_processes():
    help_page, first_event = measure_start("heart-lung", 1)
    assert 0.01 < help_page.fastest <= help_page.median <= help_page.slowest
    assert first_event.rss_mib > 20


def test_a_broken_model_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["acula-edge", "bench", "cost", "--model", "no-such"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 4
    assert "no-such" in capsys.readouterr().err
