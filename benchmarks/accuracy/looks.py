"""How often the test patients had been looked at, and the sentence that says so."""

from __future__ import annotations

from pathlib import Path

import export
from acula_edge.bundle import Bundle
from acula_edge.errors import UsageError
from align.settings import RecipeError
from export.recipe import WIDTHS, load_recipe

RECIPES = Path(export.__file__).parent / "recipes"


def earlier_looks(bundle: Bundle, split: str, told: int | None = None) -> int:
    """Looks at the test patients before this one: `told`, or what the bundle's recipe says.

    0 for another split, which looks at none.

    Raises:
        UsageError: test patients, and neither says.
    """
    if split != "test":
        return 0
    if told is not None:
        return told
    name = bundle.manifest.name
    stem, _, size = name.rpartition("-")
    recipe = stem if size.upper() in WIDTHS else name  # `export.recipe.sized` names a size
    try:
        return load_recipe(RECIPES / f"{recipe}.toml").test_looks
    except RecipeError:
        raise UsageError(
            f"no recipe of {name!r} says how often the test patients had been looked at: say it"
            " with --looks (0: never), or use --split val"
        ) from None


def look_sentence(split: str, looks: int) -> str:
    """Whose recordings are about to be scored, and what that does to the figures."""
    if split != "test":
        return (
            "Scoring validation patients, on whom thresholds and calibration were fixed, which"
            " flatters; no test patient is looked at."
        )
    return (
        "This is a look at the test patients, who had been scored"
        f" {looks} time{'' if looks == 1 else 's'} before: choose nothing by its figures."
        " --split val looks at none of them."
    )
