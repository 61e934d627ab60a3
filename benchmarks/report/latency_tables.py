"""Tables of latency: quantiles, stages, start, capacity, onsets, memory."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.distribution import least_samples
from benchmarks.record import Distribution, Flow, Latency, Record, Run
from benchmarks.report import curves, figures, select
from benchmarks.report.tables import Table

QUANTILES = ("samples", "mean", "p50", "p90", "p95", "p99", "largest")
SHARES = (0, 10, 25, 50, 75, 90, 95, 99, 100)  # of hops, in the table beside the curve


def hop_table(record: Record) -> Table:
    """Quantiles of a hop's wall time and of late wake-ups, in ms."""
    rows = []
    for name, flow in _flows(record):
        rows.append((name, *_quantiles(flow.hop_ms)))
        if flow.wakeup_ms is not None:
            rows.append((f"{name}: wake-up late by", *_quantiles(flow.wakeup_ms)))
    return Table("Wall time of a hop, ms", ("run", *QUANTILES), tuple(rows))


def flow_table(record: Record) -> Table:
    """What each run of sound cost, and whether it kept up."""
    rows = tuple(
        (
            name,
            f"{flow.seconds:,.0f} s",
            figures.interval(flow.cpu_ms_per_second, "ms"),
            figures.number(flow.realtime_factor),
            "–" if flow.duty_cycle is None else figures.percent(flow.duty_cycle),
            "–" if flow.deadline_misses is None else f"{flow.deadline_misses:,} of {flow.hops:,}",
            "–" if flow.largest_lag_ms is None else f"{figures.number(flow.largest_lag_ms)} ms",
        )
        for name, flow in _flows(record)
    )
    header = (
        *("run", "sound", "CPU per second of audio", "real-time factor", "time busy"),
        *("deadlines missed", "largest lag"),
    )
    return Table("Cost and deadlines", header, rows)


def memory_table(record: Record) -> Table:
    """Resident memory over each run, and whether it or the hop's time grew."""
    rows = tuple(
        (
            name,
            f"{figures.number(flow.rss_start_mib)} MiB",
            f"{figures.number(flow.rss_end_mib)} MiB",
            figures.interval(flow.rss_slope_mib_per_hour, "MiB/h"),
            figures.interval(flow.hop_slope_ms_per_hour, "ms/h"),
        )
        for name, flow in _flows(record)
    )
    header = ("run", "at the start", "at the end", "slope of memory", "slope of a hop's time")
    return Table("Memory", header, rows)


def stage_table(record: Record) -> Table:
    """Quantiles of each stage of a hop, in ms."""
    rows = tuple(
        (f"{name}: {stage}", *_quantiles(times))
        for name, flow in _flows(record)
        for stage, times in flow.stages.items()
    )
    return Table("Stages of a hop, ms", ("run and stage", *QUANTILES), rows)


def stage_mean_table(record: Record) -> Table:
    """The means that the bars show, in ms."""
    rows = tuple(
        (f"{run.identity.variant}, {name}: {stage}", figures.number(mean))
        for run in record.runs
        for name, flow in select.flows(run)
        for stage, mean in curves.stage_means(run, flow).items()
    )
    return Table("Mean of each stage", ("run and stage", "ms"), rows)


def cold_table(record: Record) -> Table:
    """Fresh processes, to the first event."""
    rows = tuple(
        (
            name,
            figures.count(cold.runs),
            figures.interval(cold.import_ms),
            figures.interval(cold.load_ms),
            figures.interval(cold.first_event_ms),
            figures.interval(cold.process_ms),
            f"{figures.number(cold.peak_rss_mib)} MiB",
        )
        for name, latency in _latencies(record)
        if (cold := latency.cold) is not None
    )
    header = (
        *("run", "processes", "import, ms", "load, ms", "first event, ms"),
        *("whole process, ms", "peak memory"),
    )
    return Table("Cold start", header, rows)


def capacity_table(record: Record) -> Table:
    """Sessions side by side in one process before a deadline was missed."""
    rows = tuple(
        (
            name,
            ("at least " if c.sessions >= c.limit else "") + figures.count(c.sessions),
            figures.count(c.limit),
            f"{figures.number(c.seconds)} s",
            "–" if c.first_misses is None else figures.count(c.first_misses),
        )
        for name, latency in _latencies(record)
        if (c := latency.capacity) is not None
    )
    header = ("run", "sessions in time", "most tried", "each for", "misses at one step more")
    return Table("Sessions at once", header, rows)


def onset_table(record: Record) -> Table:
    """From a synthetic onset to the event that tells it."""
    rows = tuple(
        (
            f"{name}: {onset.finding}",
            f"{onset.detected:,} of {onset.trials:,}",
            *_spread(onset.audio_ms),
            *_spread(onset.compute_ms),
        )
        for name, latency in _latencies(record)
        for onset in latency.onset
    )
    header = (
        *("run and finding", "detected", "audio heard, p50 ms", "p95 ms"),
        *("computing, p50 ms", "p95 ms"),
    )
    return Table("From a sound's onset to its event", header, rows)


def ecdf_table(run: Run) -> Table:
    """Points of the distribution of a hop's time."""
    found = [(name, flow.hop_ms.curve) for name, flow in select.flows(run)]
    whole = [(name, curve) for name, curve in found if len(curve) == 101]
    rows = tuple(
        (f"{share} %", *(f"{figures.number(curve[share])} ms" for _, curve in whole))
        for share in SHARES
        if whole
    )
    header = ("share of hops within", *(name for name, _ in whole))
    return Table(f"Hop time, {run.identity.variant}", header, rows)


def withheld(record: Record) -> str:
    """Why quantiles were withheld; "" where none was."""
    told = [flow.hop_ms for _, flow in _flows(record)]
    for _, latency in _latencies(record):
        told += [
            times
            for onset in latency.onset
            for times in (onset.audio_ms, onset.compute_ms)
            if times is not None
        ]
    if not any(figures.withheld(times) for times in told):
        return ""
    least = ", ".join(f"{least_samples(q / 100)} for p{q}" for q in (90, 95, 99))
    return f"A quantile is withheld where there are too few samples to bound it: {least}."


def _latencies(record: Record) -> Iterator[tuple[str, Latency]]:
    for run in record.runs:
        if run.latency is not None:
            yield run.identity.variant, run.latency


def _flows(record: Record) -> Iterator[tuple[str, Flow]]:
    for run in record.runs:
        for name, flow in select.flows(run):
            yield f"{run.identity.variant}, {name}", flow


def _quantiles(times: Distribution) -> tuple[str, ...]:
    return (
        figures.count(times.samples),
        figures.number(times.mean),
        *(figures.quantile(q, times.samples) for q in (times.p50, times.p90, times.p95, times.p99)),
        figures.number(times.largest),
    )


def _spread(times: Distribution | None) -> tuple[str, str]:
    if times is None:
        return "–", "–"
    return figures.interval(times.p50), figures.quantile(times.p95, times.samples)
