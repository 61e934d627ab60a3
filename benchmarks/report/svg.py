"""Drawing in SVG: escaped elements, scales, ticks, and labels that do not overlap."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

# Widths of characters in ems, as in DejaVu Sans, which is wide: in most faces labels keep apart.
_NARROW, _WIDE = frozenset("fijlrtI.,:;'|!()[] -"), frozenset("mwMW%×→←")
_WIDTHS = {"narrow": 0.37, "wide": 0.93, "capital": 0.7, "other": 0.62}
NAMESPACE = "http://www.w3.org/2000/svg"
# What XML 1.0 cannot hold even escaped; a stand-alone picture with one would not open.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def element(name: str, *children: str, **attributes: str | float | None) -> str:
    """An element; `class_` is `class`, and `_` in a name is `-`. Children are taken as they are."""
    parts = [name]
    for key, value in attributes.items():
        if value is not None:
            shown = value if isinstance(value, str) else _short(value)
            parts.append(f'{key.rstrip("_").replace("_", "-")}="{clean(shown)}"')
    head = " ".join(parts)
    return f"<{head}>{''.join(children)}</{name}>" if children else f"<{head}/>"


def clean(text: str) -> str:
    """`text` escaped for XML and HTML, without characters that XML refuses."""
    return escape(_UNPRINTABLE.sub("\ufffd", text))


def label(content: str, x: float, y: float, look: str = "", anchor: str | None = None) -> str:
    """A line of text with its baseline at (x, y); `look` is a class."""
    return element("text", clean(content), x=x, y=y, class_=look or None, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, look: str) -> str:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=look)


def drawing(name: str, width: float, height: float, title: str, says: str, *body: str) -> str:
    """A picture that a screen reader can read: `title`, and in `says` what it shows."""
    base = re.sub("[^A-Za-z0-9]+", "-", f"{name}-{width:.0f}")
    return element(
        "svg",
        element("title", clean(title), id=f"{base}-title"),
        element("desc", clean(says), id=f"{base}-desc"),
        *body,
        xmlns=NAMESPACE,
        viewBox=f"0 0 {_short(width)} {_short(height)}",
        class_="chart",
        role="img",
        aria_labelledby=f"{base}-title {base}-desc",
    )


def text_width(content: str, size: float = 12) -> float:
    """About how wide a line of text is drawn."""
    return size * sum(_WIDTHS[_kind(c)] for c in content)


def fitted(content: str, room: float, size: float = 12) -> str:
    """`content`, cut with an ellipsis where it is wider than `room`."""
    if text_width(content, size) <= room:
        return content
    while len(content) > 1 and text_width(content + "…", size) > room:
        content = content[:-1]
    return content.rstrip() + "…"


SHAPES = ("circle", "square", "triangle", "diamond", "cross", "bar")


def symbol(series: int, x: float, y: float, size: float = 5, *, hollow: bool = False) -> str:
    """The mark of the series: a shape and a colour, so that either alone tells it."""
    shape = SHAPES[series % len(SHAPES)]
    look = f"mark c{series % len(SHAPES)}" + (" hollow" if hollow else "")
    if shape == "circle":
        return element("circle", cx=x, cy=y, r=size, class_=look)
    corners = {
        "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        "triangle": ((0, -1.15), (1.1, 0.85), (-1.1, 0.85)),
        "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
        "cross": (
            *((-0.4, -1.1), (0.4, -1.1), (0.4, -0.4), (1.1, -0.4), (1.1, 0.4), (0.4, 0.4)),
            *((0.4, 1.1), (-0.4, 1.1), (-0.4, 0.4), (-1.1, 0.4), (-1.1, -0.4), (-0.4, -0.4)),
        ),
        "bar": ((-0.5, -1.2), (0.5, -1.2), (0.5, 1.2), (-0.5, 1.2)),
    }[shape]
    points = " ".join(f"{_short(x + size * dx)},{_short(y + size * dy)}" for dx, dy in corners)
    return element("polygon", points=points, class_=look)


@dataclass(frozen=True)
class Linear:
    """Values `low` to `high` on pixels `start` to `end`; what lies outside is drawn at the end."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        part = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values inside the scale, `most` at most."""
        step = _round_step((self.high - self.low) / max(most - 1, 1))
        first = ceil(self.low / step - 1e-9)
        last = floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


