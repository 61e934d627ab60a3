"""`acula-edge firmware export`: a bundle's MCU variant as one folder, all of it or nothing."""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acula_edge.bundle import Bundle
from acula_edge.bundle.sums import SUMS, write_sums
from acula_edge.errors import MissingDependencyError, UsageError
from firmware_bridge.emit.arena import arena_bytes
from firmware_bridge.emit.check import check_front_end, check_limits
from firmware_bridge.emit.golden import VECTORS, Golden, golden_vectors
from firmware_bridge.emit.tables import model_header, model_source
from firmware_bridge.model import MCU_INT8, McuModel, read_model

PACKAGE = Path(__file__).resolve().parent.parent
SOURCES, LINK = PACKAGE / "c", PACKAGE / "link" / "c"
PUBLIC = "acula.h"
DESCRIPTION, KIND, SCHEMA, API = "acula.json", "acula-edge-firmware", 1, 1


@dataclass(frozen=True)
class Exported:
    """Where the folder is, its files, and why optional ones were left out."""

    folder: Path
    files: tuple[str, ...]
    left_out: tuple[str, ...]


def export_firmware(
    bundle: Bundle,
    out: Path,
    target: str = "generic",
    variant: str = MCU_INT8,
    *,
    vectors: int = VECTORS,
) -> Exported:
    """Write C sources, tables, `vectors` golden hops, target files, card and hashes to `out`.

    An earlier export in `out` is replaced.

    Raises:
        BundleError: no such variant, layers that firmware does not know, or a front end that is not
            the one the manifest describes.
        UsageError: no such target, fewer than one vector, or `out` holds something else.
        MissingDependencyError: the `onnx` package is not installed.
    """
    if vectors < 1:
        raise UsageError("export at least one golden vector")
    check_target(target)
    model = read_model(bundle, variant)
    check_limits(model)
    check_front_end(model, bundle)
    golden = golden_vectors(model, vectors)
    files, left_out = folder_files(model, bundle, target, golden)
    _write(out, files)
    return Exported(out, tuple(sorted(files)), left_out)


def folder_files(
    model: McuModel, bundle: Bundle, target: str, golden: Golden
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Every file of the folder by its path, and what was left out for want of a library."""
    from firmware_bridge.emit.targets import placed, target_files  # noqa: PLC0415

    files = {**c_files(model), **golden.files, "MODEL_CARD.md": bundle.card().encode()}
    files |= {f"link/{path.name}": path.read_bytes() for path in sorted(LINK.glob("*.[ch]"))}
    for page in ("README.md", "link/README.md"):
        files[page] = (PACKAGE / page).read_bytes()
    left_out = []
    try:
        tflite = importlib.import_module("firmware_bridge.emit.tflite")
        files["model.tflite"] = tflite.tflite_bytes(model, golden.features)
    except MissingDependencyError as error:
        left_out.append(f"model.tflite: {error}")
    files = placed(files, target)
    files |= target_files(model, target)
    files[DESCRIPTION] = _json(description(model, target, golden, files))
    files[SUMS] = write_sums(files)
    return files, tuple(left_out)


def c_files(model: McuModel) -> dict[str, bytes]:
    """The C sources and the model's tables, by path."""
    files = {}
    for path in sorted(SOURCES.glob("*.[ch]")):
        place = "include" if path.name == PUBLIC else "src"
        files[f"{place}/{path.name}"] = path.read_bytes()
    files["include/acula_model.h"] = model_header(model).encode()
    files["src/acula_model.c"] = model_source(model).encode()
    return files


def description(
    model: McuModel, target: str, golden: Golden, files: Mapping[str, bytes]
) -> dict[str, Any]:
    """What acula.json says."""
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "model": {
            "name": model.name,
            "version": model.version,
            "variant": model.variant,
            "sha256": model.sha256,
        },
        "api": API,
        "rate": model.rate,
        "hop": model.hop,
        "findings": list(model.manifest.labels),
        "steps": model.steps,
        "phases": list(model.manifest.phases),
        "embedding": model.embedding,
        "arena_bytes": arena_bytes(model),
        "weights_bytes": sum(b.weight.size for b in model.blocks)
        + sum(h.weight.size for h in model.heads),
        "rounding": "float",
        "target": target,
        "files": sorted(files),
        "golden": golden.described(),
    }


def check_target(target: str) -> None:
    """UsageError if there is no such target."""
    from firmware_bridge.emit.targets import find_target  # noqa: PLC0415

    find_target(target)


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _write(out: Path, files: Mapping[str, bytes]) -> None:
    """Write beside `out`, then swap, so that no half-written folder is left."""
    if out.exists() and not _replaceable(out):
        raise UsageError(f"{out}: exists and is not an exported firmware folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
            new, old = Path(scratch) / "new", Path(scratch) / "old"
            for name, data in files.items():
                path = new / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            if out.exists():
                out.rename(old)
            new.rename(out)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written ({error.strerror})") from None


def _replaceable(out: Path) -> bool:
    """An empty folder, or one that this function wrote."""
    if not out.is_dir() or out.is_symlink():
        return False
    if not any(out.iterdir()):
        return True
    try:
        return bool(json.loads((out / DESCRIPTION).read_bytes()).get("kind") == KIND)
    except (OSError, ValueError, AttributeError):
        return False
