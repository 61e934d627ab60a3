"""What exactly was measured: bundle, graph, preprocessing, runtime and commit."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from acula_edge import __version__
from acula_edge.bundle.strict import plain
from acula_edge.engine import check_provider
from benchmarks.record import Identity

if TYPE_CHECKING:
    from acula_edge.bundle import Bundle

HANDLING = (
    "hops",
    "resample",
    "quality",
    "heartbeat",
    "heart",
    "phases",
    "activity",
    "exam",
)
"""Modules of the runtime whose constants decide what happens to sound outside the graph."""
ROOT = Path(__file__).resolve().parents[1]


def identity_of(
    bundle: Bundle, variant: str, provider: str, *, source_rate: int, block_seconds: float
) -> Identity:
    """The identity of one variant on one provider.

    Raises:
        BundleError: no such variant.
        UsageError: no such provider.
    """
    check_provider(provider)
    manifest = bundle.manifest
    spec = manifest.variant(variant)
    return Identity(
        bundle=f"{manifest.name} {manifest.version}",
        bundle_sha256=bundle.digest,
        variant=variant,
        precision="float16" if provider == "tensorrt-fp16" else spec.precision,
        provider=provider,
        graph_sha256=spec.stream.sha256,
        graph_bytes=len(bundle.files[spec.stream.file]),
        preprocessing=preprocessing(bundle, source_rate, block_seconds),
        rate=manifest.rate,
        hop=manifest.hop,
        source_rate=source_rate,
        block_seconds=block_seconds,
        runtime=_runtime(provider),
        toolkit=__version__,
        commit=commit(ROOT),
    )


def preprocessing(bundle: Bundle, source_rate: int, block_seconds: float) -> str:
    """SHA-256 over the settings of all that handles sound and scores outside the graph.

    These are the source's rate and blocks; the manifest's rate, hop, calibration, pooling,
    smoothing, thresholds and phases; and the constants and default settings of the runtime's
    modules. A changed algorithm with the same settings shows in the toolkit's version and commit.
    """
    manifest = bundle.manifest
    facts = {
        "source": [source_rate, block_seconds],
        "model": [manifest.rate, manifest.hop, manifest.minimum_evidence],
        "findings": plain(manifest.findings),
        "smoothing": plain(manifest.smoothing),
        "phases": [list(manifest.phases), manifest.phase_delay],
        "constants": {name: _constants(import_module(f"acula_edge.{name}")) for name in HANDLING},
    }
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def commit(root: Path) -> str:
    """Commit of the repository at `root`, with "+" where files were changed; "" without one."""
    try:
        top = _git(root, "rev-parse", "--show-toplevel")
        if Path(top).resolve() != root.resolve():  # installed somewhere inside another repository
            return ""
        head = _git(root, "rev-parse", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()


def _runtime(provider: str) -> str:
    names = (
        ("tensorrt",)
        if provider in ("tensorrt", "tensorrt-fp16")
        else ("onnxruntime", "onnxruntime-gpu")
    )
    for name in names:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return names[0]


def _constants(module: ModuleType) -> dict[str, Any]:
    """Module constants that JSON can hold, and the defaults of its settings classes."""
    found: dict[str, Any] = {}
    for name, value in vars(module).items():
        if name.lstrip("_").isupper() and _holds(value):
            found[name] = plain(value)
        elif name.endswith("Settings") and dataclasses.is_dataclass(value):
            found[name] = {f.name: plain(f.default) for f in dataclasses.fields(value)}
    return found


def _holds(value: object) -> bool:
    try:
        json.dumps(plain(value))
    except TypeError:
        return False
    return True
