"""The terms a corpus is described in: who owns it, under which terms, where its files lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Access = Literal["open", "registration", "on request"]


@dataclass(frozen=True)
class Download:
    """One file over HTTP, kept as `name` in the corpus's folder or unpacked into it.

    `checksum` is a SHA-256, or `md5:...`; None where none is published: the hash of the first
    download is then recorded and binding. An archive loses its first `strip` path parts, then
    `layout` maps what is left, as pairs of (path prefix in the archive, folder); a member that
    matches no prefix stays out. Archives inside it that come in parts (`x.tar.gz.aa`, ...) are
    joined and unpacked into `split_tars`.
    """

    url: str
    name: str
    checksum: str | None = None
    size: int | None = None
    unpack: bool = False
    strip: int = 0
    layout: tuple[tuple[str, str], ...] = (("", ""),)
    split_tars: str | None = None


@dataclass(frozen=True)
class Listing:
    """Files whose names and checksums their publisher lists: a `SHA256SUMS` file or a Zenodo DOI.

    `url` is the address of the list, or `doi:...`; `keep` are glob patterns of the names wanted.
    """

    url: str
    keep: tuple[str, ...]
    folder: str = ""
    unpack: bool = False


@dataclass(frozen=True)
class CorpusInfo:
    """A corpus as its publishers describe it.

    `split_rule` names the function or constant of `align.splits` that its adapter follows; `how`
    says what `fetch` cannot do by itself; `patient_ids` is false where none are published and each
    recording stands for its own patient.
    """

    key: str
    title: str
    organ: str
    licence: str
    home: str
    size: int | None
    recordings: int | None
    patients: int | None
    access: Access
    citation: str
    split_rule: str
    downloads: tuple[Download | Listing, ...] = ()
    how: str = ""
    patient_ids: bool = True
