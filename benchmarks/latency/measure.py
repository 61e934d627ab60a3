"""All parts of one variant's latency, in turn; and the record that holds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from acula_edge.bundle import Bundle
from acula_edge.providers import DEFAULT_PROVIDER
from acula_edge.session import check_options
from benchmarks.identity import identity_of
from benchmarks.latency.capacity import measure_capacity_apart
from benchmarks.latency.cold import measure_cold
from benchmarks.latency.flow import open_flow
from benchmarks.latency.front_end import front_end_share
from benchmarks.latency.onset import measure_onsets
from benchmarks.latency.settings import Clock, LatencySettings
from benchmarks.latency.soak import soak
from benchmarks.machine import Watch, busy, fingerprint
from benchmarks.record import KIND, SCHEMA, Flow, Identity, Latency, Record, Run

Progress = Callable[[str], None]
NOTHING = Latency(None, None, None, None, None, ())
SPEED_ONLY = "speed without accuracy: no recordings were scored"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what had been measured; where nobody asks for that, Ctrl-C as ever."""

    def __init__(self, latency: Latency):
        super().__init__()
        self.latency = latency


def measure_latency(
    bundle: Bundle,
    variant: str,
    provider: str,
    settings: LatencySettings,
    progress: Progress = lambda _: None,
    clock: Clock = Clock(),  # noqa: B008 - frozen
) -> Latency:
    """Cold start, the front end's share, flat out, paced, onsets and capacity of one variant.

    `progress` is told what begins. Memory is that of this process, what measures included; cold
    starts and capacity have processes of their own.

    Raises:
        Interrupted: Ctrl-C; it holds the parts measured so far.
        UsageError, BundleError, MissingDependencyError, DeviceError: as `Session` would.
    """
    check_options(bundle, None, variant, provider)
    given = (bundle, variant, provider, settings)
    latency = NOTHING
    try:
        if settings.cold_runs:
            progress("cold start")
            latency = replace(latency, cold=measure_cold(*given))
        if settings.front_end_runs and provider == DEFAULT_PROVIDER:
            progress("front end")
            share = front_end_share(bundle.graph(variant), settings.front_end_runs)
            latency = replace(latency, front_end_share=share)
        if settings.flat_seconds:
            progress("flat out")
            flow, finished = _flow(*given, paced=False, clock=clock)
            latency = _kept(replace(latency, flat=flow), finished)
        if settings.paced_seconds:
            progress(f"paced, {settings.paced_seconds:.0f} s")
            flow, finished = _flow(*given, paced=True, clock=clock)
            latency = _kept(replace(latency, paced=flow), finished)
        if settings.onset_trials:
            progress("onset to event")
            latency = replace(latency, onset=measure_onsets(*given, clock))
        if settings.capacity_limit:
            progress("capacity")
            latency = replace(latency, capacity=measure_capacity_apart(*given))
    except Interrupted:
        raise
    except KeyboardInterrupt:
        raise Interrupted(latency) from None
    return latency


def record_latency(
    bundle: Bundle,
    variants: Sequence[str],
    provider: str,
    settings: LatencySettings,
    *,
    command: str,
    soak_hours: float | None = None,
    save: Callable[[Record], None] = lambda _: None,
    progress: Progress = lambda _: None,
) -> Record:
    """The record of some variants: speed alone. After Ctrl-C it is partial (`complete` is False).

    With `soak_hours` each variant only listens, paced, that long. `save` is given the record after
    every variant, and during a soak every few minutes; those are partial too.

    Raises:
        UsageError, BundleError, MissingDependencyError, DeviceError: as `Session` would.
    """
    for variant in variants:
        check_options(bundle, None, variant, provider)
    machine = fingerprint()
    before, watch = busy(machine), Watch()
    runs: list[Run] = []
    created = datetime.now(UTC).isoformat(timespec="seconds")

    def record(more: Sequence[Run] = (), *, complete: bool = False) -> Record:
        reasons = (*before, *watch.reasons())
        return Record(
            schema=SCHEMA, kind=KIND, created=created, command=command, depth=settings.depth,
            complete=complete, busy=reasons, machine=machine, runs=(*runs, *more), accuracy=None,
            peers=None, students=(), microcontrollers=(), notes=(SPEED_ONLY,),
        )  # fmt: skip

    for variant in variants:
        identity = identity_of(
            bundle,
            variant,
            provider,
            source_rate=settings.source_rate,
            block_seconds=settings.block_seconds,
        )

        def keep(flow: Flow, identity: Identity = identity) -> None:
            save(record([Run(identity, replace(NOTHING, paced=flow))]))

        def told(what: str, variant: str = variant) -> None:
            progress(f"{variant}: {what}")

        try:
            if soak_hours is None:
                latency = measure_latency(bundle, variant, provider, settings, told)
            else:
                told(f"soak, {soak_hours:g} h")
                given = (bundle, variant, provider, settings)
                flow, finished = soak(*given, hours=soak_hours, save=keep, clock=Clock())
                latency = _kept(replace(NOTHING, paced=flow), finished)
        except Interrupted as stop:
            runs.append(Run(identity, stop.latency))
            return record()
        except KeyboardInterrupt:  # before anything of this variant was measured
            return record()
        runs.append(Run(identity, latency))
        save(record())
    return record(complete=True)


def _flow(
    bundle: Bundle,
    variant: str,
    provider: str,
    settings: LatencySettings,
    *,
    paced: bool,
    clock: Clock,
) -> tuple[Flow | None, bool]:
    """The flow, and False if Ctrl-C ended it early."""
    seconds = settings.paced_seconds if paced else settings.flat_seconds
    meter = open_flow(bundle, variant, provider, settings, seconds=seconds, clock=clock)
    try:
        meter.run(paced=paced)
    except KeyboardInterrupt:
        return meter.flow(), False
    return meter.flow(), True


def _kept(latency: Latency, finished: bool) -> Latency:
    if not finished:
        raise Interrupted(latency)
    return latency
