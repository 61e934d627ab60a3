"""Recordings without audio, for tests of what happens to rows."""

from pathlib import Path

from align.corpora.recording import Recording


def row(name, *, corpus="circor", patient=None, split="train", labels=None, metadata=None, **other):
    """A recording whose patient, unless named, is its own."""
    return Recording(
        corpus=corpus,
        name=name,
        path=Path(f"{name}.wav"),
        patient=patient or name,
        device=other.get("device", "stethoscope"),
        site=other.get("site", "AV"),
        split=split,
        labels=labels or {},
        metadata=metadata or {},
    )
