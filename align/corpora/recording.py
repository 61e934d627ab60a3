"""The one row type that every corpus adapter yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from align.splits import Split


class CorpusError(Exception):
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
    mapping is unknown, never negative. `intervals` are cardiac phases (CirCor) or respiratory
    events (SPRSound).
    """

    corpus: str
    name: str
    path: Path
    patient: str
    device: str
    site: str
    split: Split
    labels: Mapping[str, bool]
    intervals: tuple[Interval, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
