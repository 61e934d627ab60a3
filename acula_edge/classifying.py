"""Score recordings offline through the same `Session` that listens live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from acula_edge.bundle import Bundle
from acula_edge.errors import AculaError, AudioFileError
from acula_edge.events import SCHEMA, Exam, to_json
from acula_edge.providers import DEFAULT_PROVIDER
from acula_edge.session import DEFAULT_VARIANT, Session
from acula_edge.sources.base import Block
from acula_edge.sources.files import FileSource

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".mp3", ".aif", ".aiff", ".au"})


def classify_file(
    path: Path,
    bundle: Bundle,
    *,
    site: str | None = None,
    variant: str = DEFAULT_VARIANT,
    provider: str = DEFAULT_PROVIDER,
    channel: int = 0,
    explain: int = 0,
) -> Exam:
    """The exam of one recording, with the `explain` most similar reports.

    Raises:
        AudioFileError: the file is missing, not audio, empty or truncated.
        UsageError: its rate is too low for the model.
    """
    with (
        FileSource(path, channel=channel) as source,
        Session(
            bundle,
            site=site,
            source_rate=source.rate,
            variant=variant,
            provider=provider,
            explain=explain,
        ) as session,
    ):
        for item in source.blocks():
            if isinstance(item, Block):
                session.push(item.pcm, item.lost)
        return session.finish()


def classify(
    paths: Iterable[Path],
    bundle: Bundle,
    *,
    site: str | None = None,
    variant: str = DEFAULT_VARIANT,
    provider: str = DEFAULT_PROVIDER,
    channel: int = 0,
    explain: int = 0,
) -> Iterator[tuple[Path, Exam | AculaError]]:
    """An exam, or the error that prevented it, for each recording in turn."""
    for path in paths:
        try:
            exam = classify_file(
                path,
                bundle,
                site=site,
                variant=variant,
                provider=provider,
                channel=channel,
                explain=explain,
            )
            yield path, exam
        except AculaError as error:
            yield path, error


def result_json(path: Path, result: Exam | AculaError) -> dict[str, Any]:
    """One line of `acula-edge classify --json`."""
    if isinstance(result, Exam):
        return to_json(result, file=str(path))
    return {"schema": SCHEMA, "type": "error", "file": str(path), "error": str(result)}


def expand(paths: Iterable[Path]) -> list[Path]:
    """Files as given; a folder stands for the recordings below it, in order of name.

    Raises:
        AudioFileError: a folder holds no recordings.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
        if not inside:
            raise AudioFileError(f"{path} holds no recordings")
        found += inside
    return found
