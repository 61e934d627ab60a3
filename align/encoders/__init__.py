"""Audio encoders by name. Modules are imported when asked for: some need optional libraries."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from align.encoders.base import Encoder, EncoderError

FACTORIES = {
    "conv": ("align.encoders.conv", "ConvEncoder"),
    "vit-ti-mae": ("align.encoders.vit", "vit_tiny"),
    "vit-s-mae": ("align.encoders.vit", "vit_small"),
    "opera-ct": ("align.encoders.opera_ct", "OperaCT"),
    "opera-ce": ("align.encoders.opera_ce", "OperaCE"),
    "opera-gt": ("align.encoders.opera_gt", "OperaGT"),
    "hub": ("align.encoders.hub", "HubEncoder"),
}


def build_encoder(name: str, options: Mapping[str, Any] | None = None) -> Encoder:
    """A freshly initialised encoder.

    `options` are the factory's keyword arguments; `hub` needs at least `model`, a Hugging Face id.

    Raises:
        EncoderError: unknown name or option.
    """
    if name not in FACTORIES:
        raise EncoderError(f"unknown encoder {name!r}; known: {', '.join(FACTORIES)}")
    module, factory = FACTORIES[name]
    try:
        encoder: Encoder = getattr(import_module(module), factory)(**(options or {}))
    except TypeError as error:
        raise EncoderError(f"encoder {name!r}: {error}") from None
    return encoder


__all__ = ["FACTORIES", "Encoder", "EncoderError", "build_encoder"]
