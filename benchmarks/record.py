"""The record of a benchmark: one versioned JSON file, from which every report is made.

Times are milliseconds unless a name says otherwise; intervals are 95 %. A field that the machine
does not tell is None, never guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from acula_edge.bundle.strict import decode, parse_object, plain
from acula_edge.errors import BundleError, UsageError

SCHEMA = 1
KIND = "acula-edge-benchmark"


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Distribution:
    """Quantiles of `samples` measurements. None where there are too few samples to tell.

    `curve` holds the quantiles 0 %, 1 %, ... 100 % for the plot of the distribution.
    """

    samples: int
    mean: float
    p50: Interval
    p90: Interval | None
    p95: Interval | None
    p99: Interval | None
    largest: float
    curve: tuple[float, ...]


@dataclass(frozen=True)
class Identity:
    """What was measured. `preprocessing` hashes all that happens to the sound but the graph."""

    bundle: str  # name and version
    bundle_sha256: str
    variant: str
    precision: str
    provider: str
    graph_sha256: str
    graph_bytes: int
    preprocessing: str
    rate: int
    hop: int
    source_rate: int
    block_seconds: float
    runtime: str  # name and version of what computes
    toolkit: str
    commit: str  # "" where there is no repository; ends in "+" where the tree was changed


@dataclass(frozen=True)
class Machine:
    """Where it was measured."""

    cpu: str | None
    architecture: str
    flags: tuple[str, ...]  # those that matter to the arithmetic: avx2, avx512_vnni, asimddp ...
    cores: int | None
    threads: int | None
    governor: str | None
    clock_mhz: float | None
    clock_limit_mhz: float | None
    ram_mib: int | None
    system: str
    python: str
    power: str | None  # mains, battery
    container: str | None
    temperature_c: float | None
    load: tuple[float, ...] | None  # averages of 1, 5 and 15 minutes before the run
    gpu: str | None


@dataclass(frozen=True)
class ColdStart:
    """Fresh processes: importing the runtime, loading the bundle, and the first event."""

    runs: int
    import_ms: Interval
    load_ms: Interval
    first_event_ms: Interval
    process_ms: Interval  # from exec to the first event, as a shell sees it
    peak_rss_mib: float


@dataclass(frozen=True)
class Flow:
    """One run of sound through a session, flat out or paced at the product's hop.

    `hop_ms` is the wall time of the `push` that completes a hop. The stages are `resample`, `gate`,
    `network` and `decision`; `front_end_share` is the part of `network` in the graph's front end.
    Of a paced run only: `wakeup_ms` (how late each push began), misses of the deadline (a hop not
    answered before the next is due), the largest lag behind the sound, and the share of time busy.
    """

    seconds: float
    hops: int
    hop_ms: Distribution
    stages: Mapping[str, Distribution]
    cpu_ms_per_second: Interval
    realtime_factor: float
    rss_start_mib: float
    rss_end_mib: float
    rss_slope_mib_per_hour: Interval | None
    hop_slope_ms_per_hour: Interval | None
    wakeup_ms: Distribution | None
    deadline_misses: int | None
    largest_lag_ms: float | None
    duty_cycle: float | None


@dataclass(frozen=True)
class Capacity:
    """Sessions paced side by side in one process before a deadline was missed.

    `limit` is the largest number tried: when `sessions == limit` the machine was not exhausted.
    """

    sessions: int
    limit: int
    seconds: float
    first_misses: int | None


@dataclass(frozen=True)
class Onset:
    """From a synthetic sound's onset to the event that tells it: audio time and compute time."""

    finding: str
    trials: int
    detected: int
    audio_ms: Distribution | None
    compute_ms: Distribution | None


@dataclass(frozen=True)
class Latency:
    """Latency of one variant; a part that was not measured is None."""

    cold: ColdStart | None
    flat: Flow | None
    paced: Flow | None
    front_end_share: float | None
    capacity: Capacity | None
    onset: tuple[Onset, ...]


