"""One adapter per public corpus; each turns its own folder layout into `Recording` rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from align.corpora.bmd_hs import read_bmd_hs
from align.corpora.circor import read_circor
from align.corpora.coswara import read_coswara
from align.corpora.coughvid import read_coughvid
from align.corpora.covid19_cough import read_covid19_cough
from align.corpora.icbhi import read_icbhi
from align.corpora.kauh import read_kauh
from align.corpora.mmlung import read_mmlung
from align.corpora.nosemic import read_nosemic
from align.corpora.physionet2016 import read_physionet2016
from align.corpora.recording import CorpusError, Interval, Label, Recording
from align.corpora.respiratory_tr import read_respiratory_tr
from align.corpora.sprsound import read_sprsound
from align.corpora.uk_covid import read_uk_covid
from align.corpora.zchsound import read_zchsound

READERS: dict[str, Callable[[Path], Iterator[Recording]]] = {
    "circor": read_circor,
    "physionet2016": read_physionet2016,
    "sprsound": read_sprsound,
    "icbhi": read_icbhi,
    "kauh": read_kauh,
    "bmd-hs": read_bmd_hs,
    "zchsound": read_zchsound,
    "coswara": read_coswara,
    "coughvid": read_coughvid,
    "uk-covid": read_uk_covid,
    "respiratory-tr": read_respiratory_tr,
    "mmlung": read_mmlung,
    "nosemic": read_nosemic,
    "covid19-cough": read_covid19_cough,
}
FOLDERS: dict[str, tuple[str, ...]] = {
    "circor": ("circor-digiscope",),
    "physionet2016": ("physionet-2016",),
    "sprsound": ("sprsound-2022",),
    "icbhi": ("icbhi-2017", "icbhi-2017-fragment"),
    "kauh": ("kauh", "kauh-demo"),
    "bmd-hs": ("bmd-hs", "BMD-HS-Dataset"),
    "zchsound": ("zchsound", "ZCHSound"),
    "coswara": ("coswara", "Coswara-Data"),
    "coughvid": ("coughvid", "coughvid_20211012", "public_dataset"),
    "uk-covid": ("uk-covid", "covidUK"),
    "respiratory-tr": ("respiratory-tr", "RespiratoryDatabase@TR"),
    "mmlung": ("mmlung",),
    "nosemic": ("nosemic",),
    "covid19-cough": ("covid19-cough",),
}
"""Where a corpus may lie under the data root; the first folder that holds anything is read."""
LOCK, PARTIAL = "fetched.json", "*.part*"
"""What a fetch that failed leaves: its record, and files that have not wholly arrived."""


def read_corpus(name: str, data_root: Path) -> list[Recording]:
    """Rows of corpus `name` found under `data_root`, in file-name order.

    Raises:
        CorpusError: unknown corpus, or its folder is missing, empty or not laid out as published.
    """
    folder = corpus_folder(name, data_root)
    rows = list(READERS[name](folder))
    if not rows:
        raise CorpusError(f"corpus {name!r} at {folder} has no recordings")
    return rows


def corpus_folder(name: str, data_root: Path) -> Path:
    """The folder of corpus `name` under `data_root`.

    Raises:
        CorpusError: unknown corpus, or none of its `FOLDERS` holds more than a failed fetch left.
    """
    if name not in READERS:
        raise CorpusError(f"unknown corpus {name!r}; known: {', '.join(sorted(READERS))}")
    candidates = [data_root / folder for folder in FOLDERS[name]]
    for candidate in candidates:
        if candidate.is_dir() and not _brought_nothing(candidate):
            return candidate
    raise CorpusError(f"corpus {name!r} is not at {' or '.join(map(str, candidates))}")


def _brought_nothing(folder: Path) -> bool:
    """Whether a fetch began to fill this folder and brought nothing yet."""
    left = {path.name for path in folder.iterdir() if not path.match(PARTIAL)}
    return left == {LOCK}


__all__ = [
    "FOLDERS",
    "LOCK",
    "READERS",
    "CorpusError",
    "Interval",
    "Label",
    "Recording",
    "corpus_folder",
    "read_corpus",
]
