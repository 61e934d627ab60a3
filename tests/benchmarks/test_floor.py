"""The floor is counted from the graph and measured beside it."""

from dataclasses import replace

import pytest
import torch
from tiny_student import CONFIG, make_sound, make_student

from benchmarks.floor import count_macs, measure_floor, working_nodes
from export.onnx_graphs import export_stream
from export.quantise import measure_scales, quantise


@pytest.fixture(scope="module")
def graphs():
    student = make_student(replace(CONFIG, phases=False))
    ranges = measure_scales(student, [torch.from_numpy(make_sound())])
    stream = export_stream(student)
    return stream, quantise(stream, ranges)


def test_products_are_those_of_the_layers(graphs):
    stream, quantised = graphs
    width, channels, frames, steps = 16, 24 + 4 * 8, 12, 6
    trunk = width * 3 * (channels + width) * frames + width * width * (4 + 3) * steps
    whole, split = count_macs(stream), count_macs(quantised)
    assert split.int8 == trunk
    assert whole.int8 == 0
    assert whole.float32 == split.float32 + trunk
    heads = 2 * width * steps
    assert split.float32 > heads + 2 * 12 * 126 * 128  # two half Fourier transforms at least


def test_tables_made_at_load_are_no_work(graphs):
    stream, _ = graphs
    kinds = {node.op_type for node in working_nodes(stream)}
    assert "Mod" not in kinds
    assert "Conv" in kinds


def test_the_floor_is_below_the_graph(graphs):
    for graph in graphs:
        result = measure_floor(graph.SerializeToString(), 0.192, pairs=2, hops=30)
        assert 0 < result.floor_ms < result.graph_ms
        assert result.to_floor.median > 1
        assert result.to_silero.pairs == 2
        assert result.silero_ms > 0
