"""TOML files as frozen dataclasses: every key must be a field, and an error is one sentence."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from align.errors import AlignError


class RecipeError(AlignError):
    """A recipe is missing, malformed, or names an option that does not exist."""


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        RecipeError: no such file, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text())
    except OSError:
        raise RecipeError(f"no recipe at {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}") from None


def section(table: dict[str, Any], name: str) -> dict[str, Any]:
    """The table `[name]`.

    Raises:
        RecipeError: it is not there.
    """
    value = table.get(name)
    if not isinstance(value, dict):
        raise RecipeError(f"the recipe has no [{name}] section")
    return value


def build(kind: Any, values: dict[str, Any]) -> Any:
    """An instance of the dataclass `kind`; lists become tuples.

    Raises:
        RecipeError: a key that is no field, or a field without a value.
    """
    names = {item.name for item in dataclasses.fields(kind)}
    unknown = sorted(set(values) - names)
    if unknown:
        raise RecipeError(f"unknown key {unknown[0]!r} in {kind.__name__}; known: {sorted(names)}")
    frozen = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
    try:
        return kind(**frozen)
    except TypeError as error:
        raise RecipeError(f"{kind.__name__}: {error}") from None
