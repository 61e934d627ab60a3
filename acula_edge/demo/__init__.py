"""Real recordings that ship with the runtime, for trying it without a stethoscope."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path


@dataclass(frozen=True)
class Demo:
    """A bundled recording and what its licence asks to be said with it."""

    path: Path
    title: str
    site: str
    corpus: str
    licence: str
    attribution: str


def demos() -> list[Demo]:
    """Every bundled recording, the default ones first."""
    folder = Path(str(files(__name__)))
    rows = json.loads((folder / "demo.json").read_text(encoding="utf-8"))
    return [Demo(path=folder / row.pop("file"), **row) for row in rows]


def default_demo(site: str | None) -> Demo:
    """The recording to play for a site (`heart`, `lung`), or for none in particular."""
    return next(demo for demo in demos() if site in (None, demo.site))
