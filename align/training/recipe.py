"""An alignment recipe: everything that decides a run, read from one TOML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from align.reports import Labels, Source
from align.settings import RecipeError, build, read_toml, section

SHUFFLES = ("none", "within", "global")
STAGES = ("align", "ssl", "supervised", "supcon", "none")


@dataclass(frozen=True)
class EncoderConfig:
    """Which encoder, with its options, and the weights it starts from (safetensors), if any."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: str = ""


@dataclass(frozen=True)
class CorpusConfig:
    """A corpus in training: crops per batch, and whether its reports are used."""

    name: str
    batch: int
    text: bool = True


@dataclass(frozen=True)
class TextConfig:
    """Where reports come from, whether labels may stand in them, and the control's shuffle.

    `files` gives a table of written reports per corpus, under the data folder; recordings without
    one get the template.
    """

    source: Source = "template"
    labels: Labels = "include"
    shuffle: str = "none"
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TextTeacher:
    """The frozen language model whose embeddings are the target."""

    model: str = "google/medgemma-4b-pt"
    revision: str | None = None
    pooling: str = "mean"
    layer: int = -1


@dataclass(frozen=True)
class ObjectiveConfig:
    """The alignment loss, its weight, and the heads that it compares."""

    name: str = "cka"
    options: Mapping[str, Any] = field(default_factory=dict)
    weight: float = 1.0
    ssl_weight: float = 1.0
    per_corpus: bool = True
    width: int = 512
    hidden: int = 1024
    dropout: float = 0.2
    text_head: str = "mlp"


@dataclass(frozen=True)
class StageConfig:
    """Optimisation of one stage; `micro_batch` > 0 turns on gradient caching."""

    steps: int
    learning_rate: float
    weight_decay: float = 0.01
    warm_up: float = 0.1
    clip: float = 1.0
    ema: float = 0.99
    micro_batch: int = 0
    compile: bool = False
    log_every: int = 20
    save_every: int = 100


@dataclass(frozen=True)
class Recipe:
    """One experiment. Seed i leaves PhysioNet database `holdouts[i]` out of training entirely.

    `stage` is what follows pre-training: "align", or a control that spends the same budget on
    self-supervision alone ("ssl"), on labels ("supervised", "supcon"), or on nothing ("none").
    `written` names reports, under the data folder, for the control that reads an LLM's.
    """

    name: str
    encoder: EncoderConfig
    corpora: tuple[CorpusConfig, ...]
    align: StageConfig
    pretrain: StageConfig | None = None
    text: TextConfig = field(default_factory=TextConfig)
    teacher: TextTeacher = field(default_factory=TextTeacher)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    stage: str = "align"
    written: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    holdouts: tuple[str, ...] = ("a", "b", "d")
    test_looks: int = 1

    def holdout(self, seed: int) -> str:
        """PhysioNet database that the run of this seed never sees."""
        return self.holdouts[seed % len(self.holdouts)] if self.holdouts else ""


PARTS = {
    "encoder": EncoderConfig,
    "align": StageConfig,
    "pretrain": StageConfig,
    "text": TextConfig,
    "teacher": TextTeacher,
    "objective": ObjectiveConfig,
}


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        RecipeError: no such file, bad TOML, an unknown key, or a value that does not fit.
    """
    return recipe_from_table(read_toml(path))


def recipe_from_table(table: Mapping[str, Any]) -> Recipe:
    """Build a recipe from parsed TOML; every key must be a field."""
    table = dict(table)
    section(table, "encoder")
    section(table, "align")
    for name, kind in PARTS.items():
        if name in table:
            table[name] = build(kind, section(table, name))
    rows = table.get("corpora")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise RecipeError("the recipe has no [[corpora]]")
    table["corpora"] = [build(CorpusConfig, row) for row in rows]
    recipe: Recipe = build(Recipe, table)
    _check(recipe)
    return recipe


def to_table(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values, for run records and hashes."""
    return dataclasses.asdict(recipe)


def _check(recipe: Recipe) -> None:
    _one_of(
        "text.source",
        recipe.text.source,
        ("template", "findings", "metadata", "set-name", "random"),
    )
    _one_of("text.labels", recipe.text.labels, ("include", "exclude"))
    _one_of("text.shuffle", recipe.text.shuffle, SHUFFLES)
    _one_of("objective.text_head", recipe.objective.text_head, ("mlp", "linear", "none"))
    _one_of("stage", recipe.stage, STAGES)
    names = [corpus.name for corpus in recipe.corpora]
    if len(set(names)) != len(names):
        raise RecipeError("a corpus stands twice in [[corpora]]")
    for corpus in recipe.corpora:
        if corpus.batch < 2:
            raise RecipeError(f"corpus {corpus.name!r}: batch must be at least 2")
    for stage in (recipe.align, recipe.pretrain):
        if stage is not None and (stage.steps < 0 or stage.learning_rate <= 0):
            raise RecipeError("steps must not be negative and learning_rate must be positive")


def _one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise RecipeError(f"{key} is {value!r}; known: {', '.join(known)}")
