"""A whole report: latency, peers and accuracy in one run, and the files made of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acula_edge.bundle import Bundle
from acula_edge.errors import MissingDependencyError, UsageError
from benchmarks.accuracy.looks import earlier_looks
from benchmarks.accuracy.measure import measure_accuracy, unfinished
from benchmarks.accuracy.recordings import has_corpora
from benchmarks.latency import settings as latency_settings
from benchmarks.latency.measure import SPEED_ONLY, record_latency
from benchmarks.microcontroller import read_microcontrollers
from benchmarks.peers import measure as peer_settings
from benchmarks.peers.measure import measure_peers
from benchmarks.record import Interval, Record, StudentPoint, write_record
from benchmarks.report.page import render_page
from benchmarks.report.pdf import write_pdf
from benchmarks.report.table_csv import write_csv

QUICK_RECORDINGS = 60  # of each corpus
RECORD, PAGE, TABLE, PAPER = "report.json", "report.html", "report.csv", "report.pdf"
FULL_ADDS = (
    "quick: --full scores every recording instead of a sample, hears"
    f" {latency_settings.FULL.flat_seconds:.0f} s of sound instead of"
    f" {latency_settings.QUICK.flat_seconds:.0f}, and gives peers {peer_settings.FULL.turns} turns"
    f" instead of {peer_settings.QUICK.turns}"
)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What a report measures. `data` None, or a folder without corpora: speed without accuracy."""

    bundle: Bundle
    variants: tuple[str, ...]
    provider: str = "cpu"
    data: Path | None = None
    split: str = "test"
    looks: int | None = None
    original: Path | None = None
    students: Path | None = None
    firmware: tuple[Path, ...] = ()
    peers: bool = True
    full: bool = False
    limit: int | None = None  # recordings of each corpus, 0 for all; None: by depth


def measure_report(plan: Plan, *, command: str, save: Callable[[Record], None], say: Say) -> Record:
    """The record of a whole report; `save` is given what there is after every part.

    Ctrl-C ends it early: the parts measured by then are kept, and `complete` is False.

    Raises:
        UsageError, BundleError, MissingDependencyError, DeviceError: of what was asked for.
    """
    scored = plan.data is not None and has_corpora(plan.data)
    looks = earlier_looks(plan.bundle, plan.split, plan.looks) if scored else 0
    base: dict[str, Any] = {
        "students": () if plan.students is None else read_students(plan.students),
        "microcontrollers": tuple(m for path in plan.firmware for m in read_microcontrollers(path)),
    }
    settings = latency_settings.FULL if plan.full else latency_settings.QUICK
    record = record_latency(
        plan.bundle, plan.variants, plan.provider, settings, command=command, progress=say,
        save=lambda part: save(replace(part, **base)),
    )  # fmt: skip
    record = replace(record, **base)
    if not record.complete:
        return record
    steps: list[Callable[[Record], Record]] = []
    if plan.peers:
        steps.append(lambda record: _with_peers(record, plan, say))
    if scored:
        steps.append(lambda record: _with_accuracy(record, plan, looks, say))
    for step in steps:
        try:
            record = step(record)
        except KeyboardInterrupt:
            record = replace(record, complete=False)
        save(record)
        if not record.complete:
            return record
    return record if plan.full else replace(record, notes=(*record.notes, FULL_ADDS))


def _with_peers(record: Record, plan: Plan, say: Say) -> Record:
    settings = peer_settings.FULL if plan.full else peer_settings.QUICK
    found = measure_peers(
        plan.bundle, plan.variants[0], settings, original=plan.original, progress=say
    )
    return replace(record, peers=found, complete=found.turns >= settings.turns)


def _with_accuracy(record: Record, plan: Plan, looks: int, say: Say) -> Record:
    assert plan.data is not None
    found = measure_accuracy(
        plan.bundle, plan.variants, plan.data, split=plan.split,
        original=plan.original if plan.split == "test" else None,
        limit=_recordings(plan), looks=looks, quiet=True, progress=say,
    )  # fmt: skip
    notes = tuple(note for note in record.notes if note != SPEED_ONLY)
    left_out = unfinished(found, plan.variants)
    return replace(record, accuracy=found, notes=notes, complete=not left_out)


def _recordings(plan: Plan) -> int | None:
    if plan.limit is None:
        return None if plan.full else QUICK_RECORDINGS
    return plan.limit or None


def read_students(path: Path) -> tuple[StudentPoint, ...]:
    """The student family of a record that `acula-edge export students` wrote.

    Raises:
        UsageError: no such file, or not such a record.
    """
    try:
        rows = json.loads(path.read_text())["students"]
        return tuple(
            StudentPoint(
                name, row["size"], row["parameters"], row["macs_per_second"], row["taught"],
                Interval(**row["mean"]),
            )
            for name, row in rows.items()
        )  # fmt: skip
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{path} is no record of `acula-edge export students`") from None


def write_report(record: Record, folder: Path, say: Say) -> list[Path]:
    """JSON, HTML, CSV, and a PDF where a headless browser is installed; the files written."""
    paths = [folder / RECORD, folder / PAGE, folder / TABLE]
    write_record(record, paths[0])
    paths[1].write_text(render_page(record), encoding="utf-8")
    write_csv(record, paths[2])
    try:
        write_pdf(paths[1], folder / PAPER)
    except MissingDependencyError as error:
        say(f"no PDF: {error}")
    else:
        paths.append(folder / PAPER)
    return paths