@dataclass(frozen=True)
class Log:
    """A logarithmic scale; `low` and `high` are above nought."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        inside = min(max(value, self.low), self.high)
        part = log10(inside / self.low) / log10(self.high / self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Powers of ten inside the scale; with 2 and 5 of each, or spread, as there is room."""
        decades = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
        tens = [10.0**d for d in decades]
        fine = [t * m for t in tens for m in (1, 2, 5)]
        inside = [[t for t in ts if self.low <= t <= self.high * 1.0001] for ts in (fine, tens)]
        if len(inside[0]) <= most:
            return inside[0]
        return inside[1][:: ceil(len(inside[1]) / most)]


def log_around(values: Sequence[float], start: float, end: float, spare: float = 0.1) -> Log:
    """A logarithmic scale that holds the values, with a share `spare` of a decade or span free."""
    positive = [v for v in values if v > 0] or [1.0]
    low, high = log10(min(positive)), log10(max(positive))
    margin = max(0.15, spare * (high - low))
    return Log(10 ** (low - margin), 10 ** (high + margin), start, end)


@dataclass(frozen=True)
class Tag:
    """A label beside the foot of its leader: where its text begins or ends, and its lane."""

    x: float
    text_x: float
    anchor: str
    lane: int
    span: tuple[float, float]

    def covers(self, other: Tag) -> bool:
        """Whether the texts overlap."""
        same = self.lane == other.lane
        return same and self.span[0] < other.span[1] and other.span[0] < self.span[1]

    def crosses(self, other: Tag) -> bool:
        """Whether the leader of the farther crosses the nearer's text."""
        near, far = sorted((self, other), key=lambda tag: tag.lane)
        return near.lane < far.lane and near.span[0] - 2 < far.x < near.span[1] + 2


def tags(xs: Sequence[float], widths: Sequence[float], left: float, right: float) -> list[Tag]:
    """Labels to the right of their leaders, in the nearest lane where they meet no other.

    One that would pass the right edge goes to the left of its leader. Texts never overlap; a
    leader passes behind a text only where there is no other way.
    """
    placed: dict[int, Tag] = {}
    for i in sorted(range(len(xs)), key=lambda i: -xs[i]):
        choices = [_tag(xs[i], widths[i], left, right, lane) for lane in range(len(xs))]
        free = [t for t in choices if not any(t.covers(other) for other in placed.values())]
        clear = (t for t in free if not any(t.crosses(other) for other in placed.values()))
        placed[i] = next(clear, free[0])
    return [placed[i] for i in range(len(xs))]


def _tag(x: float, width: float, left: float, right: float, lane: int) -> Tag:
    turned = x + 4 + width > right and x - 4 - width >= left
    text_x = x - 4 if turned else max(left, min(x + 4, right - width))
    start = text_x - width if turned else text_x
    return Tag(x, text_x, "end" if turned else "start", lane, (start - 4, start + width + 4))


def flow(widths: Sequence[float], room: float, gap: float = 16) -> list[tuple[float, int]]:
    """Left edge and row of each item, set one after another as words in a paragraph."""
    placed: list[tuple[float, int]] = []
    x, row = 0.0, 0
    for width in widths:
        if x > 0 and x + width > room:
            x, row = 0.0, row + 1
        placed.append((x, row))
        x += width + gap
    return placed


def _kind(character: str) -> str:
    if character in _NARROW:
        return "narrow"
    if character in _WIDE:
        return "wide"
    return "capital" if character.isupper() else "other"


def _round_step(rough: float) -> float:
    power = 10.0 ** floor(log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if rough <= m * power * 1.0001)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
