"""One adapter per public corpus; each turns its own folder layout into `Recording` rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from align.corpora.circor import read_circor
from align.corpora.physionet2016 import read_physionet2016
from align.corpora.recording import CorpusError, Interval, Recording
from align.corpora.sprsound import read_sprsound

READERS: dict[str, Callable[[Path], Iterator[Recording]]] = {
    "circor": read_circor,
    "physionet2016": read_physionet2016,
    "sprsound": read_sprsound,
}
FOLDERS = {
    "circor": "circor-digiscope",
    "physionet2016": "physionet-2016",
    "sprsound": "sprsound-2022",
}


def read_corpus(name: str, data_root: Path) -> list[Recording]:
    """Rows of corpus `name` found under `data_root`, in file-name order.

    Raises:
        CorpusError: unknown corpus, or its folder is missing or empty.
    """
    if name not in READERS:
        raise CorpusError(f"unknown corpus {name!r}; known: {', '.join(sorted(READERS))}")
    folder = data_root / FOLDERS[name]
    if not folder.is_dir():
        raise CorpusError(f"corpus {name!r} is not at {folder}")
    rows = list(READERS[name](folder))
    if not rows:
        raise CorpusError(f"corpus {name!r} at {folder} has no recordings")
    return rows


__all__ = ["FOLDERS", "READERS", "CorpusError", "Interval", "Recording", "read_corpus"]
