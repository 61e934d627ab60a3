"""Reads a bundle from a zip archive: bounded, flat, and nothing is ever extracted to disk."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from acula_edge.bundle.store import Limits
from acula_edge.errors import BundleError

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1 | 0x40
_END, _END_BYTES, _ZIP64_LOCATOR, _LOCATOR_BYTES = b"PK\x05\x06", 22, b"PK\x06\x07", 20
_MAX_COMMENT = 0xFFFF


class ZipStore:
    """The files of a zip, at its root or in a single top-level folder."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        data = _read_archive(path, limits)
        _check_directory(data, path, limits)
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
            raise BundleError(f"{path}: is not a readable zip ({error})") from None
        self._members = _flat(self._archive.infolist(), path)
        limits.check({name: info.file_size for name, info in self._members.items()}, path)

    def names(self) -> tuple[str, ...]:
        """Names of all files, without the top-level folder, sorted."""
        return tuple(sorted(self._members))

    def read(self, name: str) -> bytes:
        """The bytes of that file; BundleError if it is missing, damaged or not of its size."""
        if name not in self._members:
            raise BundleError(f"{self._path}: {name} is missing")
        info = self._members[name]
        try:
            # zipfile never inflates beyond the declared size, which was found within the limits.
            with self._archive.open(info) as file:
                data = file.read(info.file_size + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
            raise BundleError(f"{self._path}: {name} is damaged ({error})") from None
        if len(data) != info.file_size:
            raise BundleError(f"{self._path}: {name} is not of the size that the zip declares")
        return data


def _read_archive(path: Path, limits: Limits) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limits.whole + 1)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from None
    if len(data) > limits.whole:
        raise BundleError(f"{path}: is larger than {limits.whole} bytes")
    return data


def _check_directory(data: bytes, path: Path, limits: Limits) -> None:
    """Refuse a huge member list before zipfile builds it in memory; no bundle needs zip64."""
    tail = data[-(_END_BYTES + _MAX_COMMENT) :]
    at = tail.find(_END)
    if at < 0 or len(tail) < at + _END_BYTES:
        raise BundleError(f"{path}: is not a bundle folder or zip file")
    if tail.count(_END) > 1 or tail[:at][-_LOCATOR_BYTES:].startswith(_ZIP64_LOCATOR):
        raise BundleError(f"{path}: is an ambiguous or zip64 archive")
    members, size = struct.unpack_from("<HI", tail, at + 10)
    # One more for the top-level folder's own entry.
    if members > limits.members + 1 or size > (limits.members + 1) * 1024:
        raise BundleError(f"{path}: holds more than {limits.members} files")


def _flat(members: list[zipfile.ZipInfo], path: Path) -> dict[str, zipfile.ZipInfo]:
    for info in members:
        _check_member(info, path)
    files = [info for info in members if not info.is_dir()]
    folders = {PurePosixPath(info.orig_filename).parts[:-1] for info in files}
    folders |= {PurePosixPath(info.orig_filename).parts for info in members if info.is_dir()}
    if len(folders) > 1 or any(len(folder) > 1 for folder in folders):
        raise BundleError(f"{path}: holds more than one folder")
    found: dict[str, zipfile.ZipInfo] = {}
    for info in files:
        name = PurePosixPath(info.orig_filename).name
        if name in found:
            raise BundleError(f"{path}: holds {name} twice")
        found[name] = info
    return found


def _check_member(info: zipfile.ZipInfo, path: Path) -> None:
    # `filename` has been tidied by zipfile; the raw name is what an attacker wrote.
    name = info.orig_filename
    parts = name.removesuffix("/").split("/")
    if any(mark in name for mark in "\\:\0") or any(part in ("", ".", "..") for part in parts):
        raise BundleError(f"{path}: the name {name!r} in the zip leads out of it")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise BundleError(f"{path}: {name} is a link, which a bundle must not hold")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BundleError(f"{path}: {name} is not a plain file")
    if info.flag_bits & _ENCRYPTED:
        raise BundleError(f"{path}: {name} is encrypted")
    if info.compress_type not in _METHODS:
        raise BundleError(f"{path}: {name} is compressed in a way that is not allowed")
