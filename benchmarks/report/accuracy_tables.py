"""Tables of accuracy: tasks, their parts, and paired differences."""

from __future__ import annotations

from benchmarks.record import Group, Record
from benchmarks.report import figures, select
from benchmarks.report.tables import Table

COUNTS = ("recordings", "patients", "positive", "refused")
RANKING = ("AUROC", "AUPRC")
DECIDING = (*("sensitivity", "specificity", "sensitivity at specificity 0.90", "at 0.95", "ECE"),)
FIGURES = (*COUNTS, *RANKING, *DECIDING)


def ranking_table(record: Record) -> Table:
    """How many recordings each task has, and how well the probabilities rank them."""
    return _task_table(record, "Discrimination", slice(0, 6))


def decision_table(record: Record) -> Table:
    """Decisions at the bundle's thresholds and at fixed specificity, and calibration."""
    return _task_table(record, "Decisions and calibration", slice(6, None))


def _task_table(record: Record, caption: str, part: slice) -> Table:
    variants = record.accuracy.variants if record.accuracy else ()
    rows = tuple(
        (f"{group.finding}, {group.corpus}", variant.variant, *_cells(group)[part])
        for variant in variants
        for group in variant.groups
        if group.kind == "all"
    )
    return Table(caption, ("task", "variant", *FIGURES[part]), rows, (1,))


def part_table(record: Record) -> Table:
    """The headline variant's figures by device, site, age and sex."""
    variant = select.scored(record, select.headline_run(record))
    rows = tuple(
        (f"{group.finding}, {group.corpus}", f"{group.kind}: {group.name}", *_cells(group))
        for group in (variant.groups if variant else ())
        if group.kind != "all"
    )
    return Table("By device, site, age and sex", ("task", "group", *FIGURES), rows, (1,))


def difference_table(record: Record) -> Table:
    """AUROC minus another scorer's on the same recordings, paired by patient."""
    variants = record.accuracy.variants if record.accuracy else ()
    rows = tuple(
        (
            f"{row.finding}: {variant.variant} minus {row.other}",
            figures.count(row.recordings),
            "–" if row.auroc is None else _signed(row.auroc.value, row.auroc.low, row.auroc.high),
            "–" if row.flips is None else figures.count(row.flips),
            "–" if row.largest_logit is None else figures.number(row.largest_logit),
        )
        for variant in variants
        for row in variant.differences
    )
    header = (
        *("pair", "recordings", "difference of AUROC", "decisions that differ"),
        "largest difference of a logit",
    )
    return Table("Paired differences", header, rows)


def reliability_table(group: Group) -> Table:
    """The points of the reliability plot."""
    rows = tuple(
        (figures.share(p[0]), figures.share(p[1]), f"{p[2]:,.0f}")
        for p in group.reliability
        if len(p) == 3
    )
    header = ("mean probability", "share of positives", "recordings")
    return Table(f"Reliability, {group.finding}, {group.corpus}", header, rows)


def _cells(group: Group) -> tuple[str, ...]:
    counts = (group.recordings, group.patients, group.positive, group.refused)
    shares = (
        *(group.auroc, group.auprc, group.sensitivity, group.specificity),
        *(group.at_specificity.get(at) for at in ("0.90", "0.95")),
        group.ece,
    )
    return (*map(figures.count, counts), *map(figures.share_interval, shares))


def _signed(value: float, low: float, high: float) -> str:
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]".replace("-", "−")
