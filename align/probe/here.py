"""Corpora as they lie on this machine: some are absent, some without all of their audio."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from align.corpora import CorpusError, Recording, corpus_folder, read_corpus


@dataclass(frozen=True)
class Corpus:
    """A corpus here: all that it lists, the `rows` with audio, and why it is `unusable` if so."""

    name: str
    listed: tuple[Recording, ...] = ()
    rows: tuple[Recording, ...] = ()
    unusable: str = ""

    @property
    def missing(self) -> int:
        """Recordings whose audio file is not here."""
        return len(self.listed) - len(self.rows)


def find_corpus(name: str, data: Path) -> Corpus:
    """Corpus `name` under `data`; what is wrong with it is said in `unusable`, not raised."""
    try:
        corpus_folder(name, data)
    except CorpusError:
        fetch = f"not here: `acula-edge data fetch {name} --data {data}`"
        return Corpus(name, unusable=fetch)
    try:
        listed = tuple(read_corpus(name, data))
    except CorpusError as error:
        return Corpus(name, unusable=f"damaged: {error}")
    rows = tuple(row for row in listed if row.path.is_file())
    none = f"without audio: none of its {len(listed)} files is here"
    return Corpus(name, listed, rows, "" if rows else none)
