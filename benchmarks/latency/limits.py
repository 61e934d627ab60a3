"""Limits for continuous integration: what is broken, in one sentence each."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.distribution import least_samples
from benchmarks.record import Flow, Interval, Latency, Run

EXIT_CODE = 7
"""Of its own: 1 to 6 are those of `acula_edge.errors`."""
MB_PER_MIB = 2**20 / 1e6


@dataclass(frozen=True)
class Limits:
    """Largest allowed figures of a variant; None allows all.

    Quantiles are those of `hop_ms`, paced where a paced run was made, else flat out. `rss_mb`
    (10^6 bytes) holds the peak of a fresh process and what the paced run added to memory; in a
    soak, memory at its end.
    `duty` is a share, 0 to 1.
    """

    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    rss_mb: float | None = None
    misses: int | None = None
    duty: float | None = None


def broken(limits: Limits, run: Run) -> tuple[str, ...]:
    """A sentence for each limit that the run breaks, or that cannot be told to hold."""
    latency, name = run.latency, run.identity.variant
    if latency is None:
        return (f"{name}: nothing was measured, so no limit holds",) if limits != Limits() else ()
    paced = latency.paced
    flow = latency.flat if paced is None else paced
    misses = None if paced is None else paced.deadline_misses
    duty = None if paced is None else paced.duty_cycle
    found = [
        *_quantiles(limits, flow),
        _over(limits.rss_mb, _rss_mb(latency), "memory", "MB"),
        _over(limits.misses, misses, "misses", ""),
        _over(limits.duty, duty, "duty cycle", ""),
    ]
    return tuple(f"{name}: {sentence}" for sentence in found if sentence)


def _quantiles(limits: Limits, flow: Flow | None) -> list[str]:
    how = "paced" if flow is not None and flow.deadline_misses is not None else "flat out"
    wanted = {0.5: limits.p50_ms, 0.95: limits.p95_ms, 0.99: limits.p99_ms}
    found = []
    for q, limit in wanted.items():
        if limit is None:
            continue
        label = f"p{round(100 * q)}"
        if flow is None:
            found.append(f"{label} was not measured, so its limit of {limit:g} ms cannot hold")
            continue
        told: dict[float, Interval | None] = {
            0.5: flow.hop_ms.p50,
            0.95: flow.hop_ms.p95,
            0.99: flow.hop_ms.p99,
        }
        interval = told[q]
        if interval is None:
            found.append(
                f"{label} {how} is withheld, so its limit of {limit:g} ms cannot hold: it needs"
                f" {least_samples(q)} hops, {flow.hop_ms.samples} were measured"
            )
        elif interval.value > limit:
            found.append(
                f"{label} {how} is {interval.value:.3g} ms [{interval.low:.3g},"
                f" {interval.high:.3g}], over its limit of {limit:g} ms"
            )
    return found


def _over(limit: float | None, value: float | None, what: str, unit: str) -> str:
    if limit is None:
        return ""
    unit = f" {unit}" if unit else ""
    if value is None:
        return f"{what}: not measured, so the limit of {limit:g}{unit} cannot hold"
    return f"{what}: {value:.4g}{unit}, over the limit of {limit:g}{unit}" if value > limit else ""


def _rss_mb(latency: Latency) -> float | None:
    flow = latency.flat if latency.paced is None else latency.paced
    if latency.cold is not None:
        grown = 0.0 if flow is None else max(0.0, flow.rss_end_mib - flow.rss_start_mib)
        return (latency.cold.peak_rss_mib + grown) * MB_PER_MIB
    return None if flow is None else flow.rss_end_mib * MB_PER_MIB
