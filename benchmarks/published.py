"""The figures that README quotes of the committed report, as the Markdown it must hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.record import Capacity, Interval, Microcontroller, Peer, Record

RESULTS = Path(__file__).parent / "results"
RESULT, FIRMWARE = RESULTS / "heart-lung.json", RESULTS / "firmware-heart-lung-xs.json"
CLOCK_HZ = 64e6  # of a small wireless microcontroller
QUOTED = ("opera-gt", "opera-ct", "opera-ce", "ast", "aligned", "silero-vad", "webrtcvad")


def peers_table(record: Record) -> str:
    """CPU and memory of the quoted peers, as multiples of our whole path."""
    rows = [] if record.peers is None else record.peers.rows
    lines = [
        "| | CPU over our whole path | over our graph | peak memory |",
        "|---|---|---|---|",
    ]
    for name in QUOTED:
        row = next((row for row in rows[1:] if row.name.startswith(name)), None)
        if row is not None:
            lines.append(f"| {row.name} | {_times(row)} | {_beside_graph(row)} | {_memory(row)} |")
    return "\n".join(lines)


def latency_table(record: Record) -> str:
    """Quantiles of a paced hop and what else a device buyer asks, per variant."""
    lines = ["| | " + " | ".join(run.identity.variant for run in record.runs) + " |"]
    lines.append("|---|" + "---|" * len(record.runs))
    rows: list[tuple[str, list[str]]] = []
    flows = [run.latency.paced if run.latency else None for run in record.runs]
    for name in ("p50", "p95", "p99"):
        told = [_quantile(getattr(flow.hop_ms, name)) if flow else "-" for flow in flows]
        rows.append((f"a hop of 192 ms, paced: {name}, ms", told))
    rows.append(
        (
            "deadlines missed",
            [f"{f.deadline_misses} of {f.hops}" if f else "-" for f in flows],
        )
    )
    rows.append(("share of a core", [_percent(f.duty_cycle) if f else "-" for f in flows]))
    colds = [run.latency.cold if run.latency else None for run in record.runs]
    rows.append(
        ("process start to first event, s", [f"{c.process_ms.value / 1e3:.2f}" if c else "-"
                                             for c in colds])
    )  # fmt: skip
    rows.append(("peak memory, MiB", [f"{c.peak_rss_mib:.0f}" if c else "-" for c in colds]))
    capacities = [run.latency.capacity if run.latency else None for run in record.runs]
    rows.append(("sessions at once, one core", [_sessions(c) if c else "-" for c in capacities]))
    return "\n".join(lines + [f"| {name} | {' | '.join(told)} |" for name, told in rows])


def firmware_table(cores: Sequence[Microcontroller]) -> str:
    """What the C build costs on each emulated core, and how many answers were equal."""
    lines = [
        "| core | answers equal to the reference | instructions per second of audio"
        " | of 64 MHz at one a cycle | flash | RAM | stack |",
        "|---|---|---|---|---|---|---|",
    ]
    for core in cores:
        count = core.instructions_per_second
        cells = [
            core.core,
            f"{core.equal} of {core.vectors}",
            "-" if count is None else f"{count / 1e6:.2f} M",
            "-" if count is None else f"{100 * count / CLOCK_HZ:.0f} %",
            *(_kb(size) for size in (core.flash_bytes, core.ram_bytes, core.stack_bytes)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _kb(size: int | None) -> str:
    return "-" if size is None else f"{size / 1000:.1f} kB"


def _times(row: Peer) -> str:
    assert row.ratio is not None
    return f"{_three(row.ratio)} x ({row.pairs} pairs)"


def _beside_graph(row: Peer) -> str:
    return "-" if row.graph_ratio is None else f"{_three(row.graph_ratio)} x"


def _memory(row: Peer) -> str:
    return "-" if row.rss_ratio is None else f"{row.rss_ratio:.1f} x"


def _three(found: Interval) -> str:
    digits = 0 if found.value >= 100 else 1 if found.value >= 10 else 2
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def _quantile(found: Interval | None) -> str:
    if found is None:
        return "withheld"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _sessions(found: Capacity) -> str:
    more = " or more" if found.sessions == found.limit else ""
    return f"{found.sessions}{more}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
