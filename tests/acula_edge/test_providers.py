"""Providers compute the same scores, are refused when they cannot, and never stand in."""

import gc
import json
import sys

import numpy as np
import onnxruntime as ort
import pytest
from bundle_factory import golden_input, golden_scores, make_bundle
from fake_cuda import FakeDriver
from fake_tensorrt import MARK, fake_tensorrt

from acula_edge import Session
from acula_edge.bundle import load_bundle
from acula_edge.cli import main
from acula_edge.engine import open_engine, open_graph
from acula_edge.errors import BundleError, DeviceError, MissingDependencyError, UsageError
from acula_edge.providers import PROVIDERS, cuda, execution_provider
from acula_edge.providers.engine_cache import (
    CACHE_VARIABLE,
    DamagedEngineError,
    Target,
    engine_path,
    read_sealed,
    timing_path,
    write_sealed,
)
from acula_edge.providers.execution_provider import ExecutionProviderEngine, provider_options


@pytest.fixture
def bundle(tmp_path):
    return load_bundle(make_bundle(tmp_path / "tiny"))


@pytest.fixture
def driver(monkeypatch):
    fake = FakeDriver()
    monkeypatch.setattr(cuda, "_load", lambda: fake)
    return fake


@pytest.fixture
def machine(monkeypatch, tmp_path, driver):
    """A machine with a GPU, TensorRT and an empty cache."""
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt([]))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "engines"))
    return tmp_path / "engines"


def put_engine(machine, bundle, precision="fp32", graph=None):
    sha256 = bundle.manifest.variant("fp32").stream.sha256
    path = engine_path(machine, Target.here(), sha256, precision)
    write_sealed(path, MARK + (graph or bundle.graph("fp32")))
    return path


def scores_of(engine, bundle):
    hops = golden_input().reshape(-1, bundle.manifest.hop)
    return np.array([engine.run(hop).scores.copy() for hop in hops])


@pytest.mark.parametrize("provider", ["cuda", "", "CPU"])
def test_an_unknown_provider_is_refused_with_the_choices(bundle, provider):
    with pytest.raises(UsageError, match=", ".join(PROVIDERS)):
        open_engine(bundle, "fp32", provider)
    with pytest.raises(UsageError):
        Session(bundle, variant="fp32", provider=provider)


def test_the_engine_computes_the_golden_scores_with_its_state_on_the_gpu(machine, bundle, driver):
    put_engine(machine, bundle)
    engine = open_engine(bundle, "fp32", "tensorrt")
    np.testing.assert_allclose(scores_of(engine, bundle), golden_scores(), atol=1e-5)
    assert driver.queued == 0, "results were read before the GPU was done"
    engine.reset()
    np.testing.assert_allclose(scores_of(engine, bundle), golden_scores(), atol=1e-5)


def test_all_outputs_agree_with_the_cpu(machine, bundle):
    put_engine(machine, bundle)
    engines = [open_engine(bundle, "fp32", name) for name in ("cpu", "tensorrt")]
    for hop in golden_input().reshape(-1, bundle.manifest.hop):
        for ours, theirs in zip(*(engine.run(hop) for engine in engines), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_an_engine_that_is_dropped_gives_its_memory_back(machine, bundle, driver):
    put_engine(machine, bundle)
    engine = open_engine(bundle, "fp32", "tensorrt")
    assert driver.allocations == 6
    del engine
    gc.collect()
    assert driver.allocations == 0


def test_half_precision_is_another_engine(machine, bundle):
    put_engine(machine, bundle, "fp16")
    open_engine(bundle, "fp32", "tensorrt-fp16")
    with pytest.raises(MissingDependencyError, match="--precision fp32"):
        open_engine(bundle, "fp32", "tensorrt")


def test_an_engine_that_was_not_built_here_names_the_command(machine, bundle):
    with pytest.raises(MissingDependencyError) as caught:
        open_engine(bundle, "fp32", "tensorrt")
    text = str(caught.value)
    assert f"acula-edge export tensorrt {bundle.origin} --variant fp32 --precision fp32" in text
    assert "Fake H1 (compute 9.0) with TensorRT 11.4.0" in text


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d[:-1] + b"\0", lambda d: b""])
def test_a_damaged_engine_is_refused(machine, bundle, change):
    path = put_engine(machine, bundle)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DamagedEngineError, match="build it again with: acula-edge export"):
        open_engine(bundle, "fp32", "tensorrt")


def test_what_tensorrt_does_not_accept_is_refused(machine, bundle):
    path = put_engine(machine, bundle)
    write_sealed(path, b"an engine of some other TensorRT")
    with pytest.raises(DamagedEngineError, match="build it again"):
        open_engine(bundle, "fp32", "tensorrt")


def test_an_engine_of_other_shapes_is_refused(machine, bundle, tmp_path):
    put_engine(machine, bundle, graph=load_bundle("heart-lung").graph("fp32"))
    with pytest.raises(BundleError, match="the manifest says"):
        open_engine(bundle, "fp32", "tensorrt")


def test_a_variant_quantised_for_cpus_is_refused_with_the_others(machine):
    with pytest.raises(BundleError, match=r"not for TensorRT.*cpu-int8, fp32"):
        open_engine(load_bundle("heart-lung"), "cpu-int8", "tensorrt")


def test_without_tensorrt_the_extra_is_named(monkeypatch, bundle):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'acula-edge\[tensorrt\]'"):
        open_engine(bundle, "fp32", "tensorrt")


