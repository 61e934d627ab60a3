"""What of a record belongs together: the run to headline, its tasks, its accuracy, its cost."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.record import Flow, Group, Interval, Peer, Record, Run, VariantAccuracy

FLOAT_BYTES = 4  # of a weight of the aligned encoder, which is not quantised


@dataclass(frozen=True)
class Task:
    """A finding on a corpus; the finding alone names its first corpus."""

    finding: str
    corpus: str
    label: str
    first: bool


@dataclass(frozen=True)
class Model:
    """A model for the front: its AUROC by task label, and what it costs where that is known."""

    name: str
    role: str  # headline, variant, original
    auroc: dict[str, Interval]
    cpu_ms: float | None  # per second of audio
    p95_ms: float | None  # of a hop
    bytes: float | None  # of its weights


def headline_run(record: Record) -> Run | None:
    """The first run whose latency was measured, or the first of all."""
    timed = [run for run in record.runs if run.latency is not None]
    return next(iter(timed or record.runs), None)


def scored(record: Record, run: Run | None) -> VariantAccuracy | None:
    """Accuracy of the very artefact that was timed: same variant, same graph."""
    if record.accuracy is None:
        return None
    if run is None:
        return next(iter(record.accuracy.variants), None)
    graph = (run.identity.variant, run.identity.graph_sha256)
    same = (v for v in record.accuracy.variants if (v.variant, v.graph_sha256) == graph)
    return next(same, None)


def tasks(record: Record) -> list[Task]:
    """Every finding and corpus with figures over all recordings, in the record's order."""
    found: dict[tuple[str, str], Task] = {}
    seen: set[str] = set()
    for variant in record.accuracy.variants if record.accuracy else ():
        for group in variant.groups:
            key = (group.finding, group.corpus)
            if group.kind == "all" and key not in found:
                first = group.finding not in seen
                name = group.finding if first else f"{group.finding} ({group.corpus})"
                found[key] = Task(*key, name, first)
                seen.add(group.finding)
    return list(found.values())


def whole(variant: VariantAccuracy, task: Task) -> Group | None:
    """The figures over all recordings of the task."""
    key = (task.finding, task.corpus, "all")
    same = (g for g in variant.groups if (g.finding, g.corpus, g.kind) == key)
    return next(same, None)


def parts(variant: VariantAccuracy, task: Task) -> list[Group]:
    """The task's figures by device, site, age and sex."""
    key = (task.finding, task.corpus)
    return [g for g in variant.groups if (g.finding, g.corpus) == key and g.kind != "all"]


def original_auroc(record: Record, task: Task) -> Interval | None:
    """AUROC of the aligned encoder on the task: by finding, or by corpus for a further corpus."""
    original = record.accuracy.original if record.accuracy else None
    if original is None:
        return None
    return original.tasks.get(task.finding if task.first else task.corpus)


def cpu_cost(run: Run) -> Interval | None:
    """CPU ms per second of audio, flat out; where only a paced run was made, paced."""
    flow = run.latency and (run.latency.flat or run.latency.paced)
    return flow.cpu_ms_per_second if flow else None


def flows(run: Run) -> list[tuple[str, Flow]]:
    """The runs of sound that were made, by name."""
    latency = run.latency
    both = [("flat out", latency.flat), ("paced", latency.paced)] if latency else []
    return [(name, flow) for name, flow in both if flow is not None]


def p95_hop(run: Run) -> Interval | None:
    """p95 of the wall time of a hop, paced at the product's hop; else flat out."""
    flow = run.latency and (run.latency.paced or run.latency.flat)
    return flow.hop_ms.p95 if flow else None


def hop_ms(run: Run) -> float:
    """The deadline: a hop must be answered before the next is due."""
    return 1000 * run.identity.hop / run.identity.rate


def peers(record: Record) -> tuple[Peer, ...]:
    """Everything that was measured in turn with ours, without ours."""
    rows = record.peers.rows if record.peers else ()
    return tuple(row for row in rows if row.kind != "ours")


def peer(record: Record, name: str) -> Peer | None:
    """The peer of this name; what the name adds in brackets tells it closer."""
    same = (row for row in peers(record) if name.lower().startswith(row.name.lower()))
    return next(same, None)


def costly_original(record: Record) -> Peer | None:
    """The original to headline: AcuLa's own encoder, else the costliest that was measured."""
    with_ratio = [r for r in peers(record) if r.kind == "original" and r.ratio is not None]
    own = [r for r in with_ratio if "opera-gt" in r.name.lower()]
    return max(own or with_ratio, key=lambda r: r.ratio.value if r.ratio else 0.0, default=None)


def models(record: Record) -> list[Model]:
    """All models whose AUROC is known: the variants that were scored, and the original."""
    labels = {task: task.label for task in tasks(record)}
    best = headline_run(record)
    found = []
    for run in record.runs:
        variant = scored(record, run)
        if variant is not None:
            groups = {labels[t]: whole(variant, t) for t in labels}
            cpu, p95 = cpu_cost(run), p95_hop(run)
            found.append(
                Model(
                    name=run.identity.variant,
                    role="headline" if run is best else "variant",
                    auroc={k: g.auroc for k, g in groups.items() if g and g.auroc},
                    cpu_ms=cpu.value if cpu else None,
                    p95_ms=p95.value if p95 else None,
                    bytes=run.identity.graph_bytes,
                )
            )
    original = record.accuracy.original if record.accuracy else None
    if original is not None:
        known = {labels[t]: original_auroc(record, t) for t in labels}
        row = peer(record, original.name)
        found.append(
            Model(
                name=original.name,
                role="original",
                auroc={k: v for k, v in known.items() if v},
                cpu_ms=row.cpu_ms_per_second.p50.value if row else None,
                p95_ms=None,
                bytes=row.bytes if row and row.bytes else FLOAT_BYTES * (original.parameters or 0),
            )
        )
    return [model for model in found if model.auroc]
