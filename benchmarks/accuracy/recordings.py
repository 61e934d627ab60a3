"""Which recordings a bundle is measured on, and the truth of its findings there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from acula_edge.bundle import Manifest
from acula_edge.errors import UsageError
from align.corpora import CorpusError, Recording, corpus_folder, read_corpus
from export.score import FINDING_CORPUS, good_physionet

SPLITS = ("test", "val")
PHYSIONET = "physionet2016"
SEED = 0


@dataclass(frozen=True)
class Part:
    """Recordings of one corpus; `labels` of each row holds the truth of `findings`.

    `first` is False for a further corpus of a finding that has its own (PhysioNet 2016 for
    murmurs). `available` counts the recordings before a sample was drawn.
    """

    corpus: str
    findings: tuple[str, ...]
    rows: tuple[Recording, ...]
    first: bool
    available: int

    def task(self, finding: str) -> str:
        """The finding; on a further corpus, that corpus."""
        return finding if self.first else self.corpus


def has_corpora(data_root: Path) -> bool:
    """Whether accuracy can be measured at all: a finding's own corpus lies under `data_root`."""
    return any(_is_there(corpus, data_root) for corpus in FINDING_CORPUS.values())


def choose_parts(
    manifest: Manifest, data_root: Path, split: str, limit: int | None = None
) -> tuple[Part, ...]:
    """The split's recordings of every corpus that is there, at most `limit` of each.

    PhysioNet 2016 has no validation patients: its databases that training never heard are test
    data, and their *abnormal* stands for a murmur.

    Raises:
        UsageError: no such split, or no corpus of the bundle's findings.
        CorpusError: a corpus is there and not laid out as published.
    """
    if split not in SPLITS:
        raise UsageError(f"no split {split!r}: choose {' or '.join(SPLITS)}")
    parts = _own(manifest, data_root, split)
    if split == "test" and "murmur" in manifest.labels:
        parts += _never_heard(manifest, data_root)
    if not parts:
        wanted = sorted({FINDING_CORPUS[f] for f in manifest.labels if f in FINDING_CORPUS})
        raise UsageError(
            f"accuracy needs a prepared corpus ({', '.join(wanted) or 'none is known'}) under"
            f" {data_root}: 'acula-edge data fetch' brings one"
        )
    if limit is None:
        return tuple(parts)
    return tuple(replace(part, rows=sample(part.rows, part.findings, limit)) for part in parts)


def sample(rows: Sequence[Recording], findings: Sequence[str], limit: int) -> tuple[Recording, ...]:
    """Whole patients with at most `limit` recordings in all (one patient at least), seeded.

    Patients are alike if they have the same findings; each kind is drawn by its share: the first
    half of the sample holds the first half of every kind.
    """
    recordings: dict[str, list[Recording]] = {}
    for row in rows:
        recordings.setdefault(row.patient, []).append(row)
    alike: dict[tuple[bool, ...], list[str]] = {}
    for patient in sorted(recordings):
        own = recordings[patient]
        kind = tuple(any(row.labels.get(name) for row in own) for name in findings)
        alike.setdefault(kind, []).append(patient)
    random = np.random.default_rng(SEED)
    places = [
        ((place + 0.5) / len(patients), kind, patients[index])
        for kind, patients in sorted(alike.items())
        for place, index in enumerate(random.permutation(len(patients)))
    ]
    kept: set[str] = set()
    count = 0
    for _, _, patient in sorted(places):
        count += len(recordings[patient])
        if kept and count > limit:
            break
        kept.add(patient)
    return tuple(row for row in rows if row.patient in kept)


def digest(parts: Sequence[Part]) -> str:
    """SHA-256 of the names of the recordings and what is true of them."""
    lines = sorted(
        f"{part.corpus}/{row.name} {name}={bool(row.labels[name])}\n"
        for part in parts
        for row in part.rows
        for name in part.findings
        if name in row.labels
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _own(manifest: Manifest, data_root: Path, split: str) -> list[Part]:
    parts = []
    for corpus in dict.fromkeys(FINDING_CORPUS.values()):
        findings = tuple(f for f in manifest.labels if FINDING_CORPUS.get(f) == corpus)
        if not findings or not _is_there(corpus, data_root):
            continue
        rows = tuple(
            row
            for row in read_corpus(corpus, data_root)
            if row.split == split and any(name in row.labels for name in findings)
        )
        if rows:
            parts.append(Part(corpus, findings, rows, first=True, available=len(rows)))
    return parts


def _never_heard(manifest: Manifest, data_root: Path) -> list[Part]:
    if not _is_there(PHYSIONET, data_root):
        return []
    heard = {item.corpus for item in manifest.training_data}
    databases: dict[str, list[Recording]] = {}
    for row in good_physionet(data_root):
        name = f"{PHYSIONET}-{row.metadata['database']}"
        if name not in heard:
            truth = {"murmur": row.labels["abnormal"]}
            databases.setdefault(name, []).append(replace(row, labels=truth))
    return [
        Part(name, ("murmur",), tuple(rows), first=False, available=len(rows))
        for name, rows in sorted(databases.items())
    ]


def _is_there(corpus: str, data_root: Path) -> bool:
    try:
        corpus_folder(corpus, data_root)
    except CorpusError:
        return False
    return True
