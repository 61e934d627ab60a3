"""`align controls --out`: the experiment's table, record and picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from align.experiment.extras import (
    labels_in_texts,
    metadata_only,
    origins,
    read_texts,
    text_space,
)
from align.experiment.rows import rows
from align.experiment.run import collect, embedded_runs
from align.experiment.table import Line, lines, markdown, write_table
from align.settings import RecipeError
from align.tasks import select
from align.training.recipe import Recipe, to_table
from align.training.record import machine
from align.training.run import Runner

# Rows whose embeddings are also probed for origin and language, some 15 s each.
STUDIED = ("untrained", "ssl", "cka", "infonce", "siglip", "no-labels", "supervised")
WITH_TEXT = ("objective", "text", "shuffle")


def publish(recipe: Recipe, runner: Runner, folder: Path, out: Path) -> str:
    """Write the table of the rows that are complete, and return it as markdown.

    Raises:
        RecipeError: no row has been run.
    """
    scores = collect(recipe, runner, folder)
    table = lines(recipe, scores)
    if not table:
        raise RecipeError(f"no row has been run in {folder}: run 'acula-edge align controls' first")
    write_table(table, _record(recipe, runner, folder, table), out, recipe.name)
    return markdown(table)


def _record(recipe: Recipe, runner: Runner, folder: Path, table: list[Line]) -> dict[str, Any]:
    tasks = select(recipe.tasks)
    runs = {
        line.name: embedded_runs(recipe, runner, folder, line.name, line.run_seeds)
        for line in table
        if line.name in STUDIED
    }
    done = {line.name for line in table}
    told = [row for row in rows(recipe) if row.name in done and row.group in WITH_TEXT]
    heard = runner.workspace.store.rows
    texts = read_texts(heard, tasks, recipe, runner.workspace.cache)
    return {
        "recipe": to_table(recipe),
        "machine": machine(),
        "metadata_only": metadata_only(heard, tasks),
        "labels_in_text": labels_in_texts(told, runner.workspace, recipe.seeds[0]),
        "origin": {name: origins(found) for name, found in runs.items()},
        "text_space": {
            name: text_space(found, tasks, texts) for name, found in runs.items() if texts
        },
    }
