from __future__ import annotations

import contextlib
import time

import numpy as np
import onnx
import pytest
from bundle_factory import stream_model, window_model
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from acula_edge.bundle.onnx_check import MAX_DEPTH, MAX_FIELDS, check_onnx, read_facts
from acula_edge.errors import BundleError

STREAM = stream_model().SerializeToString()


def model_of(
    nodes: list[onnx.NodeProto], functions: list[onnx.FunctionProto] | None = None
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", [], [])
    return helper.make_model(graph, functions=functions or [])


def external_tensor(name: str = "w") -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return tensor


def if_node(inner: onnx.NodeProto) -> onnx.NodeProto:
    branch = helper.make_graph([inner], "branch", [], [])
    return helper.make_node("If", ["c"], [], then_branch=branch, else_branch=branch)


def domains_by_onnx(model: onnx.ModelProto) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()

    def visit(nodes: object) -> None:
        for node in nodes:  # type: ignore[attr-defined]
            found.add((node.domain, node.op_type))
            for attribute in node.attribute:
                visit(attribute.g.node)
                for graph in attribute.graphs:
                    visit(graph.node)

    visit(model.graph.node)
    for function in model.functions:
        visit(function.node)
    for training in model.training_info:
        visit([*training.initialization.node, *training.algorithm.node])
    return found


def rich_model() -> onnx.ModelProto:
    inner = helper.make_node("FusedMatMul", ["a"], ["b"], domain="com.microsoft")
    function = helper.make_function(
        "com.microsoft", "Twice", ["x"], ["y"], [if_node(helper.make_node("Neg", ["x"], ["y"]))], []
    )
    model = model_of([if_node(if_node(inner))], [function])
    training = model.training_info.add()
    training.algorithm.node.append(helper.make_node("Sqrt", ["a"], ["b"]))
    training.initialization.node.append(helper.make_node("Cos", ["a"], ["b"]))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    helper.set_model_props(model, {"acula.contract": "{}", "größe": "ü"})
    return model


@pytest.mark.parametrize("build", [stream_model, window_model, rich_model])
def test_facts_are_those_the_onnx_package_reads(build: object) -> None:
    model: onnx.ModelProto = build()  # type: ignore[operator]
    facts = check_onnx(model.SerializeToString())
    ops = domains_by_onnx(model)
    assert facts.ir_version == model.ir_version
    assert facts.opsets == {entry.domain: entry.version for entry in model.opset_import}
    assert facts.metadata == {entry.key: entry.value for entry in model.metadata_props}
    assert facts.op_types == {op for _, op in ops}
    assert facts.op_domains == {d for d, _ in ops} | {f.domain for f in model.functions}
    assert not facts.external_data


def place_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(external_tensor())


def place_attribute(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["x"], value=external_tensor()))


def place_attribute_list(model: onnx.ModelProto) -> None:
    node = helper.make_node("X", [], ["x"])
    node.attribute.append(helper.make_attribute("list", [external_tensor(), external_tensor()]))
    model.graph.node.append(node)


def place_subgraph(model: onnx.ModelProto) -> None:
    node = if_node(helper.make_node("Neg", ["x"], ["y"]))
    node.attribute[1].g.initializer.append(external_tensor())
    model.graph.node.append(node)


def place_sparse(model: onnx.ModelProto) -> None:
    sparse = model.graph.sparse_initializer.add()
    sparse.indices.CopyFrom(external_tensor())


def place_sparse_attribute(model: onnx.ModelProto) -> None:
    attribute = onnx.AttributeProto(name="s", type=onnx.AttributeProto.SPARSE_TENSOR)
    attribute.sparse_tensor.values.CopyFrom(external_tensor())
    node = helper.make_node("Constant", [], ["x"])
    node.attribute.append(attribute)
    model.graph.node.append(node)


def place_training(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.initializer.append(external_tensor())


def place_function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Constant", [], ["x"], value=external_tensor())
    model.functions.append(helper.make_function("", "F", [], ["x"], [node], []))


def place_entries_without_location(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "w"))
    model.graph.initializer[-1].external_data.add(key="location", value="weights.bin")


@pytest.mark.parametrize(
    "place",
    [
        place_initializer,
        place_attribute,
        place_attribute_list,
        place_subgraph,
        place_sparse,
        place_sparse_attribute,
        place_training,
        place_function,
        place_entries_without_location,
    ],
)
def test_external_data_is_refused_wherever_it_hides(place: object) -> None:
    model = stream_model()
    place(model)  # type: ignore[operator]
    data = model.SerializeToString()
    assert read_facts(data).external_data
    with pytest.raises(BundleError, match=r"^a\.onnx: keeps weights in another file"):
        check_onnx(data, "a.onnx")


def test_a_disguised_data_location_is_still_external() -> None:
    # protobuf cuts an enum to 32 bits: this varint is 1 (EXTERNAL) to the runtime.
    tensor = b"\x70" + b"\x81\x80\x80\x80\x10"
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    data = b"\x3a" + bytes([len(graph)]) + graph
    assert onnx.load_from_string(data).graph.initializer[0].data_location == TensorProto.EXTERNAL
    assert read_facts(data).external_data


