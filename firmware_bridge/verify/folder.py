"""Reads an exported firmware folder without trusting it: hashes first, then `acula.json`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from acula_edge.bundle.rules import is_plain
from acula_edge.bundle.strict import decode, parse_object
from acula_edge.bundle.sums import SUMS, sha256
from acula_edge.errors import BundleError

DESCRIPTION: Final = "acula.json"
KIND, SCHEMA, API = "acula-edge-firmware", 1, 1
_LARGEST_FILE: Final = 64 * 2**20
_LINE: Final = re.compile(r"([0-9a-f]{64}) [ *](\S+)")


@dataclass(frozen=True)
class Model:
    """The model a folder was made from; `sha256` is its ONNX file's."""

    name: str
    version: str
    variant: str
    sha256: str


@dataclass(frozen=True)
class About:
    """What acula.json says, as far as verification needs it: rate in Hz, hop in samples."""

    schema: int
    kind: str
    api: int
    model: Model
    rate: int
    hop: int
    findings: tuple[str, ...]
    steps: int
    phases: tuple[str, ...]
    embedding: int
    arena_bytes: int


@dataclass(frozen=True)
class Firmware:
    """A folder whose files match their hashes: `about` is acula.json, `files` their bytes."""

    root: Path
    about: About
    files: Mapping[str, bytes] = field(repr=False)

    def write_code(
        self, folder: Path, parts: tuple[str, ...] = ("include", "src")
    ) -> tuple[str, ...]:
        """Write the parts' headers and sources below `folder`; the sources' names in it."""
        sources = []
        for name, data in self.files.items():
            if name.split("/")[0] in parts and name.endswith((".h", ".c")):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                if name.endswith(".c"):
                    sources.append(name)
        return tuple(sorted(sources))


def read_folder(root: Path) -> Firmware:
    """The folder's verified bytes.

    Raises:
        BundleError: no such folder, a file missing, changed, linked or outside it, or an
            acula.json of another kind, schema or API.
    """
    try:
        files = _verified_files(root)
        if DESCRIPTION not in files:
            raise BundleError(f"{DESCRIPTION} is not listed in {SUMS}")
        about = _about(files[DESCRIPTION])
    except BundleError as error:
        raise BundleError(f"{root}: {error}") from None
    return Firmware(root, about, files)


def _verified_files(root: Path) -> dict[str, bytes]:
    sums = _sums(_read(root, SUMS))
    files = {name: _read(root, name) for name in sums}
    for name, digest in sums.items():
        if sha256(files[name]) != digest:
            raise BundleError(f"{name} does not match its hash in {SUMS}")
    return files


def _sums(data: bytes) -> dict[str, str]:
    sums: dict[str, str] = {}
    for line in data.decode("ascii", errors="replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or not all(is_plain(part) for part in match[2].split("/")):
            raise BundleError(f"{SUMS} has a line that is no hash and file name: {line[:100]!r}")
        if match[2] in sums:
            raise BundleError(f"{SUMS} lists {match[2]} twice")
        sums[match[2]] = match[1]
    return sums


def _read(root: Path, name: str) -> bytes:
    path = root / name
    if any((root / parent).is_symlink() for parent in (name, *map(str, Path(name).parents[:-1]))):
        raise BundleError(f"{name} is a link")
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise BundleError(f"{name} is larger than {_LARGEST_FILE} bytes")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{name} cannot be read: {error.strerror}") from None


def _about(data: bytes) -> About:
    try:
        value = parse_object(data)
        for key, known in (("kind", KIND), ("schema", SCHEMA), ("api", API)):
            if value.get(key) != known:
                raise BundleError(f"has {key} {value.get(key)!r}; this toolkit reads {known!r}")
        about: About = decode(About, _known(About, value))
    except BundleError as error:
        raise BundleError(f"{DESCRIPTION}: {error}") from None
    if min(about.rate, about.hop, about.steps, about.embedding, len(about.findings)) <= 0:
        raise BundleError(f"{DESCRIPTION}: sizes must be above 0")
    return about


def _known(kind: type, value: Mapping[str, Any]) -> dict[str, Any]:
    """Only the keys that `kind` has: a folder may say more."""
    return {each.name: value[each.name] for each in fields(kind) if each.name in value}
