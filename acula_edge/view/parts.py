"""Parts that a frame is built from: styles, bars, sparklines and text of an exact width."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby

from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style

from acula_edge.view.words import safe

Line = list[Segment]

METER_FLOOR_DB = -60.0
STEPS = " ▁▂▃▄▅▆▇█"
PLAIN = Style.null()
BOLD = Style(bold=True)
DIM = Style(dim=True)
BLUE = Style(color="#3b82f6")
AMBER = Style(color="#d97706", bold=True)
CHIP = Style(color="#ffffff", bgcolor="#b45309", bold=True)


def meter_share(level: float) -> float:
    """How much of the level meter a level in dBFS fills, in [0, 1]."""
    return min(1.0, max(0.0, 1.0 - level / METER_FLOOR_DB))


def bar(share: float, width: int, style: Style, tick: float = math.nan) -> Line:
    """A bar of `width` cells filled to `share` of it, with a tick across it."""
    halves = round(min(1.0, max(0.0, share)) * width * 2)
    cells = [(char, style) for char in "━" * (halves // 2) + "╸" * (halves % 2)]
    cells += [("─", DIM)] * (width - len(cells))
    if math.isfinite(tick):
        cells[min(width - 1, max(0, int(tick * width)))] = ("┃", BOLD)
    runs = groupby(cells, key=lambda cell: cell[1])
    return [Segment("".join(char for char, _ in run), look) for look, run in runs]


def sparkline(history: Iterable[tuple[int, float]], width: int) -> str:
    """The newest scores of (second, score), one cell each, flush right in `width` cells."""
    steps = [STEPS[1 + int(min(0.999, max(0.0, value)) * 8)] for _, value in history]
    return "".join(steps[-width:]).rjust(width)


def fit(text: str, width: int) -> str:
    """Exactly `width` cells, cut with an ellipsis."""
    text, width = safe(text), max(0, width)
    cut = set_cell_size(text, width)
    return (
        cut if cut.rstrip() == text.rstrip() or width < 2 else set_cell_size(cut, width - 1) + "…"
    )
