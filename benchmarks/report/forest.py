"""Figures with their intervals, one to a line, so that the eye compares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from benchmarks.record import Group, Interval, Record
from benchmarks.report import figures, select, svg

ROW, TWO_LINES = 24, 42
KINDS = {"device": "Device", "site": "Site", "age": "Age", "sex": "Sex"}


@dataclass(frozen=True)
class Line:
    """A figure; without `value`, a heading or, with `shown`, what says why there is none."""

    label: str
    value: Interval | None = None
    shown: str = ""
    series: int = 0
    hollow: bool = False

    @property
    def heading(self) -> bool:
        """Whether it only names the lines below it."""
        return self.value is None and not self.shown


@dataclass(frozen=True)
class Forest:
    """The chart; `log` for ratios. `reference` is drawn through all lines."""

    name: str
    title: str
    axis: str
    lines: tuple[Line, ...]
    log: bool = False
    reference: float | None = None


def task_forest(record: Record) -> Forest:
    """AUROC of each task: every variant that was scored, and the original."""
    lines = []
    models = select.models(record)
    for i, task in enumerate(select.tasks(record)):
        lines.append(Line(f"{task.finding}, {task.corpus}"))
        lines += [
            Line(
                model.name,
                model.auroc.get(task.label),
                figures.share_interval(model.auroc.get(task.label)),
                i,
                hollow=model.role != "headline",
            )
            for model in models
        ]
    return Forest("forest", "AUROC by task", "AUROC", tuple(lines))


def part_forests(record: Record) -> list[Forest]:
    """AUROC of each task by device, site, age and sex, of the variant in the headline."""
    variant = select.scored(record, select.headline_run(record))
    found = []
    for i, task in enumerate(select.tasks(record)):
        groups = select.parts(variant, task) if variant else []
        all_of_it = select.whole(variant, task) if variant else None
        if not groups or all_of_it is None:
            continue
        lines = [_line("all", all_of_it, i)]
        for kind in dict.fromkeys(group.kind for group in groups):
            lines.append(Line(KINDS.get(kind, kind)))
            lines += [_line(g.name, g, i) for g in groups if g.kind == kind]
        middle = all_of_it.auroc.value if all_of_it.auroc else None
        name, title = f"parts-{i}", f"{task.finding}, {task.corpus}"
        found.append(Forest(name, title, "AUROC", tuple(lines), reference=middle))
    return found


def draw_forest(forest: Forest, width: float) -> str:
    """The chart: label, interval and figure side by side, or label and figure above it."""
    values = [line.value for line in forest.lines if line.value is not None]
    if not values:
        return ""
    wide = width > 400
    scale = _scale(forest, values, *_span(forest, width, wide))
    y, under, body = 6.0, [], []
    for entry in forest.lines:
        tall = not wide and entry.value is not None
        if entry.heading:
            y += 8
            body.append(svg.label(svg.fitted(entry.label, width), 0, y + 14, "strong"))
        else:
            body.append(_draw_line(entry, scale, y, width, wide))
            if tall:
                under.append(_grid(forest, scale, y + 20, y + 40))
        y += TWO_LINES if tall else ROW
    if wide:
        under.append(_grid(forest, scale, 6, y + 4))
    says = "; ".join(f"{e.label}: {e.shown}" if e.shown else e.label for e in forest.lines)
    return svg.drawing(
        forest.name, width, y + 44, forest.title, says, *under, *body, _axis(forest, scale, y)
    )


def _line(label: str, group: Group, series: int) -> Line:
    shown = figures.share_interval(group.auroc)
    if group.auroc is None:
        shown = f"{group.positive} positive: too few"
    return Line(f"{label} ({group.recordings})", group.auroc, shown, series)


def _span(forest: Forest, width: float, wide: bool) -> tuple[float, float]:
    if not wide:
        return 10.0, width - 10
    rows = [entry for entry in forest.lines if not entry.heading]
    labels = max(svg.text_width(entry.label) for entry in rows)
    shown = max(svg.text_width(entry.shown) for entry in rows if entry.value is not None)
    return min(labels + 24, 0.4 * width), width - shown - 20


def _scale(
    forest: Forest, values: Sequence[Interval], start: float, end: float
) -> svg.Linear | svg.Log:
    if forest.log:
        return svg.log_around([b for v in values for b in (v.low, v.high)], start, end)
    low = min(floor(10 * min(v.low for v in values)) / 10, 0.6)
    return svg.Linear(low, 1.0, start, end)


def _draw_line(entry: Line, scale: svg.Linear | svg.Log, y: float, width: float, wide: bool) -> str:
    room = scale.start - 14 if wide else width - svg.text_width(entry.shown) - 16
    parts = [
        svg.element("title", svg.clean(f"{entry.label}: {entry.shown}")),
        svg.label(svg.fitted(entry.label, room - 8), 8, y + 16),
        svg.label(entry.shown, width, y + 16, "figure" if entry.value else "muted", "end"),
    ]
    if entry.value is not None:
        middle, v = y + (12 if wide else 30), entry.value
        parts += [
            svg.line(scale(v.low), middle, scale(v.high), middle, f"span c{entry.series % 6}"),
            svg.symbol(entry.series, scale(v.value), middle, 4.5, hollow=entry.hollow),
        ]
    return svg.element("g", *parts)


def _ticks(scale: svg.Linear | svg.Log) -> list[float]:
    return scale.ticks(6 if scale.end - scale.start > 300 else 4)


def _grid(forest: Forest, scale: svg.Linear | svg.Log, top: float, bottom: float) -> str:
    lines = [svg.line(scale(tick), top, scale(tick), bottom, "grid") for tick in _ticks(scale)]
    if forest.reference is not None:
        x = scale(forest.reference)
        lines.append(svg.line(x, top, x, bottom, "limit pale"))
    return "".join(lines)


def _axis(forest: Forest, scale: svg.Linear | svg.Log, y: float) -> str:
    labels = [
        svg.label(f"{tick:,g}", scale(tick), y + 20, "muted", "middle") for tick in _ticks(scale)
    ]
    middle = (scale.start + scale.end) / 2
    return "".join(labels) + svg.label(forest.axis, middle, y + 38, "muted", "middle")
