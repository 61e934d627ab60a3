"""Our two sides of the comparison, with nothing but the runtime: no torch is imported here."""

from __future__ import annotations

from functools import partial

from acula_edge import Session
from acula_edge.bundle import Bundle
from acula_edge.engine import open_engine
from benchmarks.peers.spec import OURS, Loaded, PeerSpec, Sound

SOURCE_RATE, BLOCK = 44_100, 4410  # a sound card's, in blocks of 100 ms
SECONDS = 8.0
HOPS = 48  # 9.2 s of the default bundle
WHOLE_PATH, STREAM_GRAPH = "whole path", "stream graph"


def our_sides(bundle: Bundle, variant: str) -> tuple[PeerSpec, PeerSpec]:
    """The whole path, from a sound card's blocks to events, and the stream graph alone."""
    name = f"{bundle.manifest.name} {variant}"
    licence = bundle.manifest.licence
    return (
        PeerSpec(
            f"{name}, {WHOLE_PATH}", OURS, licence, partial(_whole_path, bundle, variant),
            "44.1 kHz in blocks of 100 ms: resampled, gated, scored, smoothed, made events",
        ),
        PeerSpec(
            f"{name}, {STREAM_GRAPH}", OURS, licence, partial(_stream_graph, bundle, variant),
            "front end and network alone, hop by hop, handed the model's rate",
        ),
    )  # fmt: skip


def _whole_path(bundle: Bundle, variant: str) -> Loaded:
    session = Session(bundle, variant=variant, source_rate=SOURCE_RATE)

    def run(sound: Sound) -> None:
        for start in range(0, len(sound), BLOCK):
            session.push(sound[start : start + BLOCK])

    size = len(bundle.graph(variant))
    return Loaded(run, SOURCE_RATE, SECONDS, bundle.manifest.version, bytes=size)


def _stream_graph(bundle: Bundle, variant: str) -> Loaded:
    manifest, engine = bundle.manifest, open_engine(bundle, variant)

    def run(sound: Sound) -> None:
        for start in range(0, len(sound), manifest.hop):
            engine.run(sound[start : start + manifest.hop])

    seconds = HOPS * manifest.hop / manifest.rate
    size = len(bundle.graph(variant))
    return Loaded(run, manifest.rate, seconds, manifest.version, bytes=size)
