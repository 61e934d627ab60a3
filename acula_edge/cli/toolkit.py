"""Commands that live in the toolkit's other packages, found by name when they are called.

The runtime imports none of those packages: a device installs without them, and a missing extra is
one sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Annotated

import typer

from acula_edge.errors import MissingDependencyError


@dataclass(frozen=True)
class Package:
    """A toolkit package with a command line: `module` offers a typer app named `app`."""

    command: str
    module: str
    extra: str
    help: str


PACKAGES = (
    Package("data", "align.data_cli", "align", "Find, fetch and prepare the public corpora."),
    Package(
        "align", "align.cli", "align", "Align an audio encoder to a language model, and probe it."
    ),
    Package("export", "export.cli", "export", "Train, quantise, measure and write model bundles."),
    Package(
        "firmware", "firmware_bridge.cli", "firmware", "The model as C, its proof, and the link."
    ),
    Package("bench", "benchmarks.cli", "bench", "Latency against accuracy, and cost beside peers."),
)


def register(app: typer.Typer) -> None:
    """Add each package's command to the runtime's command line."""
    for package in PACKAGES:
        settings = {"ignore_unknown_options": True, "help_option_names": []}
        app.command(package.command, help=package.help, context_settings=settings)(_runner(package))


def _runner(package: Package):  # type: ignore[no-untyped-def]
    def run(
        args: Annotated[list[str] | None, typer.Argument(metavar="COMMAND ...")] = None,
    ) -> None:
        load(package)(args or ["--help"], prog_name=f"acula-edge {package.command}")

    return run


def load(package: Package) -> typer.Typer:
    """The package's app.

    Raises:
        MissingDependencyError: one of its libraries is not installed.
    """
    try:
        app: typer.Typer = import_module(package.module).app
    except ImportError as error:
        raise MissingDependencyError(
            f"'acula-edge {package.command}' needs {error.name}:"
            f" pip install 'acula-edge[{package.extra}]'"
        ) from None
    return app
