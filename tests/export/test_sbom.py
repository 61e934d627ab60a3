"""The bill of materials is CycloneDX, deterministic, and says what is in the bundle."""

import dataclasses
import hashlib
import json

import pytest
from bundle_factory import manifest

from export.sbom import sbom

SPAN = {"value": 0.9, "low": 0.8, "high": 0.95}
FILES = {"stream.onnx": b"one", "window.onnx": b"two", "golden.f32": b"three"}


def measured():
    return dataclasses.replace(manifest(), metrics={"fp32": {"murmur": {"auroc": SPAN}}})


def document(wanted=None, files=None):
    return json.loads(sbom(wanted or measured(), FILES if files is None else files))


def test_it_follows_the_official_schema():
    pytest.importorskip("cyclonedx", reason="needs cyclonedx-python-lib[json-validation]")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(sbom(measured(), FILES).decode()) is None
    dated = dataclasses.replace(measured(), created="2026-01-01")
    assert validator.validate_str(sbom(dated, FILES).decode()) is None
    broken = document() | {"specVersion": 1.6}
    assert validator.validate_str(json.dumps(broken)) is not None


def test_the_model_lists_its_files_with_their_hashes():
    model = document()["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    hashes = {item["name"]: item["hashes"][0]["content"] for item in model["components"]}
    assert hashes == {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}


def test_the_model_card_refers_to_the_data_and_its_licence():
    found = document()
    card = found["metadata"]["component"]["modelCard"]
    (data,) = (item for item in found["components"] if item["type"] == "data")
    assert card["modelParameters"]["datasets"] == [{"ref": data["bom-ref"]}]
    assert data["licenses"] == [{"license": {"name": "ODC-By"}}]
    (metric,) = card["quantitativeAnalysis"]["performanceMetrics"]
    assert metric["value"] == "0.9"
    assert metric["confidenceInterval"] == {"lowerBound": "0.8", "upperBound": "0.95"}
    assert card["considerations"]["technicalLimitations"]


def test_every_reference_leads_somewhere_and_is_unique():
    found = document()
    model = found["metadata"]["component"]
    named = [item["bom-ref"] for item in [model, *model["components"], *found["components"]]]
    assert len(set(named)) == len(named)
    for entry in found["dependencies"]:
        assert {entry["ref"], *entry["dependsOn"]} <= set(named)
    scopes = {item["name"]: item["scope"] for item in found["components"] if "scope" in item}
    assert scopes["onnxruntime"] == "required"
    assert scopes["torch"] == "excluded"


def test_the_same_bundle_gives_the_same_bytes_and_another_another_serial():
    assert sbom(measured(), FILES) == sbom(measured(), dict(reversed(FILES.items())))
    other = document(files=FILES | {"stream.onnx": b"else"})
    assert other["serialNumber"] != document()["serialNumber"]
    newer = dataclasses.replace(measured(), version="1.0.1")
    assert document(newer)["serialNumber"] != document()["serialNumber"]
