"""Train and score every row for every seed; what is done already is not done again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from align.encoders.checkpoints import load_encoder
from align.experiment.rows import Row, rows
from align.experiment.scoring import SCORES, embed_run, read_scores, score_run
from align.probe.embed import Embedded
from align.probe.score import TaskScores
from align.settings import RecipeError
from align.tasks import select
from align.training.recipe import Recipe
from align.training.run import Runner

PRETRAINED = "pretrained"
WAIT = 5.0  # seconds before looking again whether another process is done


def run_rows(recipe: Recipe, runner: Runner, folder: Path, *, only: Sequence[str] = ()) -> None:
    """Run the table's (row, seed) pairs that are not done, in any number of processes at once.

    A pair, and each seed's pre-training, is one process's at a time by a lock in `folder`; a
    process that finds one taken goes on to the next.

    Raises:
        RecipeError: `only` names a row that the table has not.
    """
    pending = [(row, seed) for seed in recipe.seeds for row in _wanted(recipe, only)]
    while pending:
        taken = [pair for pair in pending if not _try_row(*pair, runner, folder)]
        if len(taken) == len(pending):
            time.sleep(WAIT)
        pending = taken


def _try_row(row: Row, seed: int, runner: Runner, folder: Path) -> bool:
    """Run a pair unless another process has it; whether it is done."""
    own = _home(folder, row.name, seed)
    if (own / SCORES).is_file():
        return True
    try:
        with _lock(own):
            pretrained = None
            if row.shared:
                pretrained = _home(folder, PRETRAINED, seed)
                with _lock(pretrained):
                    runner.pretrain(row.recipe, pretrained, seed)
            encoder = runner.run(row.recipe, own, seed, pretrained)
            tasks = select(row.recipe.tasks)
            embedded = embed_run(encoder, runner.workspace, tasks, own)
            score_run(embedded, tasks, row.recipe.holdout(seed), own)
    except Timeout:
        return False
    return True


def _home(folder: Path, name: str, seed: int) -> Path:
    return folder / name / f"seed-{seed}"


def _lock(home: Path) -> FileLock:
    home.mkdir(parents=True, exist_ok=True)
    return FileLock(home / ".lock", timeout=0)


def collect(recipe: Recipe, runner: Runner, folder: Path) -> dict[str, dict[int, list[TaskScores]]]:
    """Scores by row and seed, of every pair that has been run."""
    tasks, heard = select(recipe.tasks), runner.workspace.store.rows
    found: dict[str, dict[int, list[TaskScores]]] = {}
    for row in rows(recipe):
        for seed in recipe.seeds:
            home = _home(folder, row.name, seed)
            if (home / SCORES).is_file():
                found.setdefault(row.name, {})[seed] = read_scores(home, tasks, heard)
    return found


def embedded_runs(
    recipe: Recipe, runner: Runner, folder: Path, name: str, seeds: Sequence[int]
) -> list[Embedded]:
    """Stored embeddings of a row, seed by seed."""
    tasks = select(recipe.tasks)
    homes = [_home(folder, name, seed) for seed in seeds]
    return [embed_run(load_encoder(home), runner.workspace, tasks, home) for home in homes]


def _wanted(recipe: Recipe, only: Sequence[str]) -> list[Row]:
    table = rows(recipe)
    known = [row.name for row in table]
    for name in only:
        if name not in known:
            raise RecipeError(f"unknown row {name!r}; known: {', '.join(known)}")
    return [row for row in table if not only or row.name in only]
