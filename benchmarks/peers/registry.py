"""All peers, in the order of the report. Their libraries are imported only when they are loaded."""

from __future__ import annotations

from pathlib import Path

from acula_edge.errors import UsageError
from benchmarks.peers.front_ends import FRONT_END_PEERS
from benchmarks.peers.originals import ALIGNED, ORIGINAL_PEERS, aligned_encoder
from benchmarks.peers.size_class import SIZE_CLASS_PEERS
from benchmarks.peers.spec import PeerSpec
from benchmarks.peers.streaming import STREAMING_PEERS

PEERS: tuple[PeerSpec, ...] = (
    *STREAMING_PEERS,
    *ORIGINAL_PEERS,
    *FRONT_END_PEERS,
    *SIZE_CLASS_PEERS,
)


def find_peer(name: str, original: Path | None) -> PeerSpec:
    """The peer of that name; `original` is the folder of the aligned encoder.

    Raises:
        UsageError: there is none.
    """
    if name == ALIGNED and original is not None:
        return aligned_encoder(original)
    for spec in PEERS:
        if spec.name == name:
            return spec
    raise UsageError(f"there is no peer {name!r}; known: {', '.join(p.name for p in PEERS)}")
