"""The diagram is well-formed, stands where the bins say, and stays small."""

import dataclasses
from xml.etree import ElementTree

import pytest
from bundle_factory import manifest

from export.reliability import LEFT, SIDE, TOP, reliability_files, reliability_svg

SPACE = "{http://www.w3.org/2000/svg}"
BINS = [[0.0, 0.0, 30], [0.5, 0.25, 30], [1.0, 1.0, 31]]


def circles(svg, style):
    found = ElementTree.fromstring(svg).iter(f"{SPACE}circle")
    return [(float(c.get("cx")), float(c.get("cy"))) for c in found if c.get("class") == style]


def test_points_lie_where_the_bins_are():
    points = circles(reliability_svg("murmur", {"test patients": BINS}), "p1")[:3]
    corner, middle = (LEFT, TOP + SIDE), (LEFT + SIDE / 2, TOP + SIDE * 0.75)
    assert points == [corner, middle, (LEFT + SIDE, TOP)]


def test_two_series_are_told_apart():
    svg = reliability_svg("a<b", {"left out": BINS, "test & all": BINS})
    assert len(circles(svg, "p0")) == len(circles(svg, "p1")) == 4  # three bins and the key
    texts = [node.text for node in ElementTree.fromstring(svg).iter(f"{SPACE}text")]
    assert "a<b" in texts
    assert "test & all, 30 to 31 a point" in texts


@pytest.mark.parametrize(
    "series", [{}, {"a": BINS, "b": BINS, "c": BINS}, {"a": [[0.5, 1.2, 3]]}, {"a": [[-0.1, 0, 3]]}]
)
def test_what_cannot_be_drawn_is_refused(series):
    with pytest.raises(ValueError, match=r"one series or two|outside"):
        reliability_svg("x", series)


def test_files_of_a_bundle():
    entry = {"reliability": BINS}
    metrics = {"fp32": {"murmur": entry, "wheeze": {"reliability": []}}}
    files = reliability_files(dataclasses.replace(manifest(), metrics=metrics), "fp32")
    assert list(files) == ["reliability-murmur.svg"]
    both = metrics | {"validation": {"murmur": entry, "wheeze": entry}}
    files = reliability_files(dataclasses.replace(manifest(), metrics=both), "fp32")
    assert list(files) == ["reliability-murmur.svg", "reliability-wheeze.svg"]
    assert all(len(data) < 5000 for data in files.values())
