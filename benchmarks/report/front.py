"""AUROC against cost: what of a record goes into each chart of the front."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.record import Interval, Peer, Record
from benchmarks.report import figures, select


@dataclass(frozen=True)
class Column:
    """A model: its AUROC by series, at `x`; None where `x` was not measured."""

    name: str
    role: str  # headline, variant, original
    x: float | None
    auroc: dict[str, Interval]
    short: str


@dataclass(frozen=True)
class Mark:
    """A peer of which only `x` is known."""

    name: str
    x: float


@dataclass(frozen=True)
class Front:
    """One chart; `limit` is a value of `x` that must not be reached, with its name."""

    name: str
    title: str
    axis: str
    series: tuple[str, ...]
    columns: tuple[Column, ...]
    marks: tuple[Mark, ...] = ()
    limit: tuple[float, str] | None = None
    absent: str = "no figure"  # below models whose `x` was not measured

    @property
    def xs(self) -> list[float]:
        """All values on the axis."""
        values = [c.x for c in self.columns if c.x] + [m.x for m in self.marks if m.x > 0]
        return values + ([self.limit[0]] if self.limit else [])


def cost_front(record: Record) -> Front:
    """AUROC against CPU time per second of audio; peers without AUROC on the axis."""
    return Front(
        name="front-cost",
        title="AUROC against CPU time",
        axis="CPU ms per second of audio (log; ← cheaper)",
        series=_series(record),
        columns=_columns(record, {m.name: m.cpu_ms for m in select.models(record)}),
        marks=tuple(
            Mark(figures.peer_name(row.name), row.cpu_ms_per_second.p50.value)
            for row in _without_auroc(record)
        ),
        absent="not timed",
    )


def latency_front(record: Record) -> Front:
    """AUROC against p95 of a hop, with the deadline."""
    run = select.headline_run(record)
    return Front(
        name="front-p95",
        title="AUROC against p95 latency",
        axis="p95 of a hop, ms (log; ← sooner)",
        series=_series(record),
        columns=_columns(record, {m.name: m.p95_ms for m in select.models(record)}),
        limit=(select.hop_ms(run), "deadline") if run else None,
        absent="no p95",
    )


def size_front(record: Record) -> Front:
    """AUROC against bytes: our graph, the original's weights, and peers on the axis."""
    columns = _columns(record, {m.name: m.bytes for m in select.models(record)})
    return Front(
        name="front-size",
        title="AUROC against size",
        axis="bytes of graph or weights (log; ← smaller)",
        series=_series(record),
        columns=tuple(c for c in columns if c.role != "variant"),
        marks=tuple(
            Mark(figures.peer_name(row.name), row.bytes)
            for row in _without_auroc(record)
            if row.bytes
        ),
        absent="no size",
    )


def student_front(record: Record) -> Front:
    """Mean AUROC of the student family against parameters, each beside its control."""
    taught, control = "taught by the aligned encoder", "its control, labels alone"
    sizes = dict.fromkeys((p.size, p.parameters) for p in record.students)
    return Front(
        name="front-students",
        title="The student family",
        axis="parameters (log; ← smaller)",
        series=(taught, control),
        columns=tuple(
            Column(
                size,
                "headline",
                weights,
                {
                    taught if p.taught else control: p.mean_auroc
                    for p in record.students
                    if (p.size, p.parameters) == (size, weights)
                },
                size,
            )
            for size, weights in sizes
        ),
    )


def _without_auroc(record: Record) -> list[Peer]:
    original = record.accuracy.original if record.accuracy else None
    scored = select.peer(record, original.name) if original else None
    return [p for p in select.peers(record) if p.kind != "front end" and p is not scored]


def _columns(record: Record, xs: dict[str, float | None]) -> tuple[Column, ...]:
    run = select.headline_run(record)
    bundle = run.identity.bundle if run else ""
    return tuple(
        Column(
            f"{bundle} {m.name}" if m.role == "headline" else m.name,
            m.role,
            xs.get(m.name),
            m.auroc,
            m.name.partition(" (")[0],
        )
        for m in select.models(record)
    )


def _series(record: Record) -> tuple[str, ...]:
    return tuple(task.label for task in select.tasks(record))
