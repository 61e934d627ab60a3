"""Tiny but real bundles: graphs whose scores are known in closed form.

With m the mean of a hop: scores = m * w + sum(state); next_state = state / 2 + m. The window graph
computes the same from the zero state with one matrix.
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from acula_edge.bundle import (
    CONTRACT_KEY,
    FindingSpec,
    Golden,
    GraphFile,
    Manifest,
    Parity,
    Pooling,
    Role,
    Smoothing,
    TrainingData,
    Variant,
    contract_text,
    write_bundle,
)
from acula_edge.bundle.sums import write_sums

HOP, WINDOW, STATE, EMBEDDING, OPSET = 8, 32, 4, 3, 18
WEIGHTS = np.array([1.0, -2.0], np.float32)
GOLDEN_HOPS = 3
Edit = Callable[[onnx.ModelProto], object]


def finding(name: str, site: str) -> FindingSpec:
    return FindingSpec(
        name=name,
        site=site,
        definition=f"an audible {name}",
        pooling=Pooling("logmeanexp", 2.0),
        temperature=1.5,
        present=0.7,
        absent=0.3,
        enter=0.6,
        leave=0.4,
    )


def golden_input() -> np.ndarray:
    return np.random.default_rng(5).normal(size=GOLDEN_HOPS * HOP).astype("<f4")


def golden_scores() -> tuple[tuple[float, ...], ...]:
    state, rows = 0.0, []
    for mean in golden_input().astype(np.float64).reshape(-1, HOP).mean(axis=1):
        rows.append(tuple(float(mean * weight + STATE * state) for weight in WEIGHTS))
        state = state / 2 + mean
    return tuple(rows)


def manifest() -> Manifest:
    return Manifest(
        name="tiny",
        version="1.0.0",
        licence="Apache-2.0",
        intended_use="Tests only.",
        notice="Research use only.",
        rate=4000,
        hop=HOP,
        window=WINDOW,
        front_end={"type": "log-mel", "frame": 4, "bands": [1, 2]},
        embedding=EMBEDDING,
        findings=(finding("murmur", "heart"), finding("wheeze", "lung")),
        smoothing=Smoothing(1.0, 0.5, 0.5),
        minimum_evidence=5.0,
        variants={
            "fp32": Variant(
                precision="float32",
                providers=("CPUExecutionProvider",),
                stream=GraphFile("stream.onnx", ""),
                window=GraphFile("window.onnx", ""),
                state_size=STATE,
                opset=OPSET,
            )
        },
        training_data=(
            TrainingData(
                corpus="CirCor",
                licence="ODC-By",
                home="https://example.org",
                patients=None,
                recordings=3,
                split="train",
            ),
        ),
        metrics={"murmur": {"auroc": {"value": 0.95, "low": 0.9, "high": 0.99}}},
        parity=Parity(1e-5, 1e-5, 1e-3),
        golden=Golden("golden.f32", {"fp32": golden_scores()}),
        toolkit_commit="0" * 40,
        created="2026-01-01T00:00:00Z",
    )


def _tensor(name: str, value: object, dtype: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value, dtype), name)


def _value(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def stream_model() -> onnx.ModelProto:
    findings = len(WEIGHTS)
    nodes = [
        helper.make_node("ReduceMean", ["pcm", "one"], ["mean"], keepdims=1),
        helper.make_node("ReduceSum", ["state", "one"], ["held"], keepdims=1),
        helper.make_node("Mul", ["mean", "weights"], ["scaled"]),
        helper.make_node("Add", ["scaled", "held"], ["scores"]),
        helper.make_node("Unsqueeze", ["scores", "two"], ["step_scores"]),
        helper.make_node("Mul", ["mean", "ones"], ["embedding"]),
        helper.make_node("Mul", ["state", "half"], ["faded"]),
        helper.make_node("Add", ["faded", "mean"], ["next_state"]),
    ]
    graph = helper.make_graph(
        nodes,
        "stream",
        [_value("pcm", [1, HOP]), _value("state", [1, STATE])],
        [
            _value("scores", [1, findings]),
            _value("step_scores", [1, findings, 1]),
            _value("embedding", [1, EMBEDDING]),
            _value("next_state", [1, STATE]),
        ],
        [
            _tensor("one", [1], np.int64),
            _tensor("two", [2], np.int64),
            _tensor("weights", WEIGHTS[None]),
            _tensor("ones", np.ones((1, EMBEDDING))),
            _tensor("half", 0.5),
        ],
    )
    return _model(graph)


def window_model() -> onnx.ModelProto:
    hops = WINDOW // HOP
    held = np.zeros((hops, hops))
    for now in range(hops):
        for past in range(now):
            held[past, now] = STATE * 0.5 ** (now - 1 - past)
    nodes = [
        helper.make_node("Reshape", ["pcm", "shape"], ["blocks"]),
        helper.make_node("ReduceMean", ["blocks", "two"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "decay"], ["held"]),
        helper.make_node("Unsqueeze", ["means", "one"], ["means3"]),
        helper.make_node("Unsqueeze", ["held", "one"], ["held3"]),
        helper.make_node("Mul", ["means3", "weights"], ["scaled"]),
        helper.make_node("Add", ["scaled", "held3"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "window",
        [_value("pcm", ["batch", WINDOW])],
        [_value("scores", ["batch", len(WEIGHTS), hops])],
        [
            _tensor("shape", [-1, hops, HOP], np.int64),
            _tensor("one", [1], np.int64),
            _tensor("two", [2], np.int64),
            _tensor("weights", WEIGHTS[None, :, None]),
            _tensor("decay", held),
        ],
    )
    return _model(graph)


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="tests")


def with_contract(model: onnx.ModelProto, wanted: Manifest, role: Role) -> bytes:
    """The model's bytes, carrying the contract that `wanted` asks of its fp32 variant."""
    helper.set_model_props(model, {CONTRACT_KEY: contract_text(wanted, "fp32", role)})
    return model.SerializeToString()


