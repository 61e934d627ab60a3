"""A record as a long table: one figure to a row, for a spreadsheet or a data frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from acula_edge.errors import UsageError
from benchmarks.record import Distribution, Flow, Group, Interval, Latency, Record
from benchmarks.report import select

FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Figure:
    """A row. `value` is empty where it was withheld or not measured; `note` says which."""

    section: str
    subject: str  # variant, peer, student or core
    finding: str
    corpus: str
    group: str
    measure: str
    value: float | None
    low: float | None
    high: float | None
    unit: str
    samples: int | None
    note: str


def write_csv(record: Record, path: Path) -> None:
    """Write every figure of the record, whole or not at all; UTF-8, a header, comma-separated.

    Raises:
        UsageError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Figure))
    writer.writerows([_cell(value) for value in astuple(row)] for row in figures_of(record))
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text.getvalue(), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def figures_of(record: Record) -> Iterator[Figure]:
    """Every figure, section by section."""
    for run in record.runs:
        name = run.identity.variant
        yield _row("identity", name, "graph size", run.identity.graph_bytes, "bytes")
        if run.latency is not None:
            yield from _latency(name, run.latency)
        for mode, flow in select.flows(run):
            yield from _flow(name, mode, flow)
    yield from _accuracy(record)
    yield from _peers(record)
    for student in record.students:
        name = student.name
        yield _row("students", name, "mean AUROC", student.mean_auroc, "")
        yield _row("students", name, "parameters", student.parameters, "")
        yield _row("students", name, "MAC per second of audio", student.macs_per_second, "1/s")
    for core in record.microcontrollers:
        made = (
            ("instructions per second of audio", core.instructions_per_second, "1/s"),
            ("flash", core.flash_bytes, "bytes"),
            ("RAM", core.ram_bytes, "bytes"),
            ("stack", core.stack_bytes, "bytes"),
            ("vectors", core.vectors, ""),
            ("vectors equal", core.equal, ""),
        )
        for measure, value, unit in made:
            yield _row("microcontrollers", core.core, measure, value, unit)


def _latency(name: str, latency: Latency) -> Iterator[Figure]:
    if latency.cold is not None:
        cold, runs = latency.cold, latency.cold.runs
        yield _row("cold start", name, "import", cold.import_ms, "ms", samples=runs)
        yield _row("cold start", name, "load", cold.load_ms, "ms", samples=runs)
        yield _row("cold start", name, "first event", cold.first_event_ms, "ms", samples=runs)
        yield _row("cold start", name, "process", cold.process_ms, "ms", samples=runs)
        yield _row("cold start", name, "peak RSS", cold.peak_rss_mib, "MiB", samples=runs)
    if latency.front_end_share is not None:
        yield _row("stages", name, "front end of network", latency.front_end_share, "share")
    if latency.capacity is not None:
        capacity = latency.capacity
        yield _row("capacity", name, "sessions", capacity.sessions, "")
        yield _row("capacity", name, "most tried", capacity.limit, "")
    for onset in latency.onset:
        finding = onset.finding
        yield _row("onset", name, "trials", onset.trials, "", finding=finding)
        yield _row("onset", name, "detected", onset.detected, "", finding=finding)
        for what, times in (("audio", onset.audio_ms), ("compute", onset.compute_ms)):
            if times is not None:
                yield from _spread("onset", name, what, times, finding=finding)


def _flow(name: str, mode: str, flow: Flow) -> Iterator[Figure]:
    yield from _spread("hop", name, "wall time", flow.hop_ms, group=mode)
    if flow.wakeup_ms is not None:
        yield from _spread("hop", name, "wake-up late by", flow.wakeup_ms, group=mode)
    for stage, times in flow.stages.items():
        yield from _spread("stages", name, stage, times, group=mode)
    for measure, value, unit in (
        ("CPU per second of audio", flow.cpu_ms_per_second, "ms"),
        ("real-time factor", flow.realtime_factor, ""),
        ("deadline misses", flow.deadline_misses, ""),
        ("hops", flow.hops, ""),
        ("largest lag", flow.largest_lag_ms, "ms"),
        ("duty cycle", flow.duty_cycle, "share"),
        ("RSS at start", flow.rss_start_mib, "MiB"),
        ("RSS at end", flow.rss_end_mib, "MiB"),
        ("slope of RSS", flow.rss_slope_mib_per_hour, "MiB/h"),
        ("slope of hop time", flow.hop_slope_ms_per_hour, "ms/h"),
    ):
        yield _row("flow", name, measure, value, unit, group=mode)


