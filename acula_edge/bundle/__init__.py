"""Model bundles: a manifest, ONNX graphs, a model card and hashes, loaded without trust.

Light to import (standard library only); `acula_edge.bundle.golden` alone needs numpy and
onnxruntime.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from acula_edge.bundle.contract import CONTRACT_KEY, Role, contract_text, graph_contract
from acula_edge.bundle.load import Bundle, load_bundle, shipped_bundles
from acula_edge.bundle.manifest import (
    FindingSpec,
    Golden,
    GraphFile,
    Manifest,
    Parity,
    Passage,
    Pooling,
    Prompt,
    Smoothing,
    TextSpace,
    TrainingData,
    Variant,
    dump_manifest,
    parse_manifest,
)

if TYPE_CHECKING:
    from acula_edge.bundle.write import write_bundle as write_bundle
    from acula_edge.bundle.write import zip_bundle as zip_bundle

__all__ = [
    "CONTRACT_KEY",
    "Bundle",
    "FindingSpec",
    "Golden",
    "GraphFile",
    "Manifest",
    "Parity",
    "Passage",
    "Pooling",
    "Prompt",
    "Role",
    "Smoothing",
    "TextSpace",
    "TrainingData",
    "Variant",
    "contract_text",
    "dump_manifest",
    "graph_contract",
    "load_bundle",
    "parse_manifest",
    "shipped_bundles",
    "write_bundle",
    "zip_bundle",
]
# A device only reads bundles: what writes them loads on first use.
_LAZY = ("write_bundle", "zip_bundle")


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module("acula_edge.bundle.write"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
