"""The cut holds the front end, computes what the whole graph computes there, and no more."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from bundle_factory import stream_model

from acula_edge.bundle import load_bundle
from acula_edge.errors import BundleError
from benchmarks.latency.front_end import cut_front_end, front_end_share


@pytest.mark.parametrize("variant", ["cpu-int8", "fp32"])
def test_the_cut_computes_what_the_first_convolution_hears(variant):
    whole = onnx.load_from_string(load_bundle("heart-lung").graph(variant))
    part = onnx.load_from_string(cut_front_end(whole.SerializeToString()))
    conv = next(node for node in whole.graph.node if node.op_type == "Conv")
    assert [value.name for value in part.graph.output] == [conv.input[0]]
    assert not any("Conv" in node.op_type for node in part.graph.node)
    assert len(part.graph.node) < len(whole.graph.node)
    whole.graph.output.append(onnx.ValueInfoProto(name=conv.input[0]))
    feed = {
        "pcm": np.random.default_rng(0).normal(0, 0.1, (1, 768)).astype(np.float32),
        "state": np.zeros((1, 5763), np.float32),
    }
    heard, expected = (
        ort.InferenceSession(model.SerializeToString()).run([conv.input[0]], feed)[0]
        for model in (part, whole)
    )
    assert heard.std() > 0.1
    np.testing.assert_array_equal(heard, expected)


def test_the_share_is_a_share():
    assert 0.02 < front_end_share(load_bundle("heart-lung").graph("cpu-int8"), 30) < 1


def test_a_graph_without_convolutions_has_no_share():
    assert front_end_share(stream_model().SerializeToString(), 3) is None


def test_a_convolution_of_the_input_itself_has_no_front_end():
    node = onnx.helper.make_node("Conv", ["pcm", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [], [])
    assert cut_front_end(onnx.helper.make_model(graph).SerializeToString()) is None


@pytest.mark.parametrize("data", [b"", b"no model", b"\x3a\xff"])
def test_what_is_no_model_is_refused(data):
    with pytest.raises(BundleError, match="ONNX"):
        cut_front_end(data)
