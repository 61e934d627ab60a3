"""NoseMic: breathing at the nose in rest and after running, with the breathing rate.

By link only, so laid out as OPERA reads it: `audio/<person>_<x>_<y>_<rate>.wav`; what the two
middle parts say is not published.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from align.corpora.recording import CorpusError, Recording
from align.corpora.tables import audio_files
from align.splits import LEAVE_ONE_OUT


def read_nosemic(folder: Path) -> Iterator[Recording]:
    """Yield one row per file; `breathing_rate` is per minute. All rows are test: leave one out."""
    for path in audio_files(folder / "audio"):
        try:
            person, first, second, rate = path.stem.split("_")
            breathing_rate = float(rate)
        except ValueError:
            message = f"{path} is not named person, two parts, breathing rate, with _ between them"
            raise CorpusError(message) from None
        yield Recording(
            corpus="nosemic",
            name=path.stem,
            path=path,
            patient=person,
            device="nose microphone",
            site="nose",
            split=LEAVE_ONE_OUT,
            labels={"breathing_rate": breathing_rate},
            metadata={"sound": "nose-breathing", "session": f"{first} {second}"},
        )
