"""The drawing of a front: each model a column of its tasks, the cheaper the farther left."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

from benchmarks.report import figures, svg
from benchmarks.report.front import Column, Front

ROW = 18  # of a line of text, in pixels
NO_AUROC = "a peer without AUROC: cost only"


def draw_front(front: Front, width: float) -> str:
    """The chart, `width` units wide; "" where nothing has both AUROC and cost."""
    if not any(column.x for column in front.columns):
        return ""
    layout = _Layout(front, width)
    body = [
        layout.legend(),
        layout.grid(),
        layout.limit(),
        *(layout.column(c) for c in sorted(front.columns, key=lambda c: c.role == "headline")),
        layout.names(),
        layout.marks(),
        svg.label(front.axis, (layout.left + layout.right) / 2, layout.foot, "muted", "middle"),
    ]
    return svg.drawing(front.name, width, layout.foot + 8, front.title, _says(front), *body)


def height(front: Front, width: float) -> float:
    """How high `draw_front` draws it."""
    return _Layout(front, width).foot + 8


class _Layout:
    """Where things are: legend, names, plot, marks, and the axis's title, from the top down."""

    def __init__(self, front: Front, width: float) -> None:
        self.front, self.width = front, width
        self.left = 40.0
        self.absent = [c for c in front.columns if not c.x]
        self.gutter = (70.0 if width > 400 else 54.0) * len(self.absent)
        self.right = width - 12 - self.gutter
        self.x = svg.log_around(front.xs, self.left, self.right)
        said = [*front.series, *([NO_AUROC] if front.marks else [])]
        self.keys = svg.flow([svg.text_width(s) + 18 for s in said], width - 8)
        self.name_tags = self._tags([self.at(c) for c in front.columns], self.column_names())
        self.mark_tags = self._tags([self.x(m.x) for m in front.marks], self.mark_names())
        legend = ROW * (1 + max((row for _, row in self.keys), default=0)) + 8
        self.top = legend + ROW * _depth(self.name_tags) + 10
        self.bottom = self.top + (250 if width > 600 else 210)
        rug = ROW * _depth(self.mark_tags) + 8 if front.marks else 0
        self.foot = self.bottom + 22 + rug + 22
        lows = [i.low for c in front.columns for i in c.auroc.values()]
        self.y = svg.Linear(min(0.6, floor(10 * min(lows)) / 10), 1.0, self.bottom, self.top)

    def _tags(self, xs: list[float], names: list[str]) -> list[svg.Tag]:
        return svg.tags(xs, [svg.text_width(n) for n in names], self.left, self.width - 4)

    def column_names(self) -> list[str]:
        names = [c.name if self.width > 600 else c.short for c in self.front.columns]
        return [svg.fitted(name, self.width - 60) for name in names]

    def mark_names(self) -> list[str]:
        return [svg.fitted(m.name, self.width - 60) for m in self.front.marks]

    def at(self, column: Column) -> float:
        if column.x:
            return self.x(column.x)
        share = (self.absent.index(column) + 0.5) / len(self.absent)
        return self.right + 6 + share * self.gutter

    def step(self, column: Column) -> float:
        """Pixels between the tasks of a column: fewer where another column is near."""
        here = self.at(column)
        others = (abs(self.at(c) - here) for c in self.front.columns if c is not column)
        return min(7.0, max(2.5, min(others, default=99.0) / (len(self.front.series) + 0.5)))

    def legend(self) -> str:
        parts = []
        for i, (x, row) in enumerate(self.keys):
            y = 14 + row * ROW
            if i < len(self.front.series):
                parts += [
                    svg.symbol(i, 6 + x, y - 4),
                    svg.label(self.front.series[i], 16 + x, y),
                ]
            else:
                parts += [
                    svg.line(6 + x, y - 9, 6 + x, y, "rug"),
                    svg.label(NO_AUROC, 16 + x, y, "muted"),
                ]
        return "".join(parts)

    def grid(self) -> str:
        parts = [svg.label("AUROC", 0, self.top - 14, "muted")]
        for tick in self.y.ticks():
            y = self.y(tick)
            parts.append(svg.line(self.left, y, self.width - 12, y, "grid"))
            parts.append(svg.label(f"{tick:.1f}", self.left - 8, y + 4, "muted", "end"))
        for tick in self.x.ticks(7 if self.width > 600 else 4):
            x = self.x(tick)
            parts.append(svg.line(x, self.bottom, x, self.bottom + 4, "axis"))
            parts.append(svg.label(_axis_number(tick), x, self.bottom + 17, "muted", "middle"))
        parts.append(svg.line(self.left, self.bottom, self.right, self.bottom, "axis"))
        if self.absent:
            parts.append(svg.line(self.right + 6, self.top, self.right + 6, self.bottom, "leader"))
            middle = self.right + 6 + self.gutter / 2
            parts.append(svg.label(self.front.absent, middle, self.bottom + 17, "muted", "middle"))
        return "".join(parts)

    def limit(self) -> str:
        if self.front.limit is None:
            return ""
        value, name = self.front.limit
        x = self.x(value)
        return svg.line(x, self.top, x, self.bottom, "limit") + svg.label(
            f"{name} {figures.number(value)} ms", x - 6, self.bottom - 8, "muted", "end"
        )

    def column(self, column: Column) -> str:
        parts = []
        step = self.step(column)
        for i, series in enumerate(self.front.series):
            value = column.auroc.get(series)
            if value is None:
                continue
            x = self.at(column) + step * (i - (len(self.front.series) - 1) / 2)
            says = f"{column.name}, {series}: {figures.share_interval(value)}"
            parts.append(
                svg.element(
                    "g",
                    svg.element("title", svg.clean(says)),
                    ""
                    if column.role == "variant"
                    else svg.line(x, self.y(value.low), x, self.y(value.high), f"span c{i}"),
                    svg.symbol(i, x, self.y(value.value), 4.5, hollow=column.role != "headline"),
                )
            )
        return "".join(parts)

    def names(self) -> str:
        leaders, texts = [], []
        columns = zip(self.front.columns, self.column_names(), self.name_tags, strict=True)
        for column, name, tag in columns:
            y = self.top - 10 - tag.lane * ROW
            high = max(i.high for i in column.auroc.values())
            look = "strong halo" if column.role == "headline" else "halo"
            leaders.append(svg.line(tag.x, y - 8, tag.x, self.y(high) - 5, "leader"))
            texts.append(svg.label(name, tag.text_x, y, look, tag.anchor))
        return "".join(leaders + texts)

    def marks(self) -> str:
        top = self.bottom + 26
        leaders, texts = [], []
        marks = zip(self.front.marks, self.mark_names(), self.mark_tags, strict=True)
        for mark, name, tag in marks:
            y = top + 14 + tag.lane * ROW
            leaders.append(svg.line(tag.x, top, tag.x, y, "leader"))
            leaders.append(svg.line(tag.x, self.bottom - 7, tag.x, self.bottom + 1, "rug"))
            says = svg.element("title", svg.clean(f"{mark.name}: {figures.number(mark.x)}"))
            text = svg.label(name, tag.text_x, y, "muted halo", tag.anchor)
            texts.append(svg.element("g", says, text))
        return "".join(leaders + texts)


def _depth(placed: Sequence[svg.Tag]) -> int:
    return 1 + max((tag.lane for tag in placed), default=-1)


def _axis_number(value: float) -> str:
    for unit, scale in (("M", 1e6), ("k", 1e3)):
        if value >= 10 * scale or (value >= scale and unit == "M"):
            return f"{value / scale:,g} {unit}"
    return f"{value:,g}"


def _says(front: Front) -> str:
    models = "; ".join(
        f"{c.name}: " + ", ".join(f"{k} {figures.share(v.value)}" for k, v in c.auroc.items())
        for c in front.columns
    )
    return f"{models}. Intervals of 95 %. Horizontal axis: {front.axis}."