def test_without_a_driver_one_sentence(monkeypatch, bundle):
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt([]))
    monkeypatch.setattr(cuda, "_LIBRARY", "libno-such-driver.so.1")
    with pytest.raises(DeviceError, match="needs an NVIDIA GPU"):
        open_engine(bundle, "fp32", "tensorrt")


@pytest.mark.parametrize("call", ["cuInit", "cuDeviceGet", "cuMemAlloc_v2", "cuStreamCreate"])
def test_a_driver_that_refuses_is_named(monkeypatch, machine, bundle, call):
    put_engine(machine, bundle)
    monkeypatch.setattr(cuda, "_load", lambda: FakeDriver(fails=(call,)))
    with pytest.raises(DeviceError, match=f"refuses {call}"):
        open_engine(bundle, "fp32", "tensorrt")


def test_targets_do_not_share_engines(tmp_path):
    one = Target("NVIDIA H200", "9.0", "11.4.0")
    others = [Target("NVIDIA A/10", "9.0", "11.4.0"), Target("NVIDIA H200", "9.0", "10.16.1")]
    paths = {engine_path(tmp_path, target, "a" * 64, "fp32") for target in (one, *others)}
    paths |= {engine_path(tmp_path, one, "b" * 64, "fp32"), timing_path(tmp_path, one)}
    assert len(paths) == 5
    assert all(path.parent.parent == tmp_path for path in paths)


def test_a_sealed_file_is_replaced_whole(tmp_path):
    path = tmp_path / "deep" / "file"
    assert read_sealed(path) is None
    for content in (b"first", b"second" * 1000):
        write_sealed(path, content)
        assert read_sealed(path) == content
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_without_the_execution_provider_nothing_stands_in(monkeypatch, bundle):
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(MissingDependencyError, match=r"is without Tensorrt.*CPUExecutionProvider"):
        open_engine(bundle, "fp32", "tensorrt-ep")


class _Opened:
    """Records how a session was opened; runs on the CPU."""

    providers = (execution_provider.PROVIDER, "CPUExecutionProvider")
    arguments = None

    def __init__(self, graph, options, providers):
        type(self).arguments = (options, providers)
        self._session = open_graph(graph)

    def get_providers(self):
        return list(self.providers)

    def run(self, *arguments):
        return self._session.run(*arguments)


@pytest.fixture
def opened(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "engines"))
    monkeypatch.setattr(ort, "get_available_providers", lambda: [execution_provider.PROVIDER])
    monkeypatch.setattr(ort, "InferenceSession", _Opened)
    monkeypatch.setattr(sys.modules[__name__], "open_graph", _real_graph(ort.InferenceSession))
    return _Opened


_SESSION = ort.InferenceSession


def _real_graph(_fake):
    return lambda graph: _SESSION(graph, providers=["CPUExecutionProvider"])


def test_the_execution_provider_caches_engines_and_leaves_nothing_to_the_cpu(
    opened, bundle, tmp_path
):
    engine = open_engine(bundle, "fp32", "tensorrt-ep")
    np.testing.assert_allclose(scores_of(engine, bundle), golden_scores(), atol=1e-5)
    options, ((name, settings),) = opened.arguments
    assert name == execution_provider.PROVIDER
    assert settings == provider_options(tmp_path / "engines", int8=False)
    assert settings["trt_engine_cache_path"] == str(tmp_path / "engines" / "onnxruntime")
    assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"


def test_a_provider_that_onnx_runtime_dropped_is_an_error(opened, bundle, monkeypatch):
    monkeypatch.setattr(opened, "providers", ("CPUExecutionProvider",))
    with pytest.raises(DeviceError, match="does not start"):
        open_engine(bundle, "fp32", "tensorrt-ep")


def test_the_execution_providers_engine_carries_and_forgets_its_state(bundle):
    engine = ExecutionProviderEngine(open_graph(bundle.graph("fp32")), state_size=4)
    first = scores_of(engine, bundle)
    assert not np.allclose(scores_of(engine, bundle), first)
    engine.reset()
    np.testing.assert_array_equal(scores_of(engine, bundle), first)
    assert engine.run(golden_input()[: bundle.manifest.hop]).phases.shape == (0, 1)


@pytest.mark.parametrize("command", ["classify", "listen"])
def test_the_command_line_says_it_once(monkeypatch, capsys, tmp_path, command):
    from acula_edge.demo import demos

    monkeypatch.setitem(sys.modules, "tensorrt", None)
    files = [str(demo.path) for demo in demos()]
    where = files if command == "classify" else ["--input", files[0], "--fast"]
    monkeypatch.setattr(
        sys, "argv", ["acula-edge", command, *where, "--variant", "fp32", "--provider", "tensorrt"]
    )
    with pytest.raises(SystemExit) as caught:
        main()
    said = capsys.readouterr()
    assert caught.value.code == MissingDependencyError.exit_code
    assert said.err.count("acula-edge[tensorrt]") == 1
    assert "Traceback" not in said.err
    assert said.out == ""


def test_classify_runs_on_the_chosen_provider(monkeypatch, capsys, machine):
    from acula_edge.demo import default_demo

    shipped = load_bundle("heart-lung")
    put_engine(machine, shipped)
    results = []
    for provider in ("cpu", "tensorrt"):
        monkeypatch.setattr(
            sys,
            "argv",
            [
                *("acula-edge", "classify", "--json", "--variant", "fp32"),
                *("--provider", provider, str(default_demo("heart").path)),
            ],
        )
        try:
            main()
        except SystemExit as leaving:
            assert not leaving.code
        results.append(json.loads(capsys.readouterr().out))
    assert results[0] == results[1]
