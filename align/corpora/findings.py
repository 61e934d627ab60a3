"""What validating corpora found, as JSON for programs and as markdown for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

VERSION = 1
SHOWN = 5
"""Names that the markdown gives of each kind of fault; the JSON has all."""


@dataclass(frozen=True)
class Fault:
    """A recording that does not decode."""

    name: str
    reason: str


@dataclass(frozen=True)
class Duplicate:
    """Recordings with the same samples. Names and patients are prefixed with their corpus.

    `contradicting` are the labels on which the copies disagree.
    """

    audio_sha256: str
    recordings: tuple[str, ...]
    corpora: tuple[str, ...]
    patients: tuple[str, ...]
    splits: tuple[str, ...]
    contradicting: tuple[str, ...]

    @property
    def leaks(self) -> bool:
        """Whether copies stand on two sides of a split."""
        return len(self.splits) > 1


@dataclass(frozen=True)
class CorpusFindings:
    """One corpus. `published` is how many recordings its publishers state, if they do.

    `rates` counts recordings by sample rate (Hz), `labels` by label, split and value;
    `split_patients` are patients that stand in more than one split.
    """

    corpus: str
    published: int | None
    recordings: int
    patients: int
    hours: float
    rates: Mapping[int, int]
    missing: tuple[str, ...]
    unreadable: tuple[Fault, ...]
    silent: tuple[str, ...]
    short: tuple[str, ...]
    patients_per_split: Mapping[str, int]
    split_patients: tuple[str, ...]
    labels: Mapping[str, Mapping[str, Mapping[str, int]]]


@dataclass(frozen=True)
class ValidationReport:
    """Everything that `validate.prepare` found."""

    corpora: tuple[CorpusFindings, ...]
    duplicates: tuple[Duplicate, ...]

    @property
    def complete(self) -> bool:
        """Whether every recording that the corpora list is there and decodes."""
        return not any(found.missing or found.unreadable for found in self.corpora)

    def to_json(self) -> str:
        """The report as a JSON document."""
        return json.dumps({"version": VERSION} | asdict(self), indent=2, ensure_ascii=False) + "\n"

    def to_markdown(self) -> str:
        """Tables of counts, then one line for each kind of fault that there is."""
        return "\n".join(
            [*_table(self.corpora), "", *_label_table(self.corpora), "", *_faults(self)]
        )


def _table(corpora: Sequence[CorpusFindings]) -> Iterator[str]:
    yield (
        "| corpus | recordings | published | patients (train/val/test) | hours | missing"
        " | unreadable | silent | short |"
    )
    yield "|---|" + "---:|" * 8
    for found in corpora:
        people = "/".join(
            str(found.patients_per_split.get(split, 0)) for split in ("train", "val", "test")
        )
        cells = (
            found.corpus,
            found.recordings,
            "?" if found.published is None else found.published,
            f"{found.patients} ({people})",
            f"{found.hours:.2f}",
            *map(len, (found.missing, found.unreadable, found.silent, found.short)),
        )
        yield "| " + " | ".join(map(str, cells)) + " |"


def _label_table(corpora: Sequence[CorpusFindings]) -> Iterator[str]:
    yield "| corpus | label | train | val | test |"
    yield "|---|---|---|---|---|"
    for found in corpora:
        for label, splits in found.labels.items():
            cells = (_counts(splits.get(split, {})) for split in ("train", "val", "test"))
            yield f"| {found.corpus} | {label} | {' | '.join(cells)} |"


def _counts(values: Mapping[str, int]) -> str:
    return ", ".join(f"{value} {count}" for value, count in values.items()) or "-"


def _faults(report: ValidationReport) -> Iterator[str]:
    for found in report.corpora:
        unreadable = [f"{fault.name} ({fault.reason})" for fault in found.unreadable]
        yield from _line(found.corpus, "missing", found.missing)
        yield from _line(found.corpus, "unreadable", unreadable)
        yield from _line(found.corpus, "silent", found.silent)
        yield from _line(found.corpus, "shorter than 0.5 s", found.short)
        yield from _line(found.corpus, "patients in two splits", found.split_patients)
    leaks = [copy for copy in report.duplicates if copy.leaks]
    across = [copy for copy in report.duplicates if len(copy.corpora) > 1]
    people = [copy for copy in report.duplicates if len(copy.patients) > 1]
    torn = [copy for copy in report.duplicates if copy.contradicting]
    yield from _line("duplicates", "same samples", _groups(report.duplicates))
    yield from _line("duplicates", "in two splits", _groups(leaks))
    yield from _line("duplicates", "in two corpora", _groups(across))
    yield from _line("duplicates", "of two patients", _groups(people))
    yield from _line("duplicates", "with contradicting labels", _groups(torn))


def _groups(duplicates: Sequence[Duplicate]) -> list[str]:
    return [
        " = ".join(copy.recordings)
        + (f" (on {', '.join(copy.contradicting)})" if copy.contradicting else "")
        for copy in duplicates
    ]


def _line(where: str, kind: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield f"* {where}, {kind}: {len(names)}: {'; '.join(names[:SHOWN])}{more}"
