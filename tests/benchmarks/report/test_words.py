"""What the report says about a record."""

from dataclasses import replace

import bench_record
import pytest

from benchmarks.record import Interval, Run
from benchmarks.report import words


def stamped(record):
    return [stamp.word for stamp in words.stamps(record)]


def with_ratio(value):
    peers = bench_record.peers()
    rows = [
        replace(row, ratio=Interval(value, value, value)) if row.name == "opera-gt" else row
        for row in peers.rows
    ]
    return bench_record.record(peers=replace(peers, rows=tuple(rows)))


def test_the_headline_says_how_well_at_what_cost_and_beside_whom():
    assert words.headline(bench_record.record()) == (
        "Murmur AUROC 0.955 [0.908, 0.978] at 1.2 ms CPU per second of audio;"
        " 444 times less CPU than OPERA-GT in the same run."
    )


def test_the_headline_admits_to_cost_more():
    said = words.headline(with_ratio(0.5))
    assert said.endswith("2.0 times more CPU than OPERA-GT in the same run.")
    assert not any("less" in fact.what for fact in words.facts(with_ratio(0.5)))


def test_without_accuracy_or_peers_the_headline_says_what_is_left():
    record = bench_record.record(accuracy=None, peers=None)
    assert words.headline(record) == "1.2 ms CPU per second of audio."
    assert "speed without accuracy" in stamped(record)


def test_accuracy_of_another_graph_is_not_told_beside_this_ones_speed():
    other = replace(bench_record.identity(), graph_sha256="0" * 64)
    record = bench_record.record(runs=(Run(other, bench_record.latency()),))
    assert "AUROC" not in words.headline(record)
    assert stamped(record) == ["timed, not scored"]


def test_the_very_graphs_are_claimed_only_where_they_are():
    claim = "by the very graphs that were timed"
    assert claim in words.scored_how(bench_record.record())
    other = replace(bench_record.identity(), graph_sha256="0" * 64)
    runs = (Run(other, bench_record.latency()),)
    assert claim not in words.scored_how(bench_record.record(runs=runs))
    assert claim not in words.scored_how(bench_record.record(runs=()))
    assert words.scored_how(bench_record.bare()) == ""


def test_nothing_measured_is_said():
    record = bench_record.bare()
    assert words.headline(record) == "Nothing was measured."
    assert stamped(record) == ["not comparable", "partial", "quick"]


def test_a_whole_record_of_a_machine_at_rest_has_no_stamp():
    assert stamped(bench_record.record()) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"busy": ("load 4.8",)}, "not comparable"),
        ({"complete": False}, "partial"),
        ({"depth": "quick"}, "quick"),
        ({"accuracy": None}, "speed without accuracy"),
        ({"accuracy": replace(bench_record.accuracy(), limited_to=20)}, "limited accuracy"),
    ],
)
def test_each_flaw_has_its_stamp(changes, word):
    assert stamped(bench_record.record(**changes)) == [word]


def test_limits_name_the_looks_and_only_what_the_record_holds():
    said = " ".join(words.limits(bench_record.record()))
    assert "scored 9 times before" in said
    assert "Research use only" in said
    assert "All of this is made up." in said
    bare = " ".join(words.limits(bench_record.bare()))
    assert "emulator" not in bare
    assert "how well the model hears" in bare


def test_a_note_that_repeats_a_stamp_is_left_out():
    note = "speed without accuracy: no recordings were scored"
    record = bench_record.record(accuracy=None, notes=(note, "another"))
    assert note not in words.limits(record)
    assert "another" in words.limits(record)
