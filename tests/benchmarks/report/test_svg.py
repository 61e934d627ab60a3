"""Scales and labels of the charts."""

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.report import svg


def test_a_linear_scale_maps_its_ends_and_clips():
    scale = svg.Linear(0, 10, 100, 200)
    assert [scale(v) for v in (0, 5, 10, 99)] == [100, 150, 200, 200]


def test_a_log_scale_spaces_decades_alike_and_takes_nought():
    scale = svg.Log(0.1, 1000, 0, 400)
    assert [scale(v) for v in (0.1, 1, 10, 1000)] == pytest.approx([0, 100, 200, 400])
    assert scale(0.0) == 0


@given(low=st.floats(1e-6, 1e6), factor=st.floats(1.01, 1e9), most=st.integers(2, 8))
def test_ticks_lie_on_the_scale_and_are_few(low, factor, most):
    for scale in (svg.Log(low, low * factor, 0, 1), svg.Linear(low, low * factor, 0, 1)):
        ticks = scale.ticks(most)
        assert len(ticks) <= most + 1
        spare = 1e-3 * low * factor if isinstance(scale, svg.Linear) else 1e-3 * low
        assert all(low - spare <= t <= low * factor * 1.001 for t in ticks)


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.floats(0, 300), st.floats(20, 150)), min_size=1, max_size=12),
)
def test_labels_never_overlap_and_stay_inside(labels):
    placed = svg.tags([x for x, _ in labels], [w for _, w in labels], 0, 300)
    for i, one in enumerate(placed):
        assert one.span[0] >= -4.01
        assert one.span[1] <= 304.01
        assert not any(one.covers(other) for other in placed[i + 1 :])


def test_a_leader_stays_clear_of_texts_where_there_is_room():
    placed = svg.tags([100, 120, 140], [60, 60, 60], 0, 1000)
    pairs = [(a, b) for a in placed for b in placed if a is not b]
    assert not any(a.crosses(b) for a, b in pairs)
    assert [tag.lane for tag in placed] == [2, 1, 0]


def test_long_text_is_cut_to_its_room():
    cut = svg.fitted("a very long name of a model", 60)
    assert cut.endswith("…")
    assert svg.text_width(cut) <= 60
    assert svg.fitted("short", 60) == "short"


def test_text_and_attributes_are_escaped():
    hostile = "</text><script>&\"'\x00\x1b"
    made = svg.drawing("a", 10, 10, hostile, hostile, svg.label(hostile, 0, 0, hostile))
    root = ElementTree.fromstring(made)
    assert {e.tag.partition("}")[2] for e in root.iter()} == {"svg", "title", "desc", "text"}
    assert "<script>" in "".join(root.itertext())


def test_every_series_of_six_has_a_shape_of_its_own():
    marks = [ElementTree.fromstring(svg.symbol(i, 0, 0)) for i in range(6)]
    shapes = {(m.tag, m.get("points")) for m in marks}
    assert len(shapes) == 6