def _accuracy(record: Record) -> Iterator[Figure]:
    if record.accuracy is None:
        return
    for variant in record.accuracy.variants:
        for group in variant.groups:
            yield from _group(variant.variant, group)
        for pair in variant.differences:
            subject, finding = f"{variant.variant} minus {pair.other}", pair.finding
            for measure, value in (
                ("AUROC", pair.auroc),
                ("decisions that differ", pair.flips),
                ("largest logit difference", pair.largest_logit),
            ):
                yield _row(
                    "differences", subject, measure, value, "",
                    finding=finding, samples=pair.recordings,
                )  # fmt: skip
    original = record.accuracy.original
    if original is not None:
        for finding, auroc in original.tasks.items():
            yield _row("accuracy", original.name, "AUROC", auroc, "", finding=finding)


def _group(variant: str, group: Group) -> Iterator[Figure]:
    measures: dict[str, Interval | int | None] = {
        "positive": group.positive,
        "refused": group.refused,
        "patients": group.patients,
        "AUROC": group.auroc,
        "AUPRC": group.auprc,
        "sensitivity": group.sensitivity,
        "specificity": group.specificity,
        **{f"sensitivity at specificity {k}": v for k, v in group.at_specificity.items()},
        "ECE": group.ece,
    }
    for measure, value in measures.items():
        yield _row(
            "accuracy",
            variant,
            measure,
            value,
            "",
            finding=group.finding,
            corpus=group.corpus,
            group="all" if group.kind == "all" else f"{group.kind}: {group.name}",
            samples=group.recordings,
        )


def _peers(record: Record) -> Iterator[Figure]:
    for peer in record.peers.rows if record.peers else ():
        yield from _spread("peers", peer.name, "CPU per second of audio", peer.cpu_ms_per_second)
        for measure, value, unit in (
            ("CPU over ours", peer.ratio, ""),
            ("CPU over our stream graph", peer.graph_ratio, ""),
            ("peak RSS", peer.peak_rss_mib, "MiB"),
            ("peak RSS over ours", peer.rss_ratio, ""),
            ("parameters", peer.parameters, ""),
            ("size", peer.bytes, "bytes"),
        ):
            yield _row("peers", peer.name, measure, value, unit, samples=peer.pairs or None)
    for missing in record.peers.missing if record.peers else ():
        yield Figure("peers", missing.name, "", "", "", "", None, None, None, "", None, missing.why)


def _spread(
    section: str,
    subject: str,
    measure: str,
    times: Distribution,
    *,
    finding: str = "",
    group: str = "",
) -> Iterator[Figure]:
    quantiles = {"p50": times.p50, "p90": times.p90, "p95": times.p95, "p99": times.p99}
    told: dict[str, Interval | float | None] = {
        "mean": times.mean,
        **quantiles,
        "largest": times.largest,
    }
    for name, value in told.items():
        yield _row(
            section,
            subject,
            f"{measure}, {name}",
            value,
            "ms",
            finding=finding,
            group=group,
            samples=times.samples,
            absent=f"withheld: {times.samples} samples",
        )


def _row(
    section: str,
    subject: str,
    measure: str,
    value: Interval | float | None,
    unit: str,
    *,
    finding: str = "",
    corpus: str = "",
    group: str = "",
    samples: int | None = None,
    absent: str = "not measured",
) -> Figure:
    low = value.low if isinstance(value, Interval) else None
    high = value.high if isinstance(value, Interval) else None
    figure = value.value if isinstance(value, Interval) else value
    note = absent if value is None else ""
    return Figure(
        section, subject, finding, corpus, group, measure, figure, low, high, unit, samples, note
    )


def _cell(value: object) -> object:
    """A text that a spreadsheet would run as a formula is made a text again."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return "'" + value
    return "" if value is None else value
