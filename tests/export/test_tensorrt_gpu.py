"""With an NVIDIA GPU and TensorRT, engines are built, run and agree; skips elsewhere."""

import numpy as np
import pytest

from acula_edge.bundle import load_bundle
from acula_edge.engine import open_engine
from acula_edge.errors import AculaError
from acula_edge.providers.engine_cache import CACHE_VARIABLE, Target
from export.tensorrt import build_engine

pytestmark = pytest.mark.gpu


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    try:
        Target.here()
    except AculaError as error:
        pytest.skip(str(error))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    return load_bundle("heart-lung")


def scores(bundle, provider):
    engine = open_engine(bundle, "fp32", provider)
    pcm = np.frombuffer(bundle.golden_input(), "<f4").reshape(-1, bundle.manifest.hop)
    first = np.array([engine.run(hop).scores.copy() for hop in pcm])
    engine.reset()
    again = np.array([engine.run(hop).scores.copy() for hop in pcm])
    np.testing.assert_array_equal(first, again)
    return first


@pytest.mark.parametrize(
    ("precision", "provider", "tolerance"),
    [("fp32", "tensorrt", 1e-2), ("fp16", "tensorrt-fp16", 0.1)],
)
def test_an_engine_gives_the_golden_scores(shipped, precision, provider, tolerance):
    assert build_engine(shipped, "fp32", precision).new
    assert not build_engine(shipped, "fp32", precision).new
    golden = np.array(shipped.manifest.golden.scores["fp32"])
    np.testing.assert_allclose(scores(shipped, provider), golden, atol=tolerance)


def test_a_variant_quantised_for_tensorrt_gives_its_golden_scores(shipped):
    if "trt-int8" not in shipped.manifest.variants:
        pytest.skip("the shipped bundle has no variant 'trt-int8'")
    build_engine(shipped, "trt-int8", "int8")
    engine = open_engine(shipped, "trt-int8", "tensorrt")
    pcm = np.frombuffer(shipped.golden_input(), "<f4").reshape(-1, shipped.manifest.hop)
    ours = np.array([engine.run(hop).scores.copy() for hop in pcm])
    golden = np.array(shipped.manifest.golden.scores["trt-int8"])
    tolerance = shipped.manifest.parity.golden_tolerance
    np.testing.assert_allclose(ours, golden, atol=tolerance)


def test_the_execution_provider_gives_the_golden_scores(shipped):
    ort = pytest.importorskip("onnxruntime")
    if "TensorrtExecutionProvider" not in ort.get_available_providers():
        pytest.skip(f"onnxruntime {ort.__version__} is without TensorrtExecutionProvider")
    golden = np.array(shipped.manifest.golden.scores["fp32"])
    np.testing.assert_allclose(scores(shipped, "tensorrt-ep"), golden, atol=1e-2)
