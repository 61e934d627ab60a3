"""Marks of the charts stand where the record's figures are."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import bench_record
import pytest

from benchmarks.record import Run
from benchmarks.report import curves, forest, front, front_chart, select

RECORD = bench_record.record()


def parsed(drawn):
    return ElementTree.fromstring(drawn.replace(' xmlns="http://www.w3.org/2000/svg"', ""))


def marks(root, title):
    """Centres of the circles whose group's title begins so."""
    groups = [g for g in root.iter("g") if (g.findtext("title") or "").startswith(title)]
    circles = [c for g in groups for c in g.iter("circle")]
    return [(float(c.get("cx")), float(c.get("cy"))) for c in circles]


def test_the_front_puts_the_cheaper_left_and_the_better_up():
    root = parsed(front_chart.draw_front(front.cost_front(RECORD), 900))
    ((x, y),) = marks(root, "imaginary-lung 9.9.9 cpu-int8, murmur: 0.955")
    ((dear, worse),) = marks(root, "aligned encoder (imaginary, seed 0), murmur: 0.944")
    assert x < dear
    assert y < worse


def test_peers_without_auroc_are_marked_and_the_original_is_not_marked_twice():
    made = front.cost_front(RECORD)
    names = [mark.name for mark in made.marks]
    assert {"OPERA-GT", "AST", "webrtcvad"} <= set(names)
    assert "aligned encoder" not in names
    assert not any("imaginary-lung" in name for name in names)
    assert "librosa" not in names
    original = next(c for c in made.columns if c.role == "original")
    assert original.x == pytest.approx(1.23 * 7.7)


def test_an_original_that_was_not_timed_stands_apart():
    made = front.cost_front(bench_record.record(peers=None))
    assert next(c for c in made.columns if c.role == "original").x is None
    drawn = front_chart.draw_front(made, 900)
    assert "not timed" in drawn
    assert marks(parsed(drawn), "aligned encoder")[0][0] > marks(parsed(drawn), "imaginary")[0][0]


def test_without_accuracy_there_is_no_front():
    assert front_chart.draw_front(front.cost_front(bench_record.record(accuracy=None)), 900) == ""
    assert front_chart.draw_front(front.student_front(bench_record.record(students=())), 900) == ""


def test_the_size_front_counts_bytes_of_what_ships():
    made = front.size_front(RECORD)
    assert {c.role: c.x for c in made.columns} == {"headline": 345_678, "original": 1_000_000}


def test_the_p95_front_holds_the_deadline():
    made = front.latency_front(RECORD)
    assert made.limit == (192.0, "deadline")
    assert "deadline 192 ms" in front_chart.draw_front(made, 290)


@pytest.mark.parametrize("width", [290, 330, 440, 920])
def test_charts_stay_inside_their_frame(width):
    drawn = [
        front_chart.draw_front(front.cost_front(RECORD), width),
        front_chart.draw_front(front.size_front(RECORD), width),
        front_chart.draw_front(front.student_front(RECORD), width),
        forest.draw_forest(forest.task_forest(RECORD), width),
        curves.draw_ecdf(RECORD.runs[0], width),
        curves.draw_stages(RECORD, width),
    ]
    for chart in drawn:
        root = parsed(chart)
        _, _, right, bottom = map(float, root.get("viewBox").split())
        for item in root.iter():
            for key, most in (("x", right), ("cx", right), ("y", bottom), ("cy", bottom)):
                if item.get(key) is not None:
                    assert -0.1 <= float(item.get(key)) <= most + 0.1


def test_the_forest_draws_each_interval_and_says_where_there_is_none():
    parts = forest.part_forests(RECORD)[0]
    drawn = forest.draw_forest(parts, 440)
    told = [line for line in parts.lines if line.value is not None]
    assert drawn.count('class="span') == len(told)
    assert "4 positive: too few" in drawn


def test_the_ecdf_rises_and_has_a_line_for_each_way():
    drawn = parsed(curves.draw_ecdf(RECORD.runs[0], 440))
    lines = list(drawn.iter("polyline"))
    assert len(lines) == 2
    for line in lines:
        points = [tuple(map(float, p.split(","))) for p in line.get("points").split()]
        assert points == sorted(points, key=lambda p: (p[0], -p[1]))


def test_stages_split_the_front_end_and_keep_the_sum():
    run = RECORD.runs[0]
    means = curves.stage_means(run, run.latency.flat)
    stages = run.latency.flat.stages
    assert sum(means.values()) == pytest.approx(sum(s.mean for s in stages.values()))
    assert means["front end"] == pytest.approx(0.31 * stages["network"].mean)
    unknown = Run(run.identity, replace(run.latency, front_end_share=None))
    assert "front end" not in curves.stage_means(unknown, run.latency.flat)


def test_bars_are_as_long_as_their_means():
    drawn = curves.draw_stages(RECORD, 900)
    bars = re.findall(r'width="([\d.]+)" height="22"', drawn)
    network = RECORD.runs[1].latency.paced.stages["network"].mean * (1 - 0.31)
    total = sum(s.mean for s in RECORD.runs[1].latency.paced.stages.values())
    assert max(map(float, bars)) == pytest.approx(898 * network / total - 1.5, abs=0.2)


def test_reliability_ignores_empty_bins():
    variant = select.scored(RECORD, RECORD.runs[0])
    group = select.whole(variant, select.tasks(RECORD)[0])
    holed = replace(group, reliability=((0.5, 0.4, 10.0), (0.9, 0.0, 0.0)))
    assert curves.draw_reliability("r", holed, 0, 300).count("recordings: said") == 1
    assert curves.draw_reliability("r", replace(group, reliability=()), 0, 300) == ""
