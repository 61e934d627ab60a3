"""covid19-cough: coughs over the telephone and Telegram; audio only, nothing to predict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from align.corpora.recording import CorpusError, Recording
from align.corpora.tables import audio_files, refuse_strays
from align.splits import hash_split


def read_covid19_cough(folder: Path) -> Iterator[Recording]:
    """Yield one row per entry of `metadata.json`; each recording stands for its own person.

    The COVID label contradicts itself and is never exposed, nor are `verified`, `comment` and
    `kind`, which speak of it. No official split: `hash_split`.
    """
    table, base = folder / "metadata.json", folder / "raw"
    entries = _entries(table)
    refuse_strays(audio_files(base), (Path(entry["filename"]).stem for entry in entries), table)
    for entry in entries:
        name = Path(entry["filename"]).stem
        metadata = {"sound": "cough"}
        if entry.get("asymptomatic") is not None:
            metadata["asymptomatic"] = str(entry["asymptomatic"]).lower()
        yield Recording(
            corpus="covid19-cough",
            name=name,
            path=base / entry["filename"],
            patient=name,
            device=str(entry["source"]),
            site="mouth",
            split=hash_split("covid19-cough", name),
            labels={},
            metadata=metadata,
        )


def _entries(table: Path) -> list[dict[str, Any]]:
    if not table.is_file():
        raise CorpusError(f"{table} is missing")
    try:
        entries: list[dict[str, Any]] = json.loads(table.read_text(encoding="utf-8"))
        for entry in entries:
            if not isinstance(entry["filename"], str) or not isinstance(entry["source"], str):
                raise TypeError("filename and source are text")
    except (ValueError, KeyError, TypeError) as error:
        message = f"{table} is not a list of recordings as published ({error!r}); fetch it again"
        raise CorpusError(message) from None
    return entries
