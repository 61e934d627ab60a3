from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import typer
from bundle_factory import (
    forge_manifest,
    forge_stream,
    make_bundle,
    manifest,
)
from onnx import numpy_helper
from typer.testing import CliRunner

import acula_edge
from acula_edge.bundle import Golden, Parity, load_bundle
from acula_edge.errors import BundleError


def _app() -> typer.Typer:
    # By file, so that these tests do not depend on the other commands, which the package imports.
    path = Path(acula_edge.__file__).parent / "cli" / "model.py"
    spec = importlib.util.spec_from_file_location("model_cli", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app: typer.Typer = module.app
    return app


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("pristine") / "tiny")


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "tiny"))


def run(*arguments: str | Path) -> Any:
    return CliRunner(env={"COLUMNS": "200"}).invoke(_app(), [str(item) for item in arguments])


def fails(result: Any, *parts: str) -> None:
    """`acula_edge.cli.main` turns this error into its sentence and exit code."""
    assert isinstance(result.exception, BundleError)
    assert result.exception.exit_code == 4
    for part in parts:
        assert part in str(result.exception)


def test_info_shows_what_matters(folder: Path) -> None:
    result = run("info", folder)
    assert result.exit_code == 0
    wanted = [
        "tiny 1.0.0",
        "an audible wheeze",
        "≥ 0.7",
        "< 0.3",
        "0.6/0.4",
        "CPUExecutionProvider",
    ]
    wanted += ["CirCor", "ODC-By", "unknown", "murmur.auroc", "0.950 [0.900, 0.990]", " MB"]
    for text in [*wanted, "Research use only.", load_bundle(folder).digest[:16]]:
        assert text in result.output


def test_info_takes_no_markup_from_a_bundle(folder: Path) -> None:
    forge_manifest(folder, dataclasses.replace(manifest(), notice="[red]x[/nonsense]"))
    result = run("info", folder)
    assert "[red]x[/nonsense]" in result.output


def test_info_as_json(folder: Path) -> None:
    facts = json.loads(run("info", folder, "--json").output)
    assert facts["manifest"] == json.loads((folder / "manifest.json").read_text())
    assert facts["digest"] == load_bundle(folder).digest
    assert facts["files"]["golden.f32"] == 96


def test_verify_prints_each_check(folder: Path) -> None:
    result = run("verify", folder)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        "OK: 6 files match SHA256SUMS",
        "skipped: signature",
        "OK: fp32 stream graph is safe and keeps its contract",
        "OK: fp32 window graph is safe and keeps its contract",
        "OK: fp32 stream against golden scores",
        "OK: fp32 window against stream",
    ]


def test_verify_refuses_a_tampered_bundle(folder: Path) -> None:
    (folder / "stream.onnx").write_bytes(b"x")
    fails(run("verify", folder), "stream.onnx does not match its hash")


def test_verify_asks_for_the_signature(folder: Path) -> None:
    key = "RWTRrcZ8l4g5zvHAYxOso6+O9BlbVFpcoIesoPI6t3KH1Td91MZpN6i0"
    fails(run("verify", folder, "--key", key), "SHA256SUMS.minisig is missing")


def test_verify_notices_other_scores(folder: Path) -> None:
    golden = manifest().golden
    assert golden is not None
    rows = [list(row) for row in golden.scores["fp32"]]
    rows[2][1] += 0.01
    wrong = Golden(golden.input, {"fp32": tuple(tuple(row) for row in rows)})
    forge_manifest(folder, dataclasses.replace(manifest(), golden=wrong))
    result = run("verify", folder)
    fails(result, "fp32 stream against golden scores: differs by 0.01, allowed 1e-05")
    assert "OK: fp32 stream graph is safe" in result.output


def test_verify_notices_a_window_graph_that_differs(folder: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name == "half":
                tensor.CopyFrom(numpy_helper.from_array(np.float32(0.4), "half"))

    forge_stream(folder, edit)
    loose = dataclasses.replace(manifest(), parity=Parity(1e-5, 100.0, 1e-3))
    forge_manifest(folder, loose)
    fails(run("verify", folder), "fp32 window against stream: differs by")


def test_verify_notices_nan(folder: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name == "weights":
                nan = np.full((1, 2), np.nan, np.float32)
                tensor.CopyFrom(numpy_helper.from_array(nan, "weights"))

    forge_stream(folder, edit)
    fails(run("verify", folder), "fp32 stream against golden scores: differs by nan")


def test_verify_notices_a_graph_that_does_not_run(folder: Path) -> None:
    forge_stream(folder, lambda model: setattr(model.graph.node[0], "op_type", "NoSuchOp"))
    fails(run("verify", folder), "fp32 stream does not load")


def test_verify_skips_what_this_host_cannot_run(folder: Path) -> None:
    variant = dataclasses.replace(
        manifest().variants["fp32"], providers=("TensorrtExecutionProvider",)
    )
    forge_manifest(folder, dataclasses.replace(manifest(), variants={"fp32": variant}))
    assert "skipped: fp32 (it needs TensorrtExecutionProvider)" in run("verify", folder).output


def test_verify_without_golden_vectors(tmp_path: Path) -> None:
    make_bundle(tmp_path / "tiny", dataclasses.replace(manifest(), golden=None))
    result = run("verify", tmp_path / "tiny")
    assert result.exit_code == 0
    assert "skipped: golden vectors (the bundle has none)" in result.output


def test_list_shows_the_shipped_bundles(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acula_edge.bundle.load._SHIPPED", folder.parent)
    assert run("list").output == "tiny\n"


def test_unknown_bundle_is_a_sentence() -> None:
    fails(run("info", "no-such-model"), "no-such-model: no such file and no shipped bundle")
