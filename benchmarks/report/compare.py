"""Records of several machines side by side, where and only where they measured the same thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from acula_edge.errors import UsageError
from benchmarks.record import Accuracy, Peer, Peers, Record, Run
from benchmarks.report import figures, select, words
from benchmarks.report.forest import Forest, Line, draw_forest
from benchmarks.report.page import WIDE, environment, figure
from benchmarks.report.tables import Table, machine_rows

# What decides the work done; where one differs, times and figures answer different questions.
CONTRACT = (
    *("bundle_sha256", "graph_sha256", "preprocessing", "source_rate", "block_seconds"),
    *("rate", "hop"),
)
FAIR = (
    "Ratios to a peer that was measured in turn with ours, in each machine's own run, are the fair"
    " comparison: both sides had the same machine in the same state."
)
ABSOLUTE = (
    "Absolute times are each machine's own. One with a stamp was not at rest, was cut short, or"
    " measured briefly: its times compare with no other's."
)


@dataclass(frozen=True)
class Comparison:
    """What several machines' records say about the same artefact."""

    title: str
    ratios: Forest
    tables: tuple[Table, ...]
    left_out: tuple[str, ...]


def compare_records(records: Sequence[tuple[str, Record]]) -> Comparison:
    """Compare `(name, record)` pairs; the names tell the machines apart.

    Raises:
        UsageError: fewer than two, names that are not distinct, or records of unlike contracts:
            the sentence names the first field that differs and both values.
    """
    if len(records) < 2:
        raise UsageError("a comparison needs two records or more")
    empty = next((name for name, record in records if not record.runs), None)
    if empty is not None:
        raise UsageError(f"{empty} holds no run to compare")
    names = [name for name, _ in records]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two records are both named {twice!r}: rename one of the files")
    for other in records[1:]:
        _check(records[0], other)
    shared, left_out = _shared_peers(records)
    first = records[0][1]
    return Comparison(
        title=f"{first.runs[0].identity.bundle} on {len(records)} machines",
        ratios=_ratio_forest(records, shared),
        tables=tuple(
            table
            for table in (
                _ratio_table(records, shared),
                _time_table(records),
                _accuracy_table(records),
                _machine_table(records),
            )
            if table.rows
        ),
        left_out=tuple(left_out),
    )


def comparison_page(comparison: Comparison) -> str:
    """The comparison as one self-contained HTML page.

    Raises:
        MissingDependencyError: jinja2 is not installed.
    """
    chart = None
    if comparison.ratios.lines:
        draw = partial(draw_forest, comparison.ratios)
        caption = "The dashed line is our CPU time; right of it a peer costs more."
        chart = figure(draw, comparison.ratios.title, caption, comparison.tables[0], WIDE)
    template = environment().get_template("compare.html.j2")
    return template.render(comparison=comparison, chart=chart, fair=FAIR, absolute=ABSOLUTE)


def comparison_text(comparison: Comparison) -> str:
    """The comparison for a terminal."""
    blocks = [comparison.title, FAIR, ABSOLUTE]
    for table in comparison.tables:
        rows = [table.header, *table.rows]
        widths = [max(len(row[i]) for row in rows) for i in range(len(table.header))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in rows]
        blocks.append("\n".join([table.caption, *(line.rstrip() for line in lines)]))
    blocks += [f"Left out: {sentence}" for sentence in comparison.left_out]
    return "\n\n".join(blocks)


def _check(first: tuple[str, Record], second: tuple[str, Record]) -> None:
    (a, one), (b, two) = first, second
    pairs: list[tuple[str, object, object]] = [
        ("schema", one.schema, two.schema),
        ("variant", _variants(one), _variants(two)),
    ]
    for x, y in zip(one.runs, two.runs, strict=False):
        for field in CONTRACT:
            left, right = getattr(x.identity, field), getattr(y.identity, field)
            pairs.append((f"{field} of {x.identity.variant}", left, right))
    if one.peers is not None and two.peers is not None:
        pairs.append(("our side of the ratios", _own(one.peers), _own(two.peers)))
    if one.accuracy is not None and two.accuracy is not None:
        pairs += _accuracy_pairs(one.accuracy, two.accuracy)
    for field, left, right in pairs:
        if left != right:
            raise UsageError(
                f"{a} and {b} cannot be compared: {field} is {left!r} in one and {right!r} in the"
                " other"
            )


def _accuracy_pairs(one: Accuracy, two: Accuracy) -> list[tuple[str, object, object]]:
    names = ("split", "digest", "limited_to")
    return [(f"accuracy.{name}", getattr(one, name), getattr(two, name)) for name in names]


def _own(peers: Peers) -> str:
    return next((row.name for row in peers.rows if row.kind == "ours"), "none")


def _variants(record: Record) -> str:
    return ", ".join(run.identity.variant for run in record.runs)


