"""`.ort` files load in ONNX Runtime and compute what the ONNX files do."""

import numpy as np
import onnxruntime as ort
import pytest

from acula_edge.bundle import CONTRACT_KEY, load_bundle
from acula_edge.engine import StreamEngine
from acula_edge.errors import UsageError
from export.cli import ort_command
from export.mobile import MobileError, to_ort, write_ort


@pytest.fixture(scope="module")
def shipped():
    return load_bundle("heart-lung")


@pytest.mark.parametrize("variant", ["cpu-int8", "fp32"])
def test_the_converted_graph_gives_the_golden_scores(shipped, variant):
    manifest = shipped.manifest
    data = to_ort(shipped.graph(variant))
    assert data[4:8] == b"ORTM"
    sizes = {
        "hop": manifest.hop,
        "state_size": manifest.variant(variant).state_size,
        "findings": len(manifest.findings),
        "phases": len(manifest.phases),
        "embedding": manifest.embedding,
    }
    ours, theirs = StreamEngine(data, **sizes), StreamEngine(shipped.graph(variant), **sizes)
    golden = manifest.golden.scores[variant]
    for hop, row in zip(
        np.frombuffer(shipped.golden_input(), "<f4").reshape(-1, manifest.hop), golden, strict=True
    ):
        converted = ours.run(hop)
        for a, b in zip(converted, theirs.run(hop), strict=True):
            np.testing.assert_allclose(a, b, atol=manifest.parity.golden_tolerance)
        np.testing.assert_allclose(converted.scores, row, atol=manifest.parity.golden_tolerance)


def test_the_contract_travels_along(shipped):
    session = ort.InferenceSession(to_ort(shipped.graph("fp32")))
    source = ort.InferenceSession(shipped.graph("fp32"))
    ours, theirs = (s.get_modelmeta().custom_metadata_map[CONTRACT_KEY] for s in (session, source))
    assert ours == theirs


def test_every_graph_for_cpus_is_written_whole(shipped, tmp_path):
    written = write_ort(shipped, tmp_path / "mobile")
    names = {"cpu-int8.stream.ort", "cpu-int8.window.ort", "fp32.stream.ort"}
    assert {path.name for path in written} >= names
    assert {path.name for path in (tmp_path / "mobile").iterdir()} == {p.name for p in written}


def test_a_graph_that_is_none_is_one_sentence():
    with pytest.raises(MobileError, match="cannot convert"):
        to_ort(b"not a model")


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        ort_command("heart-lung", tmp_path / "file" / "below")
