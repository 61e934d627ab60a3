"""A record's latency in lines that a terminal of any width can hold."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.distribution import least_samples
from benchmarks.record import Distribution, Flow, Interval, Latency, Record


def lines(record: Record) -> Iterator[str]:
    """What was measured, variant by variant."""
    machine = record.machine
    yield f"{machine.cpu or machine.architecture}, {machine.threads} threads, {machine.system}"
    if record.busy:
        yield "NOT COMPARABLE with other runs: " + "; ".join(record.busy)
    if not record.complete:
        yield "PARTIAL: interrupted, and what had been measured was kept"
    for run in record.runs:
        who = run.identity
        yield ""
        yield f"{who.bundle} {who.variant} ({who.precision}) on {who.provider}, {who.runtime}"
        if run.latency is not None:
            yield from (f"  {label:<18}{text}" for label, text in _parts(run.latency))


def _parts(latency: Latency) -> Iterator[tuple[str, str]]:
    cold = latency.cold
    if cold is not None:
        yield (
            "cold start",
            f"{_ms(cold.process_ms)}: import {_ms(cold.import_ms)}, load {_ms(cold.load_ms)},"
            f" first event {_ms(cold.first_event_ms)}; peak {cold.peak_rss_mib:.0f} MiB"
            f" ({cold.runs} processes)",
        )
    for name, flow in (("flat out", latency.flat), ("paced", latency.paced)):
        if flow is not None:
            yield from _flow(name, flow)
    if latency.front_end_share is not None:
        yield "front end", f"{100 * latency.front_end_share:.0f} % of the network"
    for onset in latency.onset:
        audio = "" if onset.audio_ms is None else f": {_ms(onset.audio_ms.p50)} of sound (median)"
        yield "onset to event", f"{onset.finding}{audio}; {onset.detected} of {onset.trials} told"
    full = latency.capacity
    if full is not None:
        more = " (not exhausted)" if full.sessions == full.limit else ""
        yield "sessions at once", f"{full.sessions}{more}, one thread, pacing simulated"


def _flow(name: str, flow: Flow) -> Iterator[tuple[str, str]]:
    yield f"{name}, a hop", _quantiles(flow.hop_ms)
    medians = ", ".join(f"{stage} {_ms(part.p50)}" for stage, part in flow.stages.items())
    yield "  its stages", f"{medians} (medians)"
    cpu = flow.cpu_ms_per_second
    yield (
        "  cost",
        f"{cpu.value:.2f} [{cpu.low:.2f}, {cpu.high:.2f}] ms CPU per second of sound; real-time"
        f" factor {flow.realtime_factor:.5f}",
    )
    growth = flow.rss_slope_mib_per_hour
    grown = "" if growth is None else f"; {_plain(growth)} MiB/h"
    slower = flow.hop_slope_ms_per_hour
    grown += "" if slower is None else f"; hops {_plain(slower)} ms/h"
    yield "  memory", f"{flow.rss_start_mib:.1f} to {flow.rss_end_mib:.1f} MiB{grown}"
    if flow.wakeup_ms is not None:
        yield "  woken late by", _quantiles(flow.wakeup_ms)
        yield (
            "  deadlines",
            f"{flow.deadline_misses} of {flow.hops} missed; largest lag {flow.largest_lag_ms:.1f}"
            f" ms; busy {100 * (flow.duty_cycle or 0):.2f} % of the time",
        )


def _quantiles(found: Distribution) -> str:
    parts = [f"p50 {_ms(found.p50)}"]
    for q, value in ((0.90, found.p90), (0.95, found.p95), (0.99, found.p99)):
        name = f"p{round(100 * q)}"
        if value is None:
            parts.append(f"{name} withheld ({found.samples} of {least_samples(q)} samples)")
        else:
            parts.append(f"{name} {_ms(value)}")
    return ", ".join(parts) + f", max {found.largest:.3g} ms"


def _ms(found: Interval) -> str:
    return f"{_plain(found)} ms"


def _plain(found: Interval) -> str:
    digits = 0 if abs(found.value) >= 100 else 2
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"
