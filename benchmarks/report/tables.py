"""Tables of the report as text: the figures beside each chart, peers, and what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.record import Identity, Machine, Record
from benchmarks.report import figures
from benchmarks.report.front import Front


@dataclass(frozen=True)
class Table:
    """Rows of text below a header; the first cell of each names it. `prose` columns are words."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    prose: tuple[int, ...] = ()


def front_table(front: Front) -> Table:
    """The chart's figures: each model's cost and AUROC, then the peers of which only cost is."""
    what = front.axis.partition(" (")[0]
    rows = [
        (
            column.name,
            figures.number(column.x) if column.x else figures.NOT_MEASURED,
            *(figures.share_interval(column.auroc.get(name)) for name in front.series),
        )
        for column in front.columns
    ]
    blank = ("–",) * len(front.series)
    rows += [(mark.name, figures.number(mark.x), *blank) for mark in front.marks]
    return Table(front.title, ("model", what, *front.series), tuple(rows))


def student_table(record: Record) -> Table:
    """The student family, each size beside its control."""
    rows = tuple(
        (
            point.name,
            point.size,
            figures.parameters(point.parameters),
            f"{figures.number(point.macs_per_second / 1e6)} M",
            "aligned encoder" if point.taught else "labels alone",
            figures.share_interval(point.mean_auroc),
        )
        for point in record.students
    )
    header = ("student", "size", "parameters", "MAC per second", "taught by", "mean AUROC")
    return Table("The student family, in float32", header, rows, (1, 4))


def peer_table(record: Record) -> Table:
    """Every peer's cost beside ours; `rows[0]` is ours."""
    rows = tuple(
        (
            figures.peer_name(row.name),
            row.kind,
            figures.interval(row.cpu_ms_per_second.p50),
            figures.interval(row.ratio) if row.ratio else "–",
            figures.interval(row.graph_ratio) if row.graph_ratio else "–",
            "–" if row.peak_rss_mib is None else f"{figures.number(row.peak_rss_mib)} MiB",
            "–" if row.rss_ratio is None else figures.times(row.rss_ratio),
            figures.parameters(row.parameters) if row.parameters else "–",
            figures.file_size(row.bytes) if row.bytes else "–",
        )
        for row in (record.peers.rows if record.peers else ())
    )
    header = (
        *("peer", "kind", "CPU ms per second of audio", "× ours", "× our graph"),
        *("peak memory", "× ours", "parameters", "size"),
    )
    turns = figures.plural(record.peers.turns, "turn") if record.peers else ""
    return Table(f"CPU and memory, {turns} each; medians", header, rows, (1,))


def peer_note_table(record: Record) -> Table:
    """What each peer is: version, licence, and how it was run."""
    rows = tuple(
        (figures.peer_name(row.name), row.version, row.licence, row.note)
        for row in (record.peers.rows if record.peers else ())
    )
    return Table("What each peer is", ("peer", "version", "licence", "note"), rows, (1, 2, 3))


def missing_table(record: Record) -> Table:
    """Peers that could not be measured, and why."""
    missing = record.peers.missing if record.peers else ()
    rows = tuple((figures.peer_name(row.name), row.why) for row in missing)
    return Table("Not measured", ("peer", "why"), rows, (1,))


def microcontroller_table(record: Record) -> Table:
    """The C build on emulated cores."""
    rows = tuple(
        (
            row.core,
            _millions(row.instructions_per_second),
            figures.file_size(row.flash_bytes),
            figures.file_size(row.ram_bytes),
            figures.file_size(row.stack_bytes),
            f"{row.equal:,} of {row.vectors:,}",
        )
        for row in record.microcontrollers
    )
    header = (
        *("core", "instructions per second of audio", "flash", "RAM", "stack"),
        "vectors equal to the reference",
    )
    return Table("The C build on emulated cores", header, rows)


def identity_table(record: Record) -> Table:
    """What was measured, a column to each run."""
    runs = [run.identity for run in record.runs]
    columns = [_identity_cells(identity) for identity in runs]
    names = _identity_cells(runs[0]) if runs else {}
    rows = tuple((name, *(column[name] for column in columns)) for name in names)
    prose = tuple(range(1, len(runs) + 1))
    return Table("What was measured", ("", *(i.variant for i in runs)), rows, prose)


def machine_rows(machine: Machine) -> list[tuple[str, str]]:
    """The machine's fingerprint; what it does not tell is "not told"."""
    told = figures.told
    return [
        ("processor", told(machine.cpu)),
        ("architecture", told(machine.architecture)),
        ("instruction sets", told(machine.flags)),
        ("cores, threads", f"{told(machine.cores)}, {told(machine.threads)}"),
        ("governor", told(machine.governor)),
        ("clock", told(machine.clock_mhz, "MHz")),
        ("clock limit", told(machine.clock_limit_mhz, "MHz")),
        ("memory", told(machine.ram_mib, "MiB")),
        ("system", told(machine.system)),
        ("Python", told(machine.python)),
        ("power", told(machine.power)),
        ("container", told(machine.container)),
        ("temperature", told(machine.temperature_c, "°C")),
        ("load before, 1, 5 and 15 min", told(machine.load)),
        ("GPU", told(machine.gpu)),
    ]


def machine_table(record: Record) -> Table:
    """Where it was measured."""
    return Table("The machine", ("", "this machine"), tuple(machine_rows(record.machine)), (1,))


def _identity_cells(identity: Identity) -> dict[str, str]:
    changed = "+" if identity.commit.endswith("+") else ""
    hop = f"{identity.hop} samples, {figures.number(1000 * identity.hop / identity.rate)} ms"
    source = f"{identity.source_rate:,} Hz in blocks of {1000 * identity.block_seconds:g} ms"
    return {
        "bundle": identity.bundle,
        "bundle, SHA-256": figures.short(identity.bundle_sha256),
        "precision": identity.precision,
        "provider": identity.provider,
        "runtime": identity.runtime,
        "graph, SHA-256": figures.short(identity.graph_sha256),
        "graph, size": figures.file_size(identity.graph_bytes),
        "preprocessing": figures.short(identity.preprocessing),
        "model rate": f"{identity.rate:,} Hz",
        "hop": hop,
        "source": source,
        "toolkit": identity.toolkit,
        "commit": figures.told(figures.short(identity.commit.rstrip("+"))) + changed,
    }


def _millions(value: float | None) -> str:
    return figures.NOT_TOLD if value is None else f"{figures.number(value / 1e6)} M"
