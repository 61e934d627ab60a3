"""All peers that are installed, and ours, side by side in one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from acula_edge.bundle import Bundle
from acula_edge.errors import MissingDependencyError, UsageError
from benchmarks.distribution import distribution
from benchmarks.interleaved import ratio_of_pairs
from benchmarks.peers.memory import measure_memory, our_child, peer_child
from benchmarks.peers.originals import ALIGNED, aligned_encoder
from benchmarks.peers.ours import our_sides
from benchmarks.peers.registry import PEERS
from benchmarks.peers.spec import Loaded, PeerSpec
from benchmarks.peers.turns import (
    Pairs,
    Progress,
    Side,
    one_thread,
    prepare,
    take_turns,
)
from benchmarks.record import Interval, MissingPeer, Peer, Peers


@dataclass(frozen=True)
class PeerSettings:
    """`turns` of the comparison; each measurement lasts `least_seconds` of CPU time or more."""

    turns: int
    least_seconds: float = 0.05
    memory: bool = True


QUICK = PeerSettings(turns=6)
FULL = PeerSettings(turns=40)


def measure_peers(
    bundle: Bundle,
    variant: str,
    settings: PeerSettings = QUICK,
    *,
    original: Path | None = None,
    progress: Progress = lambda _: None,
    specs: Sequence[PeerSpec] = PEERS,
) -> Peers:
    """CPU per second of audio and peak memory of ours and of every peer that loads here.

    `rows[0]` is our whole path, `rows[1]` our stream graph; ratios are to `rows[0]`. Ctrl-C keeps
    the turns measured if there are two or more: `turns` of the result is then below that asked for.

    Args:
        bundle: ours, on one CPU thread whatever its variant is for.
        variant: of the bundle.
        settings: how long to measure.
        original: folder of a finished `acula-edge align run`, measured as the aligned encoder.
        progress: told in words what happens next.
        specs: the peers to look for.

    Raises:
        UsageError: fewer than two turns, or `original` holds no encoder.
        BundleError: no such variant, or its graph is damaged.
        KeyboardInterrupt: interrupted before two turns were measured.
    """
    if settings.turns < 2:
        raise UsageError(f"a comparison needs two turns or more, not {settings.turns}")
    missing: list[MissingPeer] = []
    ours = our_sides(bundle, variant)
    loaded = [(spec, spec.load()) for spec in ours]
    for spec in _with_original(specs, original, missing):
        progress(f"loading {spec.name}")
        found = _load(spec, missing)
        if found is not None:
            loaded.append((spec, found))
    with one_thread():
        sides = _prepare(loaded, settings, missing, progress)
        peaks = _peaks(bundle, variant, sides, settings, original, progress)
        pairs = take_turns(sides[0][1], [side for _, side in sides[1:]], settings.turns,
                           progress=progress)  # fmt: skip
    return _rows(sides, pairs, peaks, missing)


def _with_original(
    specs: Sequence[PeerSpec], original: Path | None, missing: list[MissingPeer]
) -> list[PeerSpec]:
    """A folder that the user named must be right before anything is measured."""
    if original is None:
        why = "give the folder of a finished `acula-edge align run` as the original"
        missing.append(MissingPeer(ALIGNED, why))
        return list(specs)
    try:
        from align.errors import one_sentence  # noqa: PLC0415

        spec = aligned_encoder(original)
        with one_sentence():
            loaded = spec.load()
    except ImportError as error:
        raise MissingDependencyError(
            f"the aligned encoder needs {error.name}: pip install 'acula-edge[align]'"
        ) from None
    once = PeerSpec(spec.name, spec.kind, spec.licence, lambda: loaded, spec.note)
    return [once, *specs]


def _load(spec: PeerSpec, missing: list[MissingPeer]) -> Loaded | None:
    try:
        return spec.load()
    except MissingDependencyError as error:
        missing.append(MissingPeer(spec.name, str(error)))
    except Exception as error:  # a foreign library fails in any way, and must not cost the run
        missing.append(MissingPeer(spec.name, _sentence("be loaded", error)))
    return None


def _prepare(
    loaded: Sequence[tuple[PeerSpec, Loaded]],
    settings: PeerSettings,
    missing: list[MissingPeer],
    progress: Progress,
) -> list[tuple[PeerSpec, Side]]:
    sides: list[tuple[PeerSpec, Side]] = []
    for index, (spec, peer) in enumerate(loaded):
        progress(f"warming up {spec.name}")
        try:
            sides.append((spec, prepare(spec.name, peer, settings.least_seconds)))
        except Exception as error:  # as in `_load`; ours fails aloud
            if index < 2:
                raise
            missing.append(MissingPeer(spec.name, _sentence("run", error)))
    return sides


def _sentence(what: str, error: Exception) -> str:
    first = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
    return f"it could not {what} ({type(error).__name__}: {first})"


def _peaks(
    bundle: Bundle,
    variant: str,
    sides: Sequence[tuple[PeerSpec, Side]],
    settings: PeerSettings,
    original: Path | None,
    progress: Progress,
) -> list[float | None]:
    """Before the turns, which they would disturb."""
    if not settings.memory:
        return [None] * len(sides)
    names = [spec.name for spec, _ in sides]
    ours = [our_child(name, bundle.origin, variant) for name in names[:2]]
    theirs = [peer_child(name, original) for name in names[2:]]
    return measure_memory([*ours, *theirs], progress=progress)


def _rows(
    sides: Sequence[tuple[PeerSpec, Side]],
    pairs: dict[str, Pairs],
    peaks: Sequence[float | None],
    missing: Sequence[MissingPeer],
) -> Peers:
    own = [value for measured in pairs.values() for value in measured.ours]
    graph = sides[1][0].name
    rows = [_row(*sides[0], own, None, 0, peaks[0], None)]
    for (spec, side), peak in zip(sides[1:], peaks[1:], strict=True):
        measured = pairs[spec.name]
        ratio = _ratio(measured.theirs, measured.ours)
        count = len(measured.ours)
        row = _row(spec, side, measured.theirs, ratio, count, peak, peaks[0])
        if spec.name != graph:
            row = replace(row, graph_ratio=_ratio(measured.theirs, pairs[graph].theirs))
        rows.append(row)
    turns = len(pairs[graph].ours)
    return Peers(turns, tuple(rows), tuple(missing))


def _ratio(theirs: list[float], ours: list[float]) -> Interval:
    found = ratio_of_pairs(theirs, ours)
    return Interval(found.median, found.low, found.high)


def _row(
    spec: PeerSpec,
    side: Side,
    values: list[float],
    ratio: Interval | None,
    pairs: int,
    peak: float | None,
    our_peak: float | None,
) -> Peer:
    return Peer(
        name=spec.name,
        kind=spec.kind,
        version=side.loaded.version,
        licence=spec.licence,
        parameters=side.loaded.parameters,
        bytes=side.loaded.bytes,
        cpu_ms_per_second=distribution(values),
        ratio=ratio,
        graph_ratio=None,
        pairs=pairs,
        peak_rss_mib=peak,
        rss_ratio=None if peak is None or our_peak is None else peak / our_peak,
        note=spec.note,
    )
