"""Taking an int8 graph apart: what is found, and what is refused by name."""

import dataclasses

import numpy as np
import onnx
import pytest
from mcu_bundle import MCU_INT8, mcu_bundle, mcu_config
from onnx import helper, numpy_helper

from acula_edge.errors import BundleError
from firmware_bridge import qdq
from firmware_bridge.emit.check import check_limits
from firmware_bridge.mel import front_end_of, mel_filters
from firmware_bridge.model import Scale, read_model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return mcu_bundle(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(bundle):
    return read_model(bundle)


def initializer(graph, name):
    return next(item for item in graph.initializer if item.name == name)


def long_and_short_filters():
    """As the graph stores them: cosines and sines; long ones by even, then odd bins."""
    long, short = mel_filters(4000, 256, 64, 25.0, 2000.0), mel_filters(4000, 64, 8, 25.0, 2000.0)
    used, few = np.flatnonzero(long.sum(axis=0)), np.flatnonzero(short.sum(axis=0))
    even, odd = long[:, used[used % 2 == 0]].T, long[:, used[used % 2 == 1]].T
    inner = short[:, few].T
    stored = np.concatenate([even, even, odd, odd]), np.concatenate([inner, inner])
    return tuple(part.astype(np.float32) for part in stored)


def node_reading(graph, name):
    return next(node for node in graph.node if name in node.input)


def edited(bundle, monkeypatch, edit):
    """`read_model` of the bundle with an edited graph: the bundle's own checks are not asked."""
    graph = onnx.load_from_string(bundle.graph(MCU_INT8, "stream")).graph
    edit(graph)
    monkeypatch.setattr(qdq, "_load", lambda *_: graph)
    return read_model(bundle)


def test_the_shapes_are_those_of_the_student(model):
    config = mcu_config()
    assert [(b.kernel, b.dilation, b.stride) for b in model.blocks] == [
        (spec.kernel, spec.dilation, spec.stride) for spec in config.blocks
    ]
    assert [b.residual for b in model.blocks] == [False, True, False, *[True] * 5]
    assert (model.front_end.channels, model.frames, model.steps) == (96, 12, 6)
    assert [(h.name, h.outputs, h.pooled) for h in model.heads] == [
        ("findings", 3, False),
        ("phases", 4, False),
        ("text", 64, True),
    ]
    assert model.embedding == 64 and model.width == 32


def test_weights_and_scales_are_the_graphs(bundle, model):
    graph = onnx.load_from_string(bundle.graph(MCU_INT8, "stream")).graph
    for index, block in enumerate(model.blocks):
        codes = numpy_helper.to_array(initializer(graph, f"block{index}.weight.codes"))
        scale = numpy_helper.to_array(initializer(graph, f"block{index}.out.scale"))
        assert np.array_equal(block.weight, codes)
        assert block.relu.scale == float(scale)


def test_a_block_reads_in_the_scale_in_which_the_one_before_it_gives(model):
    for before, block in zip(model.blocks, model.blocks[1:], strict=False):
        assert block.source == before.output
    assert model.findings.source == model.blocks[-1].output


def test_the_half_precision_filters_are_the_manifests(model):
    assert model.front_end.long.filters.shape == (64, 129)
    assert np.allclose(model.front_end.long.filters.sum(axis=1), 1, atol=1e-3)
    assert model.front_end.short is not None
    assert model.front_end.short.filters.shape == (8, 33)


def test_a_variant_that_is_not_there_is_refused(bundle):
    with pytest.raises(BundleError, match=r"no variant 'trt-int8'"):
        read_model(bundle, "trt-int8")


def test_a_float_variant_is_refused_by_node(bundle):
    with pytest.raises(BundleError, match=r"node 'conv\d+'|node 'transpose"):
        read_model(bundle, "fp32")


@pytest.mark.parametrize("kind", ["Sigmoid", "MaxPool", "Softmax"])
def test_an_unknown_operator_is_refused_by_name(bundle, monkeypatch, kind):
    def edit(graph):
        graph.node.append(helper.make_node(kind, ["step_scores"], ["more"], "strange"))

    with pytest.raises(BundleError, match=rf"node 'strange': {kind} is outside the layers"):
        edited(bundle, monkeypatch, edit)


def test_a_foreign_domain_is_refused_by_name(bundle, monkeypatch):
    def edit(graph):
        next(node for node in graph.node if node.op_type == "Split").domain = "com.microsoft"

    with pytest.raises(BundleError, match=r"node 'split0.0': Split is outside"):
        edited(bundle, monkeypatch, edit)


def test_an_activation_between_trunk_and_sum_is_refused(bundle, monkeypatch):
    def edit(graph):
        relu = next(node for node in graph.node if node.op_type == "Relu")
        relu.op_type = "LeakyRelu"

    with pytest.raises(BundleError, match=r"node 'relu\d+': LeakyRelu is outside"):
        edited(bundle, monkeypatch, edit)


def test_padding_and_groups_are_refused(bundle, monkeypatch):
    def edit(graph):
        conv = next(node for node in graph.node if node.op_type == "Conv")
        conv.attribute.append(helper.make_attribute("pads", [1, 1]))

    with pytest.raises(BundleError, match=r"node 'conv\d+': attribute 'pads' is not known"):
        edited(bundle, monkeypatch, edit)


def test_a_scale_that_changes_between_blocks_is_refused(bundle, monkeypatch):
    def edit(graph):
        item = initializer(graph, "block3.in.scale")
        item.CopyFrom(numpy_helper.from_array(np.float32(0.9), item.name))

    with pytest.raises(BundleError, match=r"reads in another scale than the block before it"):
        edited(bundle, monkeypatch, edit)


def test_a_bias_in_other_units_is_refused(bundle, monkeypatch):
    def edit(graph):
        item = initializer(graph, "block2.bias.scale")
        value = numpy_helper.to_array(item) * np.float32(2)
        item.CopyFrom(numpy_helper.from_array(value, item.name))

    with pytest.raises(BundleError, match=r"its bias is not in units of its accumulator"):
        edited(bundle, monkeypatch, edit)


def test_a_block_that_reads_something_else_is_refused(bundle, monkeypatch):
    def edit(graph):
        join = node_reading(graph, "split60.3")
        join.input[1] = "transpose76"  # block 2's output, where block 3's sum belongs

    with pytest.raises(BundleError, match=r"does not read what the block before it gives"):
        edited(bundle, monkeypatch, edit)


def test_filters_that_the_manifest_does_not_describe_are_refused(bundle, monkeypatch):
    def edit(graph):
        item = initializer(graph, "constant34")
        value = numpy_helper.to_array(item) * np.float32(1.5)
        item.CopyFrom(numpy_helper.from_array(value, item.name))

    with pytest.raises(BundleError, match=r"mel filters are not those that the manifest describes"):
        edited(bundle, monkeypatch, edit)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "mfcc"}, "not of type"),
        ({"bands": "many"}, "must have the numbers"),
        ({"frame": 200}, "power of 4"),
        ({"short_frame": 0}, "describes none"),
        ({"bands": 60}, "mel filters are"),
    ],
)
def test_another_front_end_is_refused(bundle, change, message):
    manifest = dataclasses.replace(
        bundle.manifest, front_end={**bundle.manifest.front_end, **change}
    )
    stored = long_and_short_filters()
    with pytest.raises(BundleError, match=message):
        front_end_of(manifest, stored, Scale(0.03, 0))


def test_sums_that_could_overflow_are_refused(model):
    block = model.blocks[0]
    heavy = dataclasses.replace(block, weight=np.full_like(block.weight, 127))
    with pytest.raises(BundleError, match=rf"node '{block.name}': its sums are too large"):
        check_limits(dataclasses.replace(model, blocks=(heavy, *model.blocks[1:])))
    apart = dataclasses.replace(block, relu=Scale(1e-9, -128))
    with pytest.raises(BundleError, match=rf"node '{block.name}': its scales are too far apart"):
        check_limits(dataclasses.replace(model, blocks=(apart, *model.blocks[1:])))
    check_limits(model)
