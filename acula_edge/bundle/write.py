"""Writes a model bundle: all of it or nothing, and only one that would load again."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from acula_edge.bundle.load import CARD, assemble, load_bundle
from acula_edge.bundle.manifest import FILE_NAME, GraphFile, Manifest, Variant, dump_manifest
from acula_edge.bundle.rules import is_plain
from acula_edge.bundle.store import Limits
from acula_edge.bundle.sums import SIGNATURE, SUMS, sha256, write_sums
from acula_edge.errors import BundleError

_EARLIEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_UNIX, _PLAIN_FILE = 3, 0o100644 << 16


def write_bundle(
    folder: Path,
    manifest: Manifest,
    graphs: Mapping[str, bytes],
    card: str,
    extra: Mapping[str, bytes],
) -> None:
    """Write the bundle to `folder`, replacing a bundle that is there.

    `graphs` maps file names to ONNX bytes that already carry their contract; their hashes are
    filled into the manifest. `extra` holds further files, such as the golden input. BundleError if
    the bundle would not load again, or if `folder` holds something else than a bundle.
    """
    folder = Path(folder)
    files = _files(manifest, graphs, card, extra)
    Limits().check({name: len(data) for name, data in files.items()}, folder)
    assemble(files, folder).verify()
    if folder.exists() and not _replaceable(folder):
        raise BundleError(f"{folder}: exists and is not a bundle")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        for name, data in files.items():
            (new / name).write_bytes(data)
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise


def zip_bundle(folder: Path, target: Path) -> None:
    """Pack the bundle in `folder` into `target`; the same bundle always gives the same bytes.

    BundleError if the folder is not a bundle that loads.
    """
    import zipfile  # noqa: PLC0415 - slow to import, and only this function needs it

    bundle = load_bundle(folder)
    top, target = bundle.manifest.name, Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:
            for name in sorted(bundle.files):
                info = zipfile.ZipInfo(f"{top}/{name}", _EARLIEST_ZIP_TIME)
                info.create_system, info.external_attr = _UNIX, _PLAIN_FILE
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, bundle.files[name], compresslevel=9)
        Path(scratch).chmod(0o644)
        Path(scratch).replace(target)
    finally:
        Path(scratch).unlink(missing_ok=True)


def _files(
    manifest: Manifest, graphs: Mapping[str, bytes], card: str, extra: Mapping[str, bytes]
) -> dict[str, bytes]:
    reserved = {FILE_NAME, CARD, SUMS, SIGNATURE}
    for name in [*graphs, *extra]:
        if not is_plain(name) or name in reserved or (name in graphs and name in extra):
            raise BundleError(f"{name}: cannot be the name of another file of a bundle")
    variants = {name: _hashed(variant, graphs) for name, variant in manifest.variants.items()}
    used = {graph.file for v in variants.values() for graph in (v.stream, v.window) if graph}
    if unused := sorted(graphs.keys() - used):
        raise BundleError(f"{unused[0]}: belongs to no variant of the manifest")
    filled = dataclasses.replace(manifest, variants=variants)
    files = {FILE_NAME: dump_manifest(filled), CARD: card.encode(), **graphs, **extra}
    return files | {SUMS: write_sums(files)}


def _hashed(variant: Variant, graphs: Mapping[str, bytes]) -> Variant:
    def fill(graph: GraphFile) -> GraphFile:
        if graph.file not in graphs:
            raise BundleError(f"{graph.file}: is in the manifest but was not given")
        return dataclasses.replace(graph, sha256=sha256(graphs[graph.file]))

    window = None if variant.window is None else fill(variant.window)
    return dataclasses.replace(variant, stream=fill(variant.stream), window=window)


def _replaceable(folder: Path) -> bool:
    return folder.is_dir() and ((folder / FILE_NAME).is_file() or not any(folder.iterdir()))