def _shared_peers(records: Sequence[tuple[str, Record]]) -> tuple[list[str], list[str]]:
    """Peers that every record measured in the same version; and why others are left out."""
    found = [{peer.name: peer for peer in select.peers(record)} for _, record in records]
    shared, left_out = [], []
    for name in dict.fromkeys(name for peers in found for name in peers):
        lacking = [r[0] for r, peers in zip(records, found, strict=True) if name not in peers]
        versions = {peers[name].version for peers in found if name in peers}
        if lacking:
            left_out.append(f"{figures.peer_name(name)}: not measured in {', '.join(lacking)}")
        elif len(versions) > 1:
            said = ", ".join(sorted(versions))
            left_out.append(f"{figures.peer_name(name)}: its versions differ ({said})")
        else:
            shared.append(name)
    return shared, left_out


def _peers_named(record: Record, names: Sequence[str]) -> list[Peer]:
    found = {peer.name: peer for peer in select.peers(record)}
    return [found[name] for name in names]


def _ratio_forest(records: Sequence[tuple[str, Record]], shared: Sequence[str]) -> Forest:
    lines = []
    for i, name in enumerate(shared):
        lines.append(Line(figures.peer_name(name)))
        for machine, record in records:
            ratio = _peers_named(record, [name])[0].ratio
            lines.append(Line(_stamped(machine, record), ratio, figures.interval(ratio), i))
    return Forest("ratios", "CPU time of peers over ours", "× ours (log)", tuple(lines), True, 1.0)


def _ratio_table(records: Sequence[tuple[str, Record]], shared: Sequence[str]) -> Table:
    rows = tuple(
        (
            figures.peer_name(name),
            *(figures.interval(_peers_named(record, [name])[0].ratio) for _, record in records),
        )
        for name in shared
    )
    header = ("peer", *(_stamped(name, record) for name, record in records))
    return Table("CPU time of peers over ours", header, rows)


def _time_table(records: Sequence[tuple[str, Record]]) -> Table:
    measures: tuple[tuple[str, Callable[[Run], str]], ...] = (
        ("CPU ms per second of audio", lambda run: figures.interval(select.cpu_cost(run))),
        ("p95 of a hop, ms", lambda run: figures.interval(select.p95_hop(run))),
        ("start to first event, ms", _start),
        ("peak memory, MiB", _memory),
        ("sessions at once", _sessions),
        ("runtime", lambda run: run.identity.runtime),
        ("provider", lambda run: run.identity.provider),
    )
    rows = tuple(
        (
            f"{first.identity.variant}: {measure}",
            *(shown(record.runs[i]) for _, record in records),
        )
        for i, first in enumerate(records[0][1].runs)
        for measure, shown in measures
    )
    header = ("", *(_stamped(name, record) for name, record in records))
    return Table("Absolute figures, each machine's own", header, rows)


def _start(run: Run) -> str:
    cold = run.latency.cold if run.latency else None
    return figures.interval(cold.process_ms if cold else None)


def _memory(run: Run) -> str:
    cold = run.latency.cold if run.latency else None
    return figures.number(cold.peak_rss_mib) if cold else figures.NOT_MEASURED


def _sessions(run: Run) -> str:
    capacity = run.latency.capacity if run.latency else None
    if capacity is None:
        return figures.NOT_MEASURED
    least = "at least " if capacity.sessions >= capacity.limit else ""
    return least + figures.count(capacity.sessions)


def _accuracy_table(records: Sequence[tuple[str, Record]]) -> Table:
    rows = []
    for i, first in enumerate(records[0][1].runs):
        for task in dict.fromkeys(t for _, record in records for t in select.tasks(record)):
            cells = []
            for _, record in records:
                variant = select.scored(record, record.runs[i])
                group = select.whole(variant, task) if variant else None
                told = group is not None and group.auroc is not None
                cells.append(
                    figures.share_interval(group.auroc) if told and group else "not measured"
                )
            rows.append((f"{first.identity.variant}: {task.label}", *cells))
    header = ("AUROC", *(name for name, _ in records))
    return Table("AUROC on the same recordings", header, tuple(rows))


def _machine_table(records: Sequence[tuple[str, Record]]) -> Table:
    columns = [
        [
            ("measured", record.created),
            ("depth", record.depth),
            ("stamps", "; ".join(f"{s.word}: {s.why}" for s in words.stamps(record)) or "none"),
            *machine_rows(record.machine),
        ]
        for _, record in records
    ]
    rows = tuple(
        (name, *(column[i][1] for column in columns)) for i, (name, _) in enumerate(columns[0])
    )
    header = ("", *(name for name, _ in records))
    return Table("The machines", header, rows, tuple(range(1, len(header))))


def _stamped(name: str, record: Record) -> str:
    """The name with what lessens its times, so that no column is read without it."""
    stamps = {stamp.word for stamp in words.stamps(record)} & {"not comparable", "partial", "quick"}
    return f"{name} ({', '.join(sorted(stamps))})" if stamps else name
