"""The contract that every graph of a bundle carries in its ONNX `metadata_props`.

The exporter writes `contract_text` under `CONTRACT_KEY` before the file is hashed; the loader
compares it with the manifest, so that a graph cannot be used with another bundle's manifest.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from acula_edge.bundle.manifest import Manifest
from acula_edge.bundle.onnx_check import OnnxFacts
from acula_edge.bundle.strict import parse_object
from acula_edge.errors import BundleError

CONTRACT_KEY = "acula.contract"
Role = Literal["stream", "window"]


def graph_contract(manifest: Manifest, variant: str, role: Role) -> dict[str, Any]:
    """What the graph of that variant and role must say; BundleError if there is no such variant."""
    heads = {"phases": list(manifest.phases)} if manifest.phases else {}
    return {
        "schema": manifest.schema,
        "name": manifest.name,
        "version": manifest.version,
        "variant": variant,
        "role": role,
        "rate": manifest.rate,
        "hop": manifest.hop,
        "window": manifest.window,
        "findings": list(manifest.labels),
        "state_size": manifest.variant(variant).state_size,
        "embedding": manifest.embedding,
        **heads,
    }


def contract_text(manifest: Manifest, variant: str, role: Role) -> str:
    """The contract as canonical JSON: sorted keys, no spaces, ASCII."""
    return json.dumps(
        graph_contract(manifest, variant, role), sort_keys=True, separators=(",", ":")
    )


def check_contract(
    facts: OnnxFacts, manifest: Manifest, variant: str, role: Role, name: str
) -> None:
    """BundleError naming the graph file `name` and the field that differs from the manifest."""
    if CONTRACT_KEY not in facts.metadata:
        raise BundleError(f"{name}: carries no '{CONTRACT_KEY}' metadata")
    try:
        carried = parse_object(facts.metadata[CONTRACT_KEY].encode())
    except BundleError as error:
        raise BundleError(f"{name}: its '{CONTRACT_KEY}' metadata {error}") from None
    wanted = graph_contract(manifest, variant, role)
    for field in sorted(wanted.keys() | carried.keys()):
        ours, theirs = json.dumps(wanted.get(field)), json.dumps(carried.get(field))
        if ours != theirs:
            raise BundleError(
                f"{name}: breaks its contract: '{field}' is {theirs} in the graph"
                f" but {ours} in the manifest"
            )
    opset = facts.opsets.get("", facts.opsets.get("ai.onnx"))
    if opset != manifest.variant(variant).opset:
        raise BundleError(
            f"{name}: breaks its contract: 'opset' is {opset} in the graph"
            f" but {manifest.variant(variant).opset} in the manifest"
        )