@dataclass(frozen=True)
class Group:
    """A finding's figures on some recordings: all of a corpus, or a device, site, age or sex.

    `sensitivity` and `specificity` are at the bundle's thresholds, unsure counted as not present;
    `at_specificity` maps "0.90" and "0.95" to the sensitivity there, on these very recordings.
    `reliability` holds [mean probability, share of positives, recordings].
    """

    finding: str
    corpus: str
    kind: str  # all, device, site, age, sex
    name: str
    recordings: int
    patients: int
    positive: int
    refused: int
    auroc: Interval | None
    auprc: Interval | None
    sensitivity: Interval | None
    specificity: Interval | None
    at_specificity: Mapping[str, Interval]
    ece: Interval | None
    reliability: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Difference:
    """A variant beside another scorer of the same recordings: its AUROC minus the other's."""

    finding: str
    other: str  # a variant, or "original"
    recordings: int
    auroc: Interval | None
    flips: int | None  # decisions that differ; None where the other makes none
    largest_logit: float | None


@dataclass(frozen=True)
class VariantAccuracy:
    """Accuracy of one artefact, measured through `Session`."""

    variant: str
    graph_sha256: str
    groups: tuple[Group, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class OriginalAccuracy:
    """The aligned encoder's linear probe on the same patients."""

    name: str
    parameters: int | None
    tasks: Mapping[str, Interval]  # finding -> AUROC


@dataclass(frozen=True)
class Accuracy:
    """What was scored on which recordings; `looks`: how often those patients had been scored."""

    split: str
    recordings: int
    patients: int
    digest: str  # of the names and labels of the recordings
    looks: int
    limited_to: int | None  # recordings per corpus of a quick run; None for all
    variants: tuple[VariantAccuracy, ...]
    original: OriginalAccuracy | None


@dataclass(frozen=True)
class Peer:
    """Another model or front end, measured in turn with ours in one run.

    `ratio` is the peer's CPU time per second of audio over our whole path's, `graph_ratio` over our
    stream graph's, which like most peers is a front end and a network. `rss_ratio` is its peak
    memory over ours, each in a process of its own.
    """

    name: str
    kind: str  # ours, streaming, original, front end, size class
    version: str
    licence: str
    parameters: int | None
    bytes: int | None
    cpu_ms_per_second: Distribution
    ratio: Interval | None
    graph_ratio: Interval | None
    pairs: int
    peak_rss_mib: float | None
    rss_ratio: float | None
    note: str


@dataclass(frozen=True)
class MissingPeer:
    """A peer that could not be measured, and why, in one sentence."""

    name: str
    why: str


@dataclass(frozen=True)
class Peers:
    """All peers of one run; `rows[0]` is our whole path, `rows[1]` our stream graph."""

    turns: int
    rows: tuple[Peer, ...]
    missing: tuple[MissingPeer, ...]


@dataclass(frozen=True)
class StudentPoint:
    """A member of the student family, for the front of AUROC against size."""

    name: str
    size: str
    parameters: int
    macs_per_second: float
    taught: bool
    mean_auroc: Interval


@dataclass(frozen=True)
class Microcontroller:
    """A core's build, as `acula-edge firmware verify` reports it."""

    core: str
    instructions_per_second: float | None
    flash_bytes: int | None
    ram_bytes: int | None
    stack_bytes: int | None
    vectors: int
    equal: int  # vectors whose bytes equal the reference's


@dataclass(frozen=True)
class Run:
    """One variant: what it is, and how fast."""

    identity: Identity
    latency: Latency | None


@dataclass(frozen=True)
class Record:
    """A benchmark. `busy` names why its absolute times compare with no other run's."""

    schema: int
    kind: str
    created: str  # UTC, ISO 8601
    command: str
    depth: str  # quick or full
    complete: bool  # False: interrupted, and what had been measured was kept
    busy: tuple[str, ...]
    machine: Machine
    runs: tuple[Run, ...]
    accuracy: Accuracy | None
    peers: Peers | None
    students: tuple[StudentPoint, ...]
    microcontrollers: tuple[Microcontroller, ...]
    notes: tuple[str, ...]


def write_record(record: Record, path: Path) -> None:
    """Write the JSON form, whole or not at all."""
    text = json.dumps(plain(record), indent=1, allow_nan=False) + "\n"
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def read_record(path: Path) -> Record:
    """Read and check a record.

    Raises:
        UsageError: no such file, damaged, or of another schema.
    """
    try:
        fields = parse_object(path.read_bytes())
        if fields.get("kind") != KIND:
            raise UsageError(f"{path} is not a benchmark record")
        if fields.get("schema") != SCHEMA:
            raise UsageError(
                f"{path} has schema {fields.get('schema')!r}; this toolkit reads {SCHEMA}"
            )
        record: Record = decode(Record, fields)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except BundleError as error:
        raise UsageError(f"{path} is damaged: {error}") from None
    return record
