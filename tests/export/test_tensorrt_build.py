"""The builder's logic, on a fake TensorRT that records what it is asked and runs on the CPU."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_cuda import FakeDriver
from fake_tensorrt import fake_tensorrt

from acula_edge.bundle import load_bundle
from acula_edge.engine import open_engine
from acula_edge.errors import DeviceError, MissingDependencyError, UsageError
from acula_edge.providers import cuda
from acula_edge.providers.engine_cache import CACHE_VARIABLE, read_sealed, timing_path
from export.cli import tensorrt_command
from export.tensorrt import TensorRTError, build_engine
from export.tensorrt.build import check_variant

STUB = Path(__file__).parents[2] / "stubs" / "tensorrt" / "__init__.pyi"
# What TensorRT 11 removed, so that one code path builds with 10 and 11.
REMOVED = ("FP16", "INT8", "BF16", "Calibrator", "set_layer_precision", "max_workspace_size")


@pytest.fixture(scope="module")
def shipped():
    return load_bundle("heart-lung")


@pytest.fixture
def calls(monkeypatch):
    """A machine with a GPU and TensorRT; the calls that shape an engine."""
    calls = []
    install(monkeypatch, calls)
    return calls


def install(monkeypatch, calls, **options):
    gpu = options.pop("gpu", "Fake H1")
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt(calls, **options))
    monkeypatch.setattr(cuda, "_load", lambda: FakeDriver(gpu))


def values(calls, what):
    return [value for name, value in calls if name == what]


def test_the_network_is_strongly_typed_and_fp32_means_fp32(calls, shipped, tmp_path):
    build_engine(shipped, "fp32", "fp32", tmp_path)
    assert values(calls, "network") == [1 << 1]
    assert values(calls, "clear") == [sys.modules["tensorrt"].BuilderFlag.TF32]


@pytest.mark.parametrize(("precision", "provider"), [("fp32", ""), ("fp16", "-fp16")])
def test_a_built_engine_is_what_the_runtime_runs(
    calls, shipped, tmp_path, monkeypatch, precision, provider
):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    built = build_engine(shipped, "fp32", precision)
    assert built.new
    assert built.path.is_relative_to(tmp_path)
    engine = open_engine(shipped, "fp32", f"tensorrt{provider}")
    pcm = np.frombuffer(shipped.golden_input(), "<f4").reshape(-1, shipped.manifest.hop)
    scores = [engine.run(hop).scores.copy() for hop in pcm]
    wanted = shipped.manifest.golden.scores["fp32"]
    tolerance = 1e-4 if precision == "fp32" else shipped.manifest.parity.golden_tolerance
    np.testing.assert_allclose(scores, wanted, atol=tolerance)


def test_an_engine_is_built_once_per_target(calls, shipped, tmp_path, monkeypatch):
    first = build_engine(shipped, "fp32", "fp32", tmp_path)
    again = build_engine(shipped, "fp32", "fp32", tmp_path)
    assert (first.new, again.new) == (True, False)
    assert first.path == again.path
    assert len(values(calls, "build")) == 1
    install(monkeypatch, calls, version="10.16.1")
    older = build_engine(shipped, "fp32", "fp32", tmp_path)
    install(monkeypatch, calls, gpu="Fake A10")
    smaller = build_engine(shipped, "fp32", "fp32", tmp_path)
    assert older.new and smaller.new
    assert len({first.path, older.path, smaller.path}) == 3


@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], lambda d: d[:-1] + b"\0"])
def test_a_damaged_engine_is_built_again(calls, shipped, tmp_path, damage, capsys):
    path = build_engine(shipped, "fp32", "fp32", tmp_path).path
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    tensorrt_command("heart-lung", "fp32", None, tmp_path, False)
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "the cached engine was damaged and has been built again"
    assert path.read_bytes() == whole


def test_timings_help_the_next_build_and_a_damaged_file_does_not_matter(calls, shipped, tmp_path):
    built = build_engine(shipped, "fp32", "fp32", tmp_path)
    build_engine(shipped, "fp32", "fp16", tmp_path)
    assert values(calls, "timings") == [b"", b"+"]
    kept = timing_path(tmp_path, built.target)
    assert read_sealed(kept) == b"++"
    kept.write_bytes(b"rubbish")
    built.path.unlink()
    build_engine(shipped, "fp32", "fp32", tmp_path)
    assert values(calls, "timings")[-1] == b""


def test_what_the_parser_refuses_is_named(monkeypatch, shipped, tmp_path):
    refused = [("node_log", "Log", "no kernel"), *[("x", "Y", "z")] * 4]
    install(monkeypatch, [], refused=refused)
    with pytest.raises(TensorRTError, match=r"node_log \(Log\): no kernel.* and 2 more"):
        build_engine(shipped, "fp32", "fp32", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_build_that_fails_leaves_nothing(monkeypatch, shipped, tmp_path):
    install(monkeypatch, [], builds=False)
    with pytest.raises(TensorRTError, match="cannot build"):
        build_engine(shipped, "fp32", "fp32", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_for_cpus_is_refused_before_anything_is_built(calls, shipped, tmp_path):
    with pytest.raises(TensorRTError, match=r"\(QuantizeLinear\): uint8 codes.* and \d+ more"):
        build_engine(shipped, "cpu-int8", "int8", tmp_path)
    assert calls == []


def test_a_cache_that_cannot_be_written_is_one_sentence(calls, shipped, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(TensorRTError, match="cannot be"):
        build_engine(shipped, "fp32", "fp32", blocked / "cache")


def test_without_tensorrt_the_extra_is_named(monkeypatch, shipped, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingDependencyError, match=r"acula-edge\[tensorrt\]"):
        build_engine(shipped, "fp32", "fp32", tmp_path)


def test_without_a_gpu_one_sentence(monkeypatch, shipped, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt([]))
    monkeypatch.setattr(cuda, "_LIBRARY", "libno-such-driver.so.1")
    with pytest.raises(DeviceError, match="needs an NVIDIA GPU"):
        build_engine(shipped, "fp32", "fp32", tmp_path)


def test_the_check_needs_neither_tensorrt_nor_a_gpu(monkeypatch, capsys, shipped):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    for precision in (None, "fp16"):
        tensorrt_command("heart-lung", "fp32", precision, None, True)
    assert capsys.readouterr().out.count("OK: nothing in fp32") == 2
    count = len(check_variant(shipped, "cpu-int8", "int8"))
    with pytest.raises(UsageError, match=f"would refuse {count} nodes of cpu-int8 int8"):
        tensorrt_command("heart-lung", "cpu-int8", None, None, True)
    refused = capsys.readouterr().out.splitlines()
    assert len(refused) == count
    assert all(line.startswith("refused: ") for line in refused)
    assert "(QuantizeLinear): uint8 codes" in refused[0]


def test_the_fake_and_the_stub_have_the_same_shape():
    """Otherwise a test could pass on a TensorRT that does not exist."""
    module = fake_tensorrt([])
    for item in ast.parse(STUB.read_text()).body:
        if isinstance(item, ast.ClassDef):
            _compare(item, getattr(module, item.name))


def _compare(stub, fake):
    for item in stub.body:
        if isinstance(item, ast.ClassDef):
            _compare(item, getattr(fake, item.name))
        elif isinstance(item, ast.AnnAssign):
            assert hasattr(fake, item.target.id), (stub.name, item.target.id)
        elif isinstance(item, ast.FunctionDef):
            member = getattr(fake, item.name)
            code = getattr(member, "fget", member)
            if hasattr(code, "__code__"):
                names = code.__code__.co_varnames[: code.__code__.co_argcount]
                assert list(names) == [a.arg for a in item.args.args], (stub.name, item.name)


def test_nothing_that_tensorrt_11_removed_is_used():
    root = Path(__file__).parents[2]
    users = (root / "export/tensorrt/builder.py", root / "acula_edge/providers/tensorrt_engine.py")
    for path in (STUB, *users):
        attributes = {
            getattr(node, "attr", getattr(node, "id", None))
            for node in ast.walk(ast.parse(path.read_text()))
        }
        assert attributes.isdisjoint(REMOVED), path
