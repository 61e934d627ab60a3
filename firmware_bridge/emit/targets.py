"""What each build system needs around the C sources, and where it wants to find them.

The common layout is `include/`, `src/`, `link/` and `golden/`. A target adds its own files
(templates of the same path) and may move folders: `placed` does that. An Arduino library, for one,
is compiled from `src/` alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from string import Template
from typing import Final

from acula_edge.errors import UsageError
from firmware_bridge.model import McuModel


@dataclass(frozen=True)
class Target:
    """A build system: the files it wants; `moves` maps folders of the common layout to its own."""

    files: tuple[str, ...]
    moves: Mapping[str, str] = field(default_factory=dict)


TARGETS: Final[Mapping[str, Target]] = {
    "generic": Target(("CMakeLists.txt",)),
    "zephyr": Target(("zephyr/module.yml", "zephyr/CMakeLists.txt", "zephyr/Kconfig")),
    "arduino": Target(
        ("library.properties", "examples/Listen/Listen.ino"),
        {"include/": "src/", "link/": "src/"},
    ),
    "esp-idf": Target(("CMakeLists.txt", "Kconfig", "idf_component.yml")),
}


class _Template(Template):
    """`@{name}`: CMake and C leave the at sign alone."""

    delimiter = "@"


def target_files(model: McuModel, target: str) -> dict[str, bytes]:
    """The target's own files, by path within the exported folder.

    They expect the rest of the folder as `placed` leaves it.

    Raises:
        UsageError: no such target.
    """
    source = files("firmware_bridge.emit").joinpath("templates", target)
    values = {"version": three_numbers(model.version)}
    return {
        path: _Template(source.joinpath(path).read_text("utf-8")).substitute(values).encode()
        for path in find_target(target).files
    }


def placed(contents: Mapping[str, bytes], target: str) -> dict[str, bytes]:
    """Files of the common layout, moved to where the target looks for them; pages stay.

    Raises:
        UsageError: no such target.
    """
    moves = find_target(target).moves
    return {
        path if path.endswith(".md") else _moved(path, moves): data
        for path, data in contents.items()
    }


def find_target(name: str) -> Target:
    """The target of that name.

    Raises:
        UsageError: no such target; the sentence names those there are.
    """
    if name not in TARGETS:
        raise UsageError(f"no firmware target {name!r}: choose {', '.join(TARGETS)}")
    return TARGETS[name]


def three_numbers(version: str) -> str:
    """`version` as the x.y.z that package managers insist on; 0.0.0 where it has no number."""
    numbers = re.findall(r"\d+", re.split("[-+]", version)[0])[:3]
    return ".".join(str(int(number)) for number in (*numbers, "0", "0", "0")[:3])


def _moved(path: str, moves: Mapping[str, str]) -> str:
    for old, new in moves.items():
        if path.startswith(old):
            return new + path.removeprefix(old)
    return path
