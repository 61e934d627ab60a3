"""The one row type that every corpus adapter yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from align.errors import AlignError
from align.splits import Split

Label = bool | int | float | str


class CorpusError(AlignError):
    """A corpus is missing, unreadable or not laid out as its publishers document."""


@dataclass(frozen=True)
class Interval:
    """A labelled stretch of a recording, `[start, end)` in seconds."""

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Recording:
    """One recording with what its corpus says of it.

    `labels` holds a finding's truth where the corpus states it; a finding that is absent from the
    mapping is unknown, never negative. `metadata` is what else it says of the person and the
    recording (some of it restates labels); unknown values are absent. `intervals` are cardiac
    phases (CirCor), respiratory events (SPRSound) or respiratory cycles (ICBHI).
    """

    corpus: str
    name: str
    path: Path
    patient: str
    device: str
    site: str
    split: Split
    labels: Mapping[str, Label]
    intervals: tuple[Interval, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
