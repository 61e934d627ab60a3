"""The report as one HTML page that needs nothing else: no script, no font, no network."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from acula_edge.errors import MissingDependencyError
from benchmarks.record import Group, Record
from benchmarks.report import (
    accuracy_tables,
    curves,
    figures,
    forest,
    front,
    front_chart,
    latency_tables,
    select,
    svg,
    tables,
    words,
)
from benchmarks.report.tables import Table

if TYPE_CHECKING:
    from jinja2 import Environment

WIDE, HALF, NARROW, THIRD, QUARTER = 920, 440, 330, 290, 215  # units of the charts; about pixels
PICTURE, MARGIN = 800.0, 20.0  # of the stand-alone picture
LONG = 28  # characters of a cell from which it may take several lines


@dataclass(frozen=True)
class Figure:
    """A chart drawn for a wide window and for a phone, and the table of its figures."""

    wide: str
    narrow: str
    title: str
    caption: str
    table: Table


def render_page(record: Record) -> str:
    """The page of a record: HTML5, readable without a script, in light and dark, and printed.

    Raises:
        MissingDependencyError: jinja2 is not installed.
    """
    return environment().get_template("page.html.j2").render(
        record=record,
        title=words.title(record),
        headline=words.headline(record),
        stamps=words.stamps(record),
        facts=words.facts(record),
        limits=words.limits(record),
        scored_how=words.scored_how(record),
        fronts=_fronts(record),
        accuracy=_accuracy(record),
        latency=_latency(record),
        peer_notes=tables.peer_note_table(record),
        peers=[t for t in (tables.peer_table(record), tables.missing_table(record)) if t.rows],
        microcontrollers=tables.microcontroller_table(record),
        identity=tables.identity_table(record),
        machine=tables.machine_table(record),
    )  # fmt: skip


def headline_svg(record: Record) -> str:
    """The chart of AUROC against CPU time as a picture by itself, on paper of its own.

    It follows the reader's light or dark theme; on any background it stays readable. "" where the
    record has no model with both.
    """
    made = front.cost_front(record)
    chart = front_chart.draw_front(made, PICTURE)
    if not chart:
        return ""
    height = front_chart.height(made, PICTURE) + 2 * MARGIN
    width = PICTURE + 2 * MARGIN
    paper = svg.element(
        "rect", x=0.5, y=0.5, width=width - 1, height=height - 1, rx=10,
        style="fill: var(--paper); stroke: var(--line)",
    )  # fmt: skip
    style = "".join(_source(name) for name in ("theme.css", "chart.css"))
    inside = svg.element("g", chart, transform=f"translate({MARGIN} {MARGIN})")
    return svg.element(
        "svg",
        svg.element("style", style),
        paper,
        inside.replace("<svg ", f'<svg width="{PICTURE}" height="{height - 2 * MARGIN:g}" ', 1),
        xmlns=svg.NAMESPACE,
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
    )


def environment() -> Environment:
    """The templates, with everything in them escaped that is not marked as our own."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415
        from markupsafe import Markup, escape  # noqa: PLC0415
    except ImportError:
        raise MissingDependencyError(
            "the report needs jinja2: pip install 'acula-edge[bench]'"
        ) from None
    made = Environment(
        loader=PackageLoader("benchmarks.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["drawn"] = Markup

    def cell(text: str) -> Markup:
        """A figure may break before its interval, and nowhere else; longer words flow."""
        parts = re.split(r"(?<=:) | (?=\[)", text) if len(text) < LONG or "[" in text else [text]
        if len(parts) == 1 and len(text) >= LONG:
            return escape(text)
        return Markup(" ").join(Markup('<span class="nb">{}</span>').format(p) for p in parts)

    made.filters["cell"] = cell
    made.filters["units"] = lambda text: text.replace(" ms", "\u00a0ms")
    return made


def figure(
    draw: Callable[[float], str], title: str, caption: str, table: Table, wide: float = HALF
) -> Figure | None:
    """A chart at two widths; None where there is nothing to draw."""
    drawn = draw(wide)
    return Figure(drawn, draw(NARROW), title, caption, table) if drawn else None


def _fronts(record: Record) -> dict[str, Any]:
    def chart(made: front.Front, caption: str, wide: float) -> Figure | None:
        table = tables.front_table(made)
        return figure(partial(front_chart.draw_front, made), made.title, caption, table, wide)

    students = front.student_front(record)
    family = figure(
        partial(front_chart.draw_front, students),
        students.title,
        "Mean AUROC over the tasks of its experiment, in float32; each size beside its control.",
        tables.student_table(record),
        THIRD,
    )  # fmt: skip
    thirds = (
        chart(
            front.latency_front(record),
            "Only what answers hop by hop has a p95; the original does not stream.",
            THIRD,
        ),
        chart(front.size_front(record), "Graphs as shipped; weights of the others.", THIRD),
        family,
    )
    return {
        "main": chart(
            front.cost_front(record),
            "Filled: the variant of the headline. Hollow: other variants and the original."
            " Up and to the left is better. Bars: 95 % intervals of AUROC.",
            WIDE,
        ),
        "thirds": [third for third in thirds if third],
    }


def _accuracy(record: Record) -> dict[str, Any]:
    variant = select.scored(record, select.headline_run(record))
    tasks = list(enumerate(select.tasks(record)))
    whole = forest.task_forest(record)
    parts = accuracy_tables.part_table(record)
    groups = [(i, select.whole(variant, task)) for i, task in tasks] if variant else []
    plots = (_reliability(i, group) for i, group in groups if group)
    charts = (
        figure(partial(forest.draw_forest, f), f.title, "", parts, THIRD)
        for f in forest.part_forests(record)
    )
    return {
        "forest": figure(
            partial(forest.draw_forest, whole),
            whole.title,
            "Filled: the variant of the headline. Intervals of 95 %, bootstrapped over patients.",
            accuracy_tables.ranking_table(record),
            WIDE,
        ),
        "tables": [
            table
            for table in (
                accuracy_tables.ranking_table(record),
                accuracy_tables.decision_table(record),
                accuracy_tables.difference_table(record),
            )
            if table.rows
        ],
        "parts": [chart for chart in charts if chart],
        "part_table": parts,
        "reliability": [plot for plot in plots if plot],
    }


def _reliability(series: int, group: Group) -> Figure | None:
    def draw(width: float) -> str:
        return curves.draw_reliability(f"reliability-{series}", group, series, width)

    title, caption = f"{group.finding}, {group.corpus}", f"ECE {figures.share_interval(group.ece)}"
    return figure(draw, title, caption, accuracy_tables.reliability_table(group), QUARTER)


def _latency(record: Record) -> dict[str, Any]:
    distributions = (
        figure(
            partial(curves.draw_ecdf, run),
            f"Time of a hop, {run.identity.variant}",
            "Share of hops answered within a time.",
            latency_tables.ecdf_table(run),
        )
        for run in record.runs
    )
    more = (
        *(latency_tables.flow_table(record), latency_tables.cold_table(record)),
        *(latency_tables.capacity_table(record), latency_tables.onset_table(record)),
        latency_tables.memory_table(record),
    )
    return {
        "ecdf": [chart for chart in distributions if chart],
        "hops": latency_tables.hop_table(record),
        "withheld": latency_tables.withheld(record),
        "stages": figure(
            partial(curves.draw_stages, record),
            "Stages of a hop",
            "Mean wall time; means add up, quantiles do not.",
            latency_tables.stage_mean_table(record),
            WIDE,
        ),
        "stage_table": latency_tables.stage_table(record),
        "more": [table for table in more if table.rows],
    }


def _source(name: str) -> str:
    made = environment()
    assert made.loader is not None
    return made.loader.get_source(made, name)[0]
