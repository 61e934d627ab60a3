"""Shapes of what was measured: distribution of a hop's time, its stages, reliability."""

from __future__ import annotations

from benchmarks.record import Flow, Group, Record, Run
from benchmarks.report import figures, select, svg

STAGES = ("resample", "gate", "front end", "network", "decision")
BAR = 22


def draw_ecdf(run: Run, width: float) -> str:
    """Share of hops answered within a time, flat out and paced, up to the deadline."""
    flows = select.flows(run)
    curves = [(name, flow.hop_ms.curve) for name, flow in flows if len(flow.hop_ms.curve) > 1]
    if not curves:
        return ""
    deadline, height = select.hop_ms(run), 240.0
    values = [v for _, curve in curves for v in curve]
    x = svg.log_around([*values, deadline], 44, width - 12, 0.05)
    y = svg.Linear(0, 1, height - 44, 34)
    body = [_percent_grid(y, x, width), svg.line(x.start, y.start, x.end, y.start, "axis")]
    for i, (name, curve) in enumerate(curves):
        points = " ".join(f"{x(v):.1f},{y(k / (len(curve) - 1)):.1f}" for k, v in enumerate(curve))
        dash = " dashed" if i else ""
        body += [
            svg.element("polyline", points=points, class_=f"curve c{i}{dash}"),
            svg.line(44 + 120 * i, 12, 68 + 120 * i, 12, f"curve c{i}{dash}"),
            svg.label(name, 74 + 120 * i, 16),
        ]
    at = x(deadline)
    body += [
        svg.line(at, y.end, at, y.start, "limit"),
        svg.label(f"deadline {figures.number(deadline)} ms", at - 6, y.start - 8, "muted", "end"),
        svg.label(
            "wall time of a hop, ms (log)", (x.start + x.end) / 2, height - 6, "muted", "middle"
        ),
    ]
    says = "; ".join(
        f"{name}: half within {figures.number(flow.hop_ms.p50.value)} ms, all within"
        f" {figures.number(flow.hop_ms.largest)} ms"
        for name, flow in flows
    )
    title = f"Hop time, {run.identity.variant}"
    return svg.drawing(f"ecdf-{run.identity.variant}", width, height, title, says, *body)


def stage_means(run: Run, flow: Flow) -> dict[str, float]:
    """Mean ms of each stage, the front end apart from the network where its share is known."""
    means = {name: stage.mean for name, stage in flow.stages.items()}
    portion = run.latency.front_end_share if run.latency else None
    if portion is not None and "network" in means:
        means["front end"] = portion * means["network"]
        means["network"] -= means["front end"]
    order = [name for name in STAGES if name in means]
    return {name: means[name] for name in (*order, *(n for n in means if n not in order))}


def draw_stages(record: Record, width: float) -> str:
    """Mean time of each stage of a hop, end to end; one bar to a run."""
    bars = [
        (f"{run.identity.variant}, {name}", stage_means(run, flow))
        for run in record.runs
        for name, flow in select.flows(run)
        if flow.stages
    ]
    if not bars:
        return ""
    names = list(dict.fromkeys(name for _, means in bars for name in means))
    longest = max(sum(means.values()) for _, means in bars) or 1.0
    x = svg.Linear(0, longest, 0, width - 2)
    keys = svg.flow([svg.text_width(name) + 20 for name in names], width)
    y = 20.0 * (1 + keys[-1][1]) + 16
    body = [
        svg.element("rect", x=left, y=20 * row + 4, width=12, height=12, rx=2, class_=_fill(i))
        + svg.label(names[i], left + 18, 20 * row + 14)
        for i, (left, row) in enumerate(keys)
    ]
    for label, means in bars:
        total = f"{figures.number(sum(means.values()))} ms"
        body += [
            svg.label(svg.fitted(label, width - 90), 0, y + 12),
            svg.label(total, width, y + 12, "figure strong", "end"),
            *_bar(means, names, x, y + 18),
        ]
        y += BAR + 32
    says = "; ".join(
        f"{label}: " + ", ".join(f"{k} {figures.number(v)} ms" for k, v in means.items())
        for label, means in bars
    )
    return svg.drawing("stages", width, y, "Stages of a hop, mean", says, *body)


def draw_reliability(name: str, group: Group, series: int, width: float) -> str:
    """Share of positives against mean probability; the area of a mark is its recordings."""
    points = [p for p in group.reliability if len(p) == 3 and p[2] > 0]
    if not points:
        return ""
    x = svg.Linear(0, 1, 44, width - 12)
    y = svg.Linear(0, 1, width - 52, 14)
    most = max(p[2] for p in points)
    body = [_percent_grid(y, x, width), svg.line(x(0), y(0), x(1), y(1), "limit pale")]
    for tick in (0.0, 0.5, 1.0):
        anchor = "end" if tick == 1 else "middle"
        body.append(svg.label(f"{100 * tick:.0f} %", x(tick), y.start + 18, "muted", anchor))
    path = " ".join(f"{x(p):.1f},{y(s):.1f}" for p, s, _ in points)
    body.append(svg.element("polyline", points=path, class_=f"curve pale c{series % 6}"))
    for mean, positive, recordings in points:
        says = f"{recordings:.0f} recordings: said {mean:.2f}, were {positive:.2f}"
        mark = svg.symbol(series, x(mean), y(positive), 3 + 5 * (recordings / most) ** 0.5)
        body.append(svg.element("g", svg.element("title", svg.clean(says)), mark))
    middle = (x.start + x.end) / 2
    body.append(svg.label("mean probability", middle, width - 16, "muted", "middle"))
    title = f"Reliability, {group.finding}, {group.corpus}"
    says = "; ".join(f"said {p[0]:.2f}, were {p[1]:.2f} of {p[2]:.0f}" for p in points)
    return svg.drawing(name, width, width - 8, title, says, *body)


def _bar(means: dict[str, float], names: list[str], x: svg.Linear, y: float) -> list[str]:
    parts, start = [], 0.0
    for name, mean in means.items():
        left, right = x(start), x(start + mean)
        shown = figures.number(mean)
        says, fits = svg.clean(f"{name}: {shown} ms"), right - left > svg.text_width(shown) + 6
        parts.append(
            svg.element(
                "g",
                svg.element("title", says),
                svg.element(
                    "rect",
                    x=left,
                    y=y,
                    width=max(right - left - 1.5, 0.5),
                    height=BAR,
                    rx=2,
                    class_=_fill(names.index(name)),
                ),
                svg.label(shown, (left + right) / 2, y + 15, "onfill", "middle") if fits else "",
            )
        )
        start += mean
    return parts


def _fill(i: int) -> str:
    return f"area c{(2, 4, 3, 0, 1, 5)[i % 6]}"


def _percent_grid(y: svg.Linear, x: svg.Linear | svg.Log, width: float) -> str:
    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(svg.line(x.start, y(tick), x.end, y(tick), "grid"))
        parts.append(svg.label(f"{100 * tick:.0f} %", x.start - 8, y(tick) + 4, "muted", "end"))
    if isinstance(x, svg.Log):
        for tick in x.ticks(7 if width > 400 else 5):
            parts.append(svg.label(f"{tick:g}", x(tick), y.start + 17, "muted", "middle"))
    return "".join(parts)
