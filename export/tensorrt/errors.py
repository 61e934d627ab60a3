"""What can go wrong between a bundle and an engine."""

from __future__ import annotations

from align.errors import AlignError


class TensorRTError(AlignError):
    """The graph does not fit TensorRT, the precision does not fit the graph, or building failed."""
