"""The identity changes with what was measured, and with nothing else."""

import dataclasses
import subprocess

import pytest
from bundle_factory import make_bundle, manifest

from acula_edge.bundle import load_bundle
from acula_edge.errors import BundleError, UsageError
from benchmarks.identity import commit, identity_of, preprocessing


@pytest.fixture
def tiny(tmp_path):
    return load_bundle(make_bundle(tmp_path / "tiny"))


def of(bundle, **changes):
    settings = {"source_rate": 44_100, "block_seconds": 0.1, **changes}
    return identity_of(bundle, "fp32", "cpu", **settings)


def test_it_names_the_artefact(tiny):
    found = of(tiny)
    assert found.bundle == "tiny 1.0.0"
    assert found.bundle_sha256 == tiny.digest
    assert found.graph_sha256 == tiny.manifest.variants["fp32"].stream.sha256
    assert found.graph_bytes == len(tiny.graph("fp32"))
    assert (found.precision, found.rate, found.hop) == ("float32", 4000, 8)
    assert found.runtime.startswith("onnxruntime ")
    assert found == of(tiny)


def test_half_precision_is_the_provider_s(tiny):
    found = identity_of(tiny, "fp32", "tensorrt-fp16", source_rate=4000, block_seconds=0.1)
    assert found.precision == "float16"
    assert found.runtime.startswith("tensorrt")


def test_unknown_variants_and_providers_are_refused(tiny):
    with pytest.raises(BundleError, match="no variant"):
        identity_of(tiny, "int3", "cpu", source_rate=4000, block_seconds=0.1)
    with pytest.raises(UsageError, match="unknown provider"):
        identity_of(tiny, "fp32", "abacus", source_rate=4000, block_seconds=0.1)


def test_preprocessing_follows_the_source(tiny):
    same = preprocessing(tiny, 44_100, 0.1)
    assert same == preprocessing(tiny, 44_100, 0.1)
    assert same != preprocessing(tiny, 16_000, 0.1)
    assert same != preprocessing(tiny, 44_100, 0.02)


def test_preprocessing_follows_the_manifest_but_not_the_graph(tiny, tmp_path):
    wanted = manifest()
    slower = dataclasses.replace(wanted.smoothing, seconds=2.0)
    other = make_bundle(tmp_path / "a", dataclasses.replace(wanted, smoothing=slower))
    renamed = make_bundle(tmp_path / "b", dataclasses.replace(wanted, name="renamed"))
    same = preprocessing(tiny, 44_100, 0.1)
    assert preprocessing(load_bundle(other), 44_100, 0.1) != same
    assert preprocessing(load_bundle(renamed), 44_100, 0.1) == same


@pytest.mark.parametrize(
    ("where", "value"),
    [("hops.BLOCK_SECONDS", 0.03), ("resample._FEED_SECONDS", 0.01), ("phases.LAG", 0.5),
     ("heartbeat.LEAST_PERIODICITY", 0.3), ("heart.CONFIDENT", 0.7)],
)  # fmt: skip
def test_preprocessing_follows_the_runtime_s_constants(tiny, monkeypatch, where, value):
    before = preprocessing(tiny, 44_100, 0.1)
    monkeypatch.setattr(f"acula_edge.{where}", value)
    assert preprocessing(tiny, 44_100, 0.1) != before


def test_preprocessing_follows_the_gate_s_settings(tiny, monkeypatch):
    from acula_edge import quality

    @dataclasses.dataclass(frozen=True)
    class GateSettings(quality.GateSettings):
        memory: float = 4.0

    before = preprocessing(tiny, 44_100, 0.1)
    monkeypatch.setattr(quality, "GateSettings", GateSettings)
    assert preprocessing(tiny, 44_100, 0.1) != before


def test_a_changed_tree_is_marked(tmp_path):
    def git(*arguments):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    assert commit(tmp_path) == ""
    git("init")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-m", "one")
    clean = commit(tmp_path)
    assert len(clean) == 40
    (tmp_path / "file").write_text("two")
    assert commit(tmp_path) == clean + "+"
    (tmp_path / "inner").mkdir()
    assert commit(tmp_path / "inner") == ""
