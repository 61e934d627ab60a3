"""Reads the files of a bundle, a folder or a `.zip`, without trusting either."""

from __future__ import annotations

import itertools
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from acula_edge.errors import BundleError


@dataclass(frozen=True)
class Limits:
    """What is read at most: bytes of one file and of all, and the number of files."""

    file: int = 64 * 2**20
    whole: int = 256 * 2**20
    members: int = 64

    def check(self, sizes: dict[str, int], origin: Path) -> None:
        """BundleError naming `origin` if files of these sizes (bytes) are too many or too large."""
        if len(sizes) > self.members:
            raise BundleError(f"{origin}: holds more than {self.members} files")
        for name, size in sizes.items():
            if size > self.file:
                raise BundleError(f"{origin}: {name} is larger than {self.file} bytes")
        if sum(sizes.values()) > self.whole:
            raise BundleError(f"{origin}: is larger than {self.whole} bytes")


class Store(Protocol):
    """The flat files of a bundle."""

    def names(self) -> tuple[str, ...]:
        """Names of all files, sorted."""
        ...

    def read(self, name: str) -> bytes:
        """The bytes of that file; BundleError if it is missing, too large or damaged."""
        ...


def open_store(path: str | Path, limits: Limits | None = None) -> Store:
    """The store at `path`: a folder, or a zip archive. BundleError if it is neither or unsafe."""
    where = Path(path)
    limits = limits or Limits()
    if where.is_dir():
        return FolderStore(where, limits)
    if where.is_file():
        # zipfile takes longer to import than a whole folder bundle takes to load.
        from acula_edge.bundle.zip_store import ZipStore  # noqa: PLC0415

        return ZipStore(where, limits)
    raise BundleError(f"{where}: no such bundle folder or zip file")


class FolderStore:
    """A folder that holds plain files only: links, folders and devices are refused."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._sizes: dict[str, int] = {}
        try:
            with os.scandir(folder) as entries:
                for entry in itertools.islice(entries, limits.members + 1):
                    self._sizes[entry.name] = _plain_size(entry, folder)
        except OSError as error:
            raise BundleError(f"{folder}: cannot be listed ({error.strerror})") from None
        limits.check(self._sizes, folder)

    def names(self) -> tuple[str, ...]:
        """Names of all files, sorted."""
        return tuple(sorted(self._sizes))

    def read(self, name: str) -> bytes:
        """The bytes of that file; BundleError if it is missing or changed since it was listed."""
        if name not in self._sizes:
            raise BundleError(f"{self._folder}: {name} is missing")
        size = self._sizes[name]
        try:
            data = _read_regular(self._folder / name, size + 1)
        except OSError as error:
            reason = error.strerror or "unreadable"
            raise BundleError(f"{self._folder}: {name} cannot be read ({reason})") from None
        if len(data) != size:
            raise BundleError(f"{self._folder}: {name} changed while it was read")
        return data


def _plain_size(entry: os.DirEntry[str], folder: Path) -> int:
    status = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        raise BundleError(f"{folder}: {entry.name} is a link, which a bundle must not hold")
    if not stat.S_ISREG(status.st_mode):
        raise BundleError(f"{folder}: {entry.name} is not a plain file")
    return status.st_size


def _read_regular(path: Path, limit: int) -> bytes:
    # A link or a pipe may have taken the file's place since it was listed.
    safe = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | safe)
    with os.fdopen(handle, "rb") as file:
        return file.read(limit) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
