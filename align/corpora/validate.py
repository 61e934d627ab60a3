"""Decode every recording of some corpora once: the manifest's entries, and what is wrong."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

from align.audio import AudioError, pcm_sha256, read_pcm
from align.corpora import Recording, read_corpus
from align.corpora.catalogue import CATALOGUE
from align.corpora.findings import CorpusFindings, Duplicate, Fault, ValidationReport
from align.corpora.manifest import Entry

SHORT_SECONDS = 0.5
SILENT_PEAK = 10 ** (-80 / 20)
"""Largest swing about the mean of a recording that counts as silent, of full scale."""
MISSING = "missing"


@dataclass(frozen=True)
class _Sound:
    """What decoding a recording told."""

    seconds: float
    rate: int
    sha256: str
    silent: bool


def prepare(
    names: Sequence[str],
    data_root: Path,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Entry], ValidationReport]:
    """Read corpora `names` under `data_root` and decode every file.

    A recording that is missing or does not decode is named in the report and has no entry.
    `progress` is called with the recordings done and their total.

    Raises:
        CorpusError: an unknown or absent corpus, or tables that are not as published.
    """
    names = list(dict.fromkeys(names))
    rows = {name: read_corpus(name, data_root) for name in names}
    every = [row for found in rows.values() for row in found]
    heard: list[_Sound | str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for sound in pool.map(lambda row: _listen(row.path), every):
            heard.append(sound)
            if progress is not None:
                progress(len(heard), len(every))
    pairs = list(zip(every, heard, strict=True))
    entries = [_entry(row, sound, data_root) for row, sound in pairs if not isinstance(sound, str)]
    silent = {sound.sha256 for sound in heard if not isinstance(sound, str) and sound.silent}
    corpora = tuple(
        _findings(name, [pair for pair in pairs if pair[0].corpus == name]) for name in names
    )
    return entries, ValidationReport(corpora, _duplicates(entries, silent))


def _listen(path: Path) -> _Sound | str:
    """The recording's properties, or why it has none."""
    if not path.is_file():
        return MISSING
    try:
        rate = sf.info(path).samplerate
        pcm = read_pcm(path, rate)
    except sf.LibsndfileError as error:
        return str(error.error_string)
    except (AudioError, OSError) as error:
        return str(error).removeprefix(f"{path}: ")
    swing = float(np.abs(pcm - pcm.mean(dtype=np.float64)).max())
    return _Sound(len(pcm) / rate, rate, pcm_sha256(pcm), swing < SILENT_PEAK)


def _entry(row: Recording, sound: _Sound, data_root: Path) -> Entry:
    info = CATALOGUE.get(row.corpus)
    return Entry(
        corpus=row.corpus,
        name=row.name,
        path=row.path.relative_to(data_root).as_posix(),
        patient=row.patient,
        device=row.device,
        site=row.site,
        split=row.split,
        labels=dict(row.labels),
        intervals=row.intervals,
        metadata=dict(row.metadata),
        licence=info.licence if info else "unknown",
        seconds=sound.seconds,
        rate=sound.rate,
        audio_sha256=sound.sha256,
    )


def _findings(name: str, pairs: Sequence[tuple[Recording, _Sound | str]]) -> CorpusFindings:
    rows = [row for row, _ in pairs]
    sounds = [(row.name, sound) for row, sound in pairs if not isinstance(sound, str)]
    faults = [(row.name, sound) for row, sound in pairs if isinstance(sound, str)]
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        splits[row.patient].add(row.split)
    info = CATALOGUE.get(name)
    return CorpusFindings(
        corpus=name,
        published=info.recordings if info else None,
        recordings=len(rows),
        patients=len(splits),
        hours=sum(sound.seconds for _, sound in sounds) / 3600,
        rates=dict(sorted(Counter(sound.rate for _, sound in sounds).items())),
        missing=tuple(name for name, reason in faults if reason == MISSING),
        unreadable=tuple(Fault(name, why) for name, why in faults if why != MISSING),
        silent=tuple(name for name, sound in sounds if sound.silent),
        short=tuple(name for name, sound in sounds if sound.seconds < SHORT_SECONDS),
        patients_per_split=dict(Counter(split for found in splits.values() for split in found)),
        split_patients=tuple(sorted(p for p, found in splits.items() if len(found) > 1)),
        labels=_label_counts(rows),
    )


def _label_counts(rows: Iterable[Recording]) -> dict[str, dict[str, dict[str, int]]]:
    """Label -> split -> value -> recordings; measured (float) labels are counted together."""
    counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for row in rows:
        for label, value in row.labels.items():
            shown = "measured" if isinstance(value, float) else str(value).lower()
            counts[label][row.split][shown] += 1
    return {
        label: {split: dict(sorted(values.items())) for split, values in sorted(found.items())}
        for label, found in sorted(counts.items())
    }


def _duplicates(entries: Iterable[Entry], silent: set[str]) -> tuple[Duplicate, ...]:
    """Groups of recordings with equal samples; silence equals silence and says nothing."""
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.audio_sha256 is not None and entry.audio_sha256 not in silent:
            groups[entry.audio_sha256].append(entry)
    return tuple(_duplicate(key, group) for key, group in groups.items() if len(group) > 1)


def _duplicate(sha256: str, group: Sequence[Entry]) -> Duplicate:
    values: dict[str, set[object]] = defaultdict(set)
    for entry in group:
        for label, value in entry.labels.items():
            values[label].add(value)
    return Duplicate(
        audio_sha256=sha256,
        recordings=tuple(f"{entry.corpus}/{entry.name}" for entry in group),
        corpora=tuple(sorted({entry.corpus for entry in group})),
        patients=tuple(sorted({f"{entry.corpus}/{entry.patient}" for entry in group})),
        splits=tuple(sorted({entry.split for entry in group})),
        contradicting=tuple(sorted(label for label, seen in values.items() if len(seen) > 1)),
    )
