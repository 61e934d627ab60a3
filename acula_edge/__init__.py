"""Listen to hearts and lungs on the device: streaming inference with a model bundle.

`Session` is the embedding API; names load on first use, so that importing this package is free.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acula_edge.session import Session as Session

__version__ = "0.1.0"
_LAZY = {"Session": "acula_edge.session"}
__all__ = ["Session", "__version__"]


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
