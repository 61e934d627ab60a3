"""`acula-edge export`: a thin shell over the public functions of this package."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from acula_edge.bundle import load_bundle
from acula_edge.errors import UsageError
from align.corpora import CorpusError
from align.settings import RecipeError
from export.build import build_bundle
from export.card import figures_table
from export.evaluate import evaluate
from export.quantise import QuantiseError
from export.recipe import load_recipe
from export.train import load_student, train

app = typer.Typer(
    help="Train, quantise, measure and write model bundles.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

Recipe = Annotated[Path, typer.Argument(help="A recipe, such as export/recipes/heart-lung.toml.")]
Data = Annotated[Path, typer.Option(help="Folder that holds the corpora.")]
Run = Annotated[Path | None, typer.Option(help="Folder of the run; default runs/<recipe name>.")]


@app.command("train")
def train_command(recipe: Recipe, data: Data, run: Run = None) -> None:
    """Train a recipe; called again, it continues where it stopped."""
    with _clear_errors():
        settings = load_recipe(recipe)
        folder = run or Path("runs") / settings.name
        train(settings, data, folder)
        typer.echo(f"trained: {folder}")


@app.command("bundle")
def bundle_command(recipe: Recipe, data: Data, out: Path, run: Run = None) -> None:
    """Turn a trained run into a calibrated, measured bundle in the folder OUT."""
    with _clear_errors():
        settings = load_recipe(recipe)
        student = load_student(settings, run or Path("runs") / settings.name)
        bundle = build_bundle(student, settings, data, out)
        typer.echo(figures_table(bundle.manifest))


@app.command("evaluate")
def evaluate_command(
    model: Annotated[str, typer.Argument(help="Shipped bundle, or a path to one.")],
    data: Data,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Score the test patients with every variant, through the path that runs live."""
    from dataclasses import replace  # noqa: PLC0415

    with _clear_errors():
        bundle = load_bundle(model)
        figures = evaluate(bundle, data)
        if as_json:
            sys.stdout.write(json.dumps(figures, indent=2) + "\n")
        else:
            typer.echo(figures_table(replace(bundle.manifest, metrics=figures)))


@contextmanager
def _clear_errors() -> Iterator[None]:
    try:
        yield
    except (RecipeError, CorpusError, QuantiseError) as error:
        raise UsageError(str(error)) from None
