"""Fetch a public corpus: resumable, checksummed, unpacked into the layout its adapter reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urljoin

import pooch
import requests
from pooch.downloaders import doi_to_repository

from align.corpora import FOLDERS, LOCK
from align.corpora.catalogue import CATALOGUE
from align.corpora.download import FetchError, Progress, ResumingDownloader
from align.corpora.info import CorpusInfo, Download, Listing
from align.corpora.unpack import ArchiveError, place, unpack, unpack_split_tars

WORKERS = 4
API_SECONDS = 30
_SUM_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(.+)")


class AccessError(FetchError):
    """The corpus cannot be downloaded by a program; the text says how people get it."""


@dataclass(frozen=True)
class Fetched:
    """What a call of `fetch` did. `recorded` are hashes taken on trust at a first download."""

    corpus: str
    folder: Path
    new_files: int
    recorded: dict[str, str]
    by_hand: bool = False


@dataclass
class _Lock:
    """`fetched.json` beside the data: hashes taken on trust, and the archives that are unpacked."""

    path: Path
    hashes: dict[str, str] = field(default_factory=dict)
    unpacked: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> _Lock:
        try:
            content = json.loads(path.read_text())
            return cls(path, dict(content["hashes"]), dict(content["unpacked"]))
        except (ValueError, KeyError, TypeError) as error:
            raise FetchError(f"{path} is damaged ({error}): delete it and fetch again") from None

    def write(self) -> None:
        draft = self.path.with_suffix(".tmp")
        content = {"hashes": self.hashes, "unpacked": self.unpacked}
        draft.write_text(json.dumps(content, indent=2) + "\n")
        draft.replace(self.path)


def fetch(name: str, data_root: Path, progress: Progress | None = None) -> Fetched:
    """Bring corpus `name` to the folder under `data_root` where `read_corpus` looks for it.

    Called again, it continues. A folder with files that no `fetch` put there is left as it is.

    Raises:
        AccessError: registration or a request is needed; the text names the page and the folder.
        FetchError: unknown corpus, no network, a wrong checksum, a bad archive or a full disk.
    """
    if name not in CATALOGUE:
        raise FetchError(f"unknown corpus {name!r}; known: {', '.join(sorted(CATALOGUE))}")
    return fetch_corpus(CATALOGUE[name], data_root / FOLDERS[name][0], progress)


def fetch_corpus(info: CorpusInfo, folder: Path, progress: Progress | None = None) -> Fetched:
    """Bring the files of `info` into `folder`; see `fetch`."""
    lock_path = folder / LOCK
    if folder.is_dir() and any(folder.iterdir()) and not lock_path.is_file():
        return Fetched(info.key, folder, 0, {}, by_hand=True)
    if not info.downloads:
        raise AccessError(
            f"{info.title} is given {info.access}: see {info.home}. {info.how}"
            f" Put the files into {folder}, then run 'acula-edge data prepare {info.key}'"
        )
    with _clear_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = _Lock.read(lock_path) if lock_path.is_file() else _Lock(lock_path)
        lock.write()
        known_before = dict(lock.hashes)
        new_files = sum(_bring(part, folder, lock, progress) for part in info.downloads)
    recorded = {name: value for name, value in lock.hashes.items() if name not in known_before}
    return Fetched(info.key, folder, new_files, recorded)


@contextmanager
def _clear_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except ArchiveError as error:
        raise FetchError(str(error)) from None
    except requests.RequestException as error:
        raise FetchError(f"no answer ({error}): check the network and call again") from None
    except OSError as error:
        where, reason = error.filename or folder, error.strerror or error
        raise FetchError(
            f"{where}: {reason}; make room or choose another folder and call again, what has"
            " arrived is kept"
        ) from None


def _bring(part: Download | Listing, folder: Path, lock: _Lock, progress: Progress | None) -> int:
    if isinstance(part, Download):
        return _bring_one(part, folder, lock, progress)
    files = _listed(part, folder)
    if len(files) == 1 or part.unpack:
        return sum(_bring_one(file, folder, lock, progress) for file in files)
    return _bring_many(files, folder, lock, progress)


def _bring_many(
    files: Sequence[Download], folder: Path, lock: _Lock, progress: Progress | None
) -> int:
    """Many small files at once; `progress` counts files."""
    new_files = 0
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs = pool.map(lambda file: _bring_one(file, folder, lock, None), files)
        try:
            for count, is_new in enumerate(jobs, start=1):
                new_files += is_new
                if progress is not None:
                    progress(f"{len(files)} files", count, len(files))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return new_files


def _bring_one(file: Download, folder: Path, lock: _Lock, progress: Progress | None) -> int:
    """Fetch, check and unpack one file; 1 if anything was downloaded, else 0."""
    if file.unpack and file.name in lock.unpacked:
        return 0
    target = folder / file.name
    before = target.stat().st_mtime_ns if target.is_file() else None
    _retrieve(file, target, file.checksum or lock.hashes.get(file.name), progress)
    if file.checksum is None and file.name not in lock.hashes:
        lock.hashes[file.name] = pooch.file_hash(str(target))
        lock.write()
    if file.unpack:
        count = unpack(target, folder, file.strip, file.layout)
        if file.split_tars is not None:
            count += unpack_split_tars(folder, folder / file.split_tars)
        lock.unpacked[file.name] = count
        lock.write()
        target.unlink()
        return 1
    return int(target.stat().st_mtime_ns != before)


def _retrieve(file: Download, target: Path, known: str | None, progress: Progress | None) -> None:
    downloader = ResumingDownloader(target.with_name(f"{target.name}.part"), progress)
    try:
        pooch.retrieve(
            file.url, known, fname=target.name, path=target.parent, downloader=downloader
        )
    except ValueError:
        if file.checksum is None:
            raise FetchError(
                f"{file.url} is not the file it was at the first download: if its publisher"
                f" replaced it, delete {file.name!r} from {target.parent / LOCK} and call again"
            ) from None
        raise FetchError(
            f"{file.url} does not have the checksum its publisher states: call again; if it stays"
            " so, do not use it"
        ) from None


def _listed(listing: Listing, folder: Path) -> list[Download]:
    """The files of `listing` that are wanted, each with its published checksum."""
    is_doi = listing.url.startswith("doi:")
    files = _zenodo_files(listing.url) if is_doi else _summed_files(listing, folder)
    wanted = [
        replace(file, name=_target_name(listing.folder, file.name), unpack=listing.unpack)
        for file in files
        if any(fnmatch(file.name, pattern) for pattern in listing.keep)
    ]
    if not wanted:
        raise FetchError(f"{listing.url} lists none of {', '.join(listing.keep)}")
    return wanted


def _target_name(folder: str, name: str) -> str:
    return str(PurePosixPath(folder) / str(place(name)))


def _summed_files(listing: Listing, folder: Path) -> Iterator[Download]:
    target = folder / listing.folder / listing.url.rsplit("/", 1)[1]
    ResumingDownloader(target.with_name(f"{target.name}.part"))(listing.url, str(target), None)
    lines = target.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        match = _SUM_LINE.fullmatch(line)
        if match is None:
            raise FetchError(f"{listing.url}, line {number} is no checksum and name: {line!r}")
        name = match[2].removeprefix("./")
        yield Download(urljoin(listing.url, quote(name)), name, match[1].lower())


def _zenodo_files(url: str) -> list[Download]:
    doi = url.removeprefix("doi:")
    try:
        repository = doi_to_repository(doi, timeout=API_SECONDS)
        table = pooch.create(path="", base_url=f"{url}/", registry=None)
        repository.populate_registry(table)
        return [
            Download(repository.download_url(name), name, checksum)
            for name, checksum in table.registry.items()
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise FetchError(f"the record {doi} cannot be read ({error}): see its home page") from None


__all__ = ["AccessError", "FetchError", "Fetched", "fetch", "fetch_corpus"]