def graphs(wanted: Manifest) -> dict[str, bytes]:
    return {
        "stream.onnx": with_contract(stream_model(), wanted, "stream"),
        "window.onnx": with_contract(window_model(), wanted, "window"),
    }


def make_bundle(folder: Path, wanted: Manifest | None = None) -> Path:
    """Write a valid bundle to `folder`."""
    wanted = wanted or manifest()
    extra = {} if wanted.golden is None else {"golden.f32": golden_input().tobytes()}
    write_bundle(folder, wanted, graphs(wanted), "# Tiny\n", extra)
    return folder


def forge(folder: Path, changes: Mapping[str, bytes]) -> None:
    """Change files behind the writer's back, with hashes that fit: only later checks can object."""
    for name, data in changes.items():
        (folder / name).write_bytes(data)
    names = [path.name for path in folder.iterdir() if not path.name.startswith("SHA256SUMS")]
    sums = write_sums({name: (folder / name).read_bytes() for name in names})
    (folder / "SHA256SUMS").write_bytes(sums)


def forge_manifest(folder: Path, wanted: Manifest) -> None:
    """Put another manifest into the bundle, with graph hashes that fit."""
    from acula_edge.bundle import dump_manifest
    from acula_edge.bundle.sums import sha256

    def fill(graph: GraphFile) -> GraphFile:
        return GraphFile(graph.file, sha256((folder / graph.file).read_bytes()))

    variants = {
        name: dataclasses.replace(v, stream=fill(v.stream), window=v.window and fill(v.window))
        for name, v in wanted.variants.items()
    }
    filled = dataclasses.replace(wanted, variants=variants)
    forge(folder, {"manifest.json": dump_manifest(filled)})


def forge_stream(folder: Path, edit: Edit) -> None:
    """Put an edited stream graph into the bundle, its contract and all hashes in order."""
    wanted, model = manifest(), stream_model()
    edit(model)
    (folder / "stream.onnx").write_bytes(with_contract(model, wanted, "stream"))
    forge_manifest(folder, wanted)


def zip_of(members: list[tuple[str | zipfile.ZipInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
