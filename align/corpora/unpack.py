"""Unpacking archives from outside: nothing lands outside the folder, nothing fills the disk."""

from __future__ import annotations

import io
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path, PurePosixPath
from typing import IO

from align.errors import AlignError

MAX_RATIO = 100
"""Unpacked bytes per archive byte. Audio packs by less than 4; a bomb by thousands."""
MIN_BOUND = 100_000_000
"""Bytes that any archive may unpack to, however small it is."""

Layout = Sequence[tuple[str, str]]
# zipfile raises the last two for an encrypted member and an unknown compression
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    NotImplementedError,
)


class ArchiveError(AlignError):
    """An archive is damaged, of no known kind, or not safe to unpack."""


@dataclass(frozen=True)
class _Member:
    """One file of an archive; `source` is open until the next member is asked for."""

    name: str
    size: int
    is_link: bool
    source: IO[bytes]


def unpack(archive: Path, folder: Path, strip: int = 0, layout: Layout = (("", ""),)) -> int:
    """Write the files of a ZIP or TAR archive under `folder`; their number.

    Each name loses its first `strip` parts; the first pair (prefix, target) of `layout` whose
    prefix it starts with replaces that prefix. Files that fit no pair are left out.

    Raises:
        ArchiveError: damaged, no archive, an absolute path, `..`, a link, or more bytes than
            `MAX_RATIO` times the archive's own.
        OSError: the disk is full or not writable.
    """
    bound = max(MIN_BOUND, MAX_RATIO * archive.stat().st_size)
    with archive.open("rb") as source:
        return _unpack_stream(archive, source, folder, strip, layout, bound)


def unpack_split_tars(folder: Path, target: Path) -> int:
    """Join archives that come in parts (`x.tar.gz.aa`, `x.tar.gz.ab`, ...), unpack and remove them.

    Returns:
        The number of files written under `target`.

    Raises:
        ArchiveError: as `unpack`.
    """
    written = 0
    for first in sorted(folder.rglob("*.tar.gz.aa")):
        parts = sorted(first.parent.glob(f"{escape(first.stem)}.??"))
        bound = max(MIN_BOUND, MAX_RATIO * sum(part.stat().st_size for part in parts))
        with io.BufferedReader(_Joined(parts)) as source:
            written += _unpack_stream(first, source, target, 0, (("", ""),), bound)
        for part in parts:
            part.unlink()
    return written


class _Joined(io.RawIOBase):
    """Files read one after the other as a single stream."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self._rest = list(parts)
        self._open: IO[bytes] | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        while True:
            if self._open is None:
                if not self._rest:
                    return 0
                self._open = self._rest.pop(0).open("rb")
            count: int = self._open.readinto(buffer)  # type: ignore[attr-defined]
            if count:
                return count
            self._open.close()
            self._open = None

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        super().close()


def _unpack_stream(
    archive: Path, source: IO[bytes], folder: Path, strip: int, layout: Layout, bound: int
) -> int:
    written, count = 0, 0
    try:
        for member in _members(archive, source):
            name = place(member.name, strip, layout)
            if name is None:
                continue
            if member.is_link:
                raise ArchiveError(f"{archive} holds a link ({member.name}): not unpacked")
            written += member.size
            if written > bound:
                raise ArchiveError(f"{archive} unpacks to more than {bound} bytes: not unpacked")
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as sink:
                shutil.copyfileobj(member.source, sink, 1 << 20)
            count += 1
    except _DAMAGE as error:
        raise ArchiveError(f"{archive} is damaged: {error}") from None
    return count


def place(name: str, strip: int = 0, layout: Layout = (("", ""),)) -> PurePosixPath | None:
    """Where a member of an archive goes, relative to the folder; None: it is left out.

    Raises:
        ArchiveError: the name is absolute, has a drive, or climbs with `..`.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
        raise ArchiveError(f"an unsafe name in the archive: {name!r}")
    rest = "/".join(path.parts[strip:])
    for prefix, target in layout:
        if rest and rest.startswith(prefix):
            return PurePosixPath(target + rest[len(prefix) :])
    return None


def _members(archive: Path, source: IO[bytes]) -> Iterator[_Member]:
    if source.seekable() and zipfile.is_zipfile(source):
        yield from _zip_members(source)
        return
    if source.seekable():
        source.seek(0)
    try:
        tar = tarfile.open(fileobj=source, mode="r|*")  # noqa: SIM115
    except tarfile.ReadError:
        raise ArchiveError(f"{archive} is neither a ZIP nor a TAR archive") from None
    with tar:
        yield from _tar_members(tar)


def _zip_members(source: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(source) as zipped:
        for info in zipped.infolist():
            if info.is_dir():
                continue
            is_link = stat.S_ISLNK(info.external_attr >> 16)
            with zipped.open(info) as stream:
                yield _Member(info.filename, info.file_size, is_link, stream)


def _tar_members(tar: tarfile.TarFile) -> Iterator[_Member]:
    for info in tar:
        if info.isdir():
            continue
        stream = tar.extractfile(info) if info.isreg() else None
        yield _Member(info.name, info.size, stream is None, stream or io.BytesIO())
