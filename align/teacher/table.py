"""Report embeddings computed once: training reads this table and never loads the teacher."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from align.teacher.config import TeacherConfig, TeacherError, check_texts
from align.teacher.model import Embedded, Teacher
from align.teacher.shards import Shards, locked

log = logging.getLogger(__name__)

SHARD_ROWS = 1024  # texts that a kill can cost


class Embeds(Protocol):
    """What a teacher must offer."""

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Vectors of texts, in their order."""


@dataclass(frozen=True)
class TextTable:
    """One row per distinct report, and which row each input text has.

    Equal reports share a row, so `index[a] == index[b]` says that a and b are no negatives.
    """

    vectors: Tensor  # (unique, d), in the precision of the cache
    index: Tensor  # (n,) int64, rows of `vectors`
    truncated_rows: tuple[int, ...]  # rows whose report was longer than the teacher's window

    @property
    def truncated(self) -> int:
        """How many distinct reports were longer than the teacher's window."""
        return len(self.truncated_rows)

    def gather(self, i: Tensor) -> Tensor:
        """Float32 vectors (B, d) of the input texts at positions i (B,), on the table's device."""
        return self.vectors[self.index[i]].float()


def embed_texts(
    texts: Sequence[str],
    config: TeacherConfig,
    cache: Path,
    *,
    teacher_factory: Callable[[TeacherConfig], Embeds] = Teacher,
    progress: Callable[[int, int], None] | None = None,
) -> TextTable:
    """Embeddings of reports; only those that the folder `cache` lacks cost anything.

    The teacher is loaded if a text is missing, and every 1024 texts are kept, so that a killed run
    goes on where it was. A second process on one cache waits for the first and then reads its work.
    `progress` hears after every shard how many of the missing texts are done, and of how many.

    Raises:
        TeacherError: no texts, an empty one, a teacher that fails, or a cache that cannot be
            written.
    """
    check_texts(texts)
    rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    keys = [config.key(text) for text in rows]
    with locked(cache):
        shards = Shards(cache)
        missing = [(key, text) for key, text in zip(keys, rows, strict=True) if key not in shards]
        if missing:
            _fill(shards, missing, teacher_factory(config), config, progress)
        vectors = shards.read(keys)
        truncated = tuple(row for row, key in enumerate(keys) if shards.truncated(key))
    if truncated:
        first = list(rows)[truncated[0]]
        log.warning(
            "%d of %d reports are longer than the teacher reads and were cut; the first: %.60r",
            len(truncated), len(rows), first,
        )  # fmt: skip
    return TextTable(vectors, torch.tensor([rows[text] for text in texts]), truncated)


def _fill(
    shards: Shards,
    missing: list[tuple[str, str]],
    teacher: Embeds,
    config: TeacherConfig,
    progress: Callable[[int, int], None] | None,
) -> None:
    for start in range(0, len(missing), SHARD_ROWS):
        keys, texts = zip(*missing[start : start + SHARD_ROWS], strict=True)
        embedded = teacher.embed(texts)
        vectors = embedded.vectors.to(getattr(torch, config.store))
        if not vectors.isfinite().all():
            raise TeacherError(
                f'embeddings of {config.model} do not fit {config.store}: set store = "float32"'
            )
        shards.add(keys, vectors, set(embedded.truncated))
        if progress:
            progress(start + len(keys), len(missing))
