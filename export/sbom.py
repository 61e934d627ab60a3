"""The bundle's bill of materials: CycloneDX 1.6 JSON, with the model and its card's figures.

Written as plain JSON: the Python library of CycloneDX has no model card yet (its issue 912).
The format: https://cyclonedx.org/docs/1.6/json/.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from acula_edge.bundle import Manifest, TrainingData
from acula_edge.bundle.sums import sha256
from export.limits import limits

FILE_NAME = "sbom.cdx.json"
NAMESPACE = "acula-edge/sbom/"
RUNTIME = ("numpy", "onnxruntime", "soxr")
BUILD = ("torch", "onnx", "onnxscript", "torchao", "scikit-learn")
# SPDX identifiers; what is not among them is given by name.
SPDX = {"Apache-2.0": "Apache-2.0", "ODC-By 1.0": "ODC-By-1.0", "CC BY 4.0": "CC-BY-4.0"}
METRICS = {"auroc": "AUROC", "sensitivity": "sensitivity", "specificity": "specificity"}


def sbom(manifest: Manifest, files: Mapping[str, bytes]) -> bytes:
    """The content of `sbom.cdx.json` for a bundle of `manifest` and `files` (graphs and others).

    The same manifest, files and installed libraries always give the same bytes: the serial number
    is a UUIDv5 of the files' hashes, the time is the manifest's.
    """
    hashes = {name: sha256(files[name]) for name in sorted(files)}
    identity = json.dumps([manifest.name, manifest.version, hashes])
    model = f"model:{manifest.name}"
    libraries = list(_libraries())
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, NAMESPACE + identity)}",
        "version": 1,
        "metadata": {
            "timestamp": _timestamp(manifest.created),
            "tools": {"components": [_tool(manifest)]},
            "component": _model(manifest, model, hashes),
        },
        "components": [*(_data(item) for item in manifest.training_data), *libraries],
        "dependencies": [
            {
                "ref": model,
                "dependsOn": sorted(
                    [f"data:{item.corpus}" for item in manifest.training_data]
                    + [item["bom-ref"] for item in libraries if item["scope"] == "required"]
                ),
            }
        ],
    }
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _timestamp(created: str) -> str:
    return created if "T" in created else f"{created}T00:00:00Z"


def _tool(manifest: Manifest) -> dict[str, Any]:
    found = _version("acula-edge")
    return {
        "type": "application",
        "name": "acula-edge",
        **({"version": found} if found else {}),
        "properties": [{"name": "acula:commit", "value": manifest.toolkit_commit}],
    }


def _model(manifest: Manifest, reference: str, hashes: Mapping[str, str]) -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.notice,
        "licenses": [_licence(manifest.licence)],
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": "multi-label sound event detection",
                "architectureFamily": "causal 1-D convolutional neural network",
                "datasets": [{"ref": f"data:{item.corpus}"} for item in manifest.training_data],
                "inputs": [{"format": f"mono PCM, float32, {manifest.rate} Hz"}],
                "outputs": [
                    {"format": f"logit: {spec.name} ({spec.definition})"}
                    for spec in manifest.findings
                ],
            },
            "quantitativeAnalysis": {"performanceMetrics": list(_metrics(manifest))},
            "considerations": {
                "useCases": [manifest.intended_use],
                "technicalLimitations": limits(manifest),
            },
        },
        "components": [
            {
                "type": "file",
                "bom-ref": f"file:{name}",
                "name": name,
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }
            for name, digest in hashes.items()
        ],
    }


def _metrics(manifest: Manifest) -> Iterator[dict[str, Any]]:
    for variant in manifest.variants:
        for spec in manifest.findings:
            entry = manifest.metrics.get(variant, {}).get(spec.name, {})
            for key, name in METRICS.items():
                if found := entry.get(key):
                    yield {
                        "type": name,
                        "value": str(found["value"]),
                        "slice": f"{spec.name}, {variant}, test patients",
                        "confidenceInterval": {
                            "lowerBound": str(found["low"]),
                            "upperBound": str(found["high"]),
                        },
                    }


def _data(item: TrainingData) -> dict[str, Any]:
    patients = "not reported" if item.patients is None else str(item.patients)
    return {
        "type": "data",
        "bom-ref": f"data:{item.corpus}",
        "name": item.corpus,
        "licenses": [_licence(item.licence)],
        "externalReferences": [{"type": "website", "url": item.home}],
        "data": [
            {
                "type": "dataset",
                "name": item.corpus,
                "description": f"trained on {item.recordings} recordings; patients: {patients};"
                f" split {item.split}",
            }
        ],
    }


def _libraries() -> Iterator[dict[str, Any]]:
    """The installed libraries: `required` ones run the bundle, `excluded` ones only made it."""
    for scope, names in (("required", RUNTIME), ("excluded", BUILD)):
        for name in names:
            if found := _version(name):
                yield {
                    "type": "library",
                    "bom-ref": f"library:{name}",
                    "name": name,
                    "version": found,
                    "scope": scope,
                }


def _licence(name: str) -> dict[str, Any]:
    known = SPDX.get(name)
    return {"license": {"id": known} if known else {"name": name}}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