@pytest.mark.parametrize(
    "model",
    [
        model_of([helper.make_node("Evil", ["x"], ["y"], domain="evil.ops")]),
        model_of([if_node(helper.make_node("Evil", ["x"], ["y"], domain="evil.ops"))]),
        model_of([], [helper.make_function("evil.ops", "F", ["x"], ["y"], [], [])]),
        model_of(
            [],
            [
                helper.make_function(
                    "", "F", ["x"], ["y"], [helper.make_node("E", [], [], domain="evil.ops")], []
                )
            ],
        ),
    ],
)
def test_unknown_domains_are_refused(model: onnx.ModelProto) -> None:
    with pytest.raises(BundleError, match=r"^a\.onnx: .*unknown domain 'evil\.ops'"):
        check_onnx(model.SerializeToString(), "a.onnx")


def test_a_second_domain_cannot_cover_the_first() -> None:
    node = helper.make_node("Neg", ["x"], ["y"], domain="evil.ops").SerializeToString()
    model = model_of([])
    model.graph.node.append(onnx.NodeProto.FromString(node))
    data = model.SerializeToString()
    twice = node + b"\x3a\x00"
    graph = b"\x0a" + bytes([len(twice)]) + twice
    with pytest.raises(BundleError, match="unknown domain"):
        check_onnx(data + b"\x3a" + bytes([len(graph)]) + graph)


def test_operators_that_read_foreign_code_are_refused() -> None:
    model = model_of([helper.make_node("EPContext", [], ["y"], domain="com.microsoft")])
    with pytest.raises(BundleError, match="operator EPContext"):
        check_onnx(model.SerializeToString())


def test_duplicate_metadata_is_refused() -> None:
    model = stream_model()
    for value in "ab":
        model.metadata_props.add(key="k", value=value)
    with pytest.raises(BundleError, match="metadata key 'k' twice"):
        check_onnx(model.SerializeToString())


def test_duplicate_opsets_are_refused() -> None:
    model = stream_model()
    model.opset_import.append(helper.make_opsetid("", 7))
    with pytest.raises(BundleError, match="imports the operators of '' twice"):
        check_onnx(model.SerializeToString())


def nested(levels: int) -> bytes:
    """Graphs inside attributes of nodes of graphs: three messages a level."""
    node = b""
    for _ in range(levels):
        for tag in (b"\x0a", b"\x32", b"\x2a"):
            node = tag + varint(len(node)) + node
    graph = b"\x0a" + varint(len(node)) + node
    return b"\x3a" + varint(len(graph)) + graph


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no graph"),
        (b"\x08", "cut short"),
        (b"\x08" + b"\xff" * 11, "endless number"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "cut short"),
        (b"\x3a\x05\x0a", "cut short"),
        (b"\x0d\x00", "cut short"),
        (b"\x00\x00", "impossible field number"),
        (b"\x80\x80\x80\x80\x80\x01\x00", "impossible field number"),
        (b"\x3b\x3c", "unknown wire type"),
        (b"\x38\x00", "wrong type"),
        (b"\x3a\x04\x0a\x02\x3a\xff", "cut short"),
        (b"\x3a\x06\x0a\x04\x3a\x02\xff\xff", "not UTF-8"),
        (b"\x20\x00\x00\x00ORTM", "ONNX Runtime's own format"),
        (nested(MAX_DEPTH), "nested deeper"),
        (b"\x3a\x00" + b"\x08\x01" * MAX_FIELDS, "fields"),
    ],
)
def test_hostile_bytes_are_refused(data: bytes, reason: str) -> None:
    start = time.perf_counter()
    with pytest.raises(BundleError, match=r"^a\.onnx: ") as caught:
        check_onnx(data, "a.onnx")
    assert reason in str(caught.value)
    assert time.perf_counter() - start < 20


def test_some_nesting_is_allowed() -> None:
    assert read_facts(nested(10)).ir_version == 0


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    with contextlib.suppress(BundleError):
        check_onnx(data)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(STREAM) - 1), st.integers(0, 255)), min_size=1, max_size=6
    ),
    st.integers(0, len(STREAM)),
)
def test_mutations_raise_nothing_else(changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(STREAM)
    for at, value in changes:
        data[at] = value
    for version in (bytes(data), bytes(data[:length])):
        try:
            check_onnx(version)
        except BundleError:
            continue
        # Whatever passes must hold nothing that the real parser sees and the walk does not.
        try:
            model = onnx.load_from_string(version)
        except Exception:
            continue
        assert {d for d, _ in domains_by_onnx(model)} <= {"", "ai.onnx", "com.microsoft"}
        tensors = [*model.graph.initializer]
        assert all(t.data_location == 0 and not t.external_data for t in tensors)
