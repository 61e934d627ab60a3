"""Vectors by key in safetensors shards with a JSONL index; survives kills and damaged files."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from align.teacher.config import TeacherError

log = logging.getLogger(__name__)

INDEX = "index.jsonl"
PREFIX = "text-"  # of our shards: other files in the folder are not ours to touch
TEMPORARY = ".part"


@dataclass(frozen=True)
class Entry:
    """Where one vector stands."""

    shard: str
    row: int
    truncated: bool


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time in a cache folder; the operating system frees the lock of a killed one.

    Raises:
        TeacherError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("waiting for another process that fills %s", folder)
            lock.acquire()
    except OSError as error:
        raise TeacherError(f"cannot write the text cache {folder}: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


class Shards:
    """The cache, opened inside `locked`. What an interruption left is discarded, and logged.

    A shard is written under a temporary name and renamed, its index lines are appended after: so a
    line without its vector, or half a line, can only come from a damaged disk or a kill, and its
    text counts as missing.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._entries: dict[str, Entry] = {}
        damaged = self._read_index()
        damaged |= self._drop_damaged_shards()
        if damaged:
            self._rewrite_index()
        self._remove_strays()

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def truncated(self, key: str) -> bool:
        """Whether the text was longer than the teacher's window."""
        return self._entries[key].truncated

    def add(self, keys: Sequence[str], vectors: Tensor, truncated: set[int]) -> None:
        """Keep vectors (n, d), row i under keys[i].

        Raises:
            TeacherError: the disk is full or cannot be written.
        """
        numbers = [int(path.stem.removeprefix(PREFIX)) for path in self._shard_paths()]
        shard = f"{PREFIX}{max(numbers, default=-1) + 1:06d}.safetensors"
        entries = {key: Entry(shard, row, row in truncated) for row, key in enumerate(keys)}
        try:
            _write_atomically(self._folder / shard, save({"vectors": vectors.contiguous()}))
            with (self._folder / INDEX).open("a") as index:
                index.writelines(_line(key, entry) for key, entry in entries.items())
                index.flush()
                os.fsync(index.fileno())
        except (OSError, SafetensorError) as error:
            raise TeacherError(f"cannot write the text cache {self._folder}: {error}") from None
        self._entries.update(entries)

    def read(self, keys: Sequence[str]) -> Tensor:
        """The vectors (n, d) of keys, all of which are here; shards are memory-mapped.

        Raises:
            TeacherError: they are not all of one size.
        """
        wanted: dict[str, list[int]] = defaultdict(list)
        for position, key in enumerate(keys):
            wanted[self._entries[key].shard].append(position)
        table = torch.empty(0)
        for shard, positions in wanted.items():
            with safe_open(self._folder / shard, framework="pt") as content:
                vectors = content.get_tensor("vectors")
            if not len(table):
                table = vectors.new_empty(len(keys), vectors.shape[1])
            if vectors.shape[1] != table.shape[1]:
                raise TeacherError(
                    f"{self._folder} holds embeddings of {table.shape[1]} and of "
                    f"{vectors.shape[1]} numbers for one teacher: delete the folder"
                )
            table[positions] = vectors[[self._entries[keys[place]].row for place in positions]]
        return table

    def _shard_paths(self) -> list[Path]:
        return list(self._folder.glob(f"{PREFIX}[0-9]*.safetensors"))

    def _read_index(self) -> bool:
        path = self._folder / INDEX
        lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
        tail = lines.pop()
        bad = int(bool(tail))  # a line is whole only with its line end
        for line in lines:
            try:
                row = json.loads(line)
                entry = Entry(str(row["shard"]), int(row["row"]), bool(row["truncated"]))
                self._entries[str(row["key"])] = entry
            except (ValueError, KeyError, TypeError):
                bad += 1
        if bad:
            log.warning("%s: %d unreadable lines; their texts are embedded again", path, bad)
        return bad > 0

    def _drop_damaged_shards(self) -> bool:
        shards = {entry.shard for entry in self._entries.values()}
        rows = {shard: _rows(self._folder / shard) for shard in shards}
        lost = [key for key, entry in self._entries.items() if entry.row >= rows[entry.shard]]
        for shard, count in sorted(Counter(self._entries[key].shard for key in lost).items()):
            log.warning(
                "%s: damaged or missing; %d texts are embedded again", self._folder / shard, count
            )
        for key in lost:
            del self._entries[key]
        return bool(lost)

    def _rewrite_index(self) -> None:
        lines = "".join(_line(key, entry) for key, entry in self._entries.items())
        _write_atomically(self._folder / INDEX, lines.encode())

    def _remove_strays(self) -> None:
        """Files that an interruption left: no index line names them."""
        known = {entry.shard for entry in self._entries.values()}
        strays = [path for path in self._shard_paths() if path.name not in known]
        strays += self._folder.glob(f"{PREFIX}*{TEMPORARY}")
        strays += self._folder.glob(f"{INDEX}{TEMPORARY}")
        for path in strays:
            log.warning("%s: left by an interruption; discarded", path)
            path.unlink(missing_ok=True)


def _line(key: str, entry: Entry) -> str:
    content = {"key": key, "shard": entry.shard, "row": entry.row, "truncated": entry.truncated}
    return json.dumps(content) + "\n"


def _rows(shard: Path) -> int:
    """Rows of a shard, 0 if it is missing or damaged; safetensors checks its size on opening."""
    try:
        with safe_open(shard, framework="pt") as content:
            return int(content.get_slice("vectors").get_shape()[0])
    except (OSError, SafetensorError):
        return 0


def _write_atomically(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + TEMPORARY)
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
