"""Reliability diagrams as small SVG files, drawn by hand: they must fit into a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from acula_edge.bundle import Manifest

WIDTH, HEIGHT = 340, 324
LEFT, TOP, SIDE = 60, 34, 240  # of the square that is the unit square
KEY = 68  # rows of the key, below the square
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
# Both colours and the greys keep their contrast on a light page and on a dark one.
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#57606a}"
    ".frame{fill:none;stroke:#8c959f}.grid{stroke:#8c959f;stroke-opacity:.3}"
    ".ideal{stroke:#8c959f;stroke-width:1.5;stroke-dasharray:4 4}"
    ".s0,.s1{fill:none;stroke-width:2}.s0{stroke:#bc6c00}.s1{stroke:#0969da}"
    ".p0{fill:none;stroke:#bc6c00;stroke-width:2}.p1{fill:#0969da}"
    "@media(prefers-color-scheme:dark){text{fill:#adbac7}.s0,.p0{stroke:#e0a030}"
    ".s1{stroke:#539bf5}.p1{fill:#539bf5}}"
)
SERIES = {"validation": "validation patients, left out", "test": "test patients"}


def reliability_files(manifest: Manifest, variant: str) -> dict[str, bytes]:
    """`reliability-<finding>.svg` of each finding that has bins in the manifest's metrics."""
    files = {}
    for spec in manifest.findings:
        bins = {
            "validation": manifest.metrics.get("validation", {}).get(spec.name, {}),
            "test": manifest.metrics.get(variant, {}).get(spec.name, {}),
        }
        series = {
            SERIES[name]: found["reliability"]
            for name, found in bins.items()
            if found.get("reliability")
        }
        if series:
            files[f"reliability-{spec.name}.svg"] = reliability_svg(spec.name, series).encode()
    return files


def reliability_svg(title: str, series: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """A reliability diagram: share of positives over mean probability, per bin.

    `series` maps a label to the rows of `figures.reliability`, [mean probability, share of
    positives, recordings]; two at most. Points on the dashed line are calibrated.

    Raises:
        ValueError: no series or more than two, or a row outside the unit square.
    """
    if not 1 <= len(series) <= 2:
        raise ValueError("a reliability diagram shows one series or two")
    if any(not (0 <= x <= 1 and 0 <= y <= 1) for rows in series.values() for x, y, _ in rows):
        raise ValueError("a bin lies outside the unit square")
    style = 0 if len(series) == 2 else 1
    parts = [_frame(title)]
    for index, (label, rows) in enumerate(series.items()):
        parts += [_line(rows, style + index), _key(label, rows, index, style + index)]
    spoken = escape(f"Reliability of {title}", {'"': "&quot;"})
    height = HEIGHT + 18 * len(series)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" role="img" aria-label="{spoken}">'
        f"<style>{STYLE}</style>{''.join(parts)}</svg>\n"
    )


def _frame(title: str) -> str:
    grid = "".join(
        f'<path class="grid" d="M{_x(t)} {TOP}V{TOP + SIDE}M{LEFT} {_y(t)}H{LEFT + SIDE}"/>'
        f'<text x="{_x(t)}" y="{TOP + SIDE + 16}" text-anchor="middle">{t:g}</text>'
        f'<text x="{LEFT - 6}" y="{_y(t) + 4}" text-anchor="end">{t:g}</text>'
        for t in TICKS
    )
    middle = TOP + SIDE / 2
    return (
        f'<text x="{LEFT}" y="20" font-weight="600">{escape(title)}</text>{grid}'
        f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}"/>'
        f'<path class="ideal" d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}"/>'
        f'<text x="{LEFT + SIDE / 2:g}" y="{TOP + SIDE + 34}" text-anchor="middle">'
        f'mean probability</text><text x="12" y="{middle:g}" text-anchor="middle"'
        f' transform="rotate(-90 12 {middle:g})">share with the finding</text>'
    )


def _line(rows: Sequence[Sequence[float]], style: int) -> str:
    points = [(_x(x), _y(y)) for x, y, _ in rows]
    path = "L".join(f"{x} {y}" for x, y in points)
    dots = "".join(f'<circle class="p{style}" cx="{x}" cy="{y}" r="4"/>' for x, y in points)
    return f'<path class="s{style}" d="M{path}"/>{dots}'


def _key(label: str, rows: Sequence[Sequence[float]], index: int, style: int) -> str:
    counts = sorted({round(count) for *_, count in rows})
    each = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    y = TOP + SIDE + KEY - 12 + 18 * index
    return (
        f'<circle class="p{style}" cx="{LEFT - 36}" cy="{y - 4}" r="4"/>'
        f'<text x="{LEFT - 26}" y="{y}">{escape(label)}, {each} a point</text>'
    )


def _x(share: float) -> float:
    return round(LEFT + SIDE * share, 1)


def _y(share: float) -> float:
    return round(TOP + SIDE * (1 - share), 1)
