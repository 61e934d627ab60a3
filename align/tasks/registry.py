"""The registry of probe tasks: which recordings, which truth, which split, which metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from align.corpora.recording import Recording
from align.settings import RecipeError, build, read_toml, section

REGISTRY = Path(__file__).with_name("tasks.toml")

SplitRule = Literal["corpus", "leave-one-database-out", "leave-one-subject-out"]
Metric = Literal["auroc", "macro_auroc", "mae"]
Source = Literal["opera", "acula", "acula-assumed", "ours"]
Solver = Literal["adam", "least-squares"]


class TaskError(RecipeError):
    """A task is unknown, or its entry in the registry makes no sense."""


@dataclass(frozen=True)
class ProbeSettings:
    """OPERA's linear probe on one task.

    `every` is how many epochs lie between validations, `l2` weighs the sum of squares of all
    parameters, `validation` is the share of training patients that validate where the split rule
    leaves none aside.
    """

    epochs: int = 64
    batch: int = 64
    every: int = 1
    l2: float = 1e-5
    solver: Solver = "adam"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    validation: float = 0.2


@dataclass(frozen=True)
class Task:
    """One thing to predict from a recording.

    `classes` maps a label's value (a boolean as `true` or `false`) to a class; values that it lacks
    are left out, and an empty map means regression. `where` keeps recordings whose metadata has one
    of the values. `prompts` holds, for each class, texts that describe it. `encoder_options` are
    options of `build_encoder` by encoder, and `opera` is the task's number in the OPERA benchmark.
    """

    name: str
    corpus: str
    label: str
    source: Source
    classes: Mapping[str, int] = field(default_factory=dict)
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    split: SplitRule = "corpus"
    hold_out: str = ""
    metric: Metric = "auroc"
    opera: str = ""
    probe: ProbeSettings = ProbeSettings()
    prompts: tuple[Sequence[str], ...] = ()
    encoder_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def class_count(self) -> int:
        """Number of classes; 0 for a regression."""
        return len(set(self.classes.values()))

    def truth(self, row: Recording) -> float | None:
        """The class number or value of a recording; None if it is not part of the task.

        Raises:
            TaskError: a value to regress that is no number.
        """
        if row.corpus != self.corpus or self.label not in row.labels:
            return None
        if any(row.metadata.get(key) not in allowed for key, allowed in self.where.items()):
            return None
        value = row.labels[self.label]
        if self.classes:
            spelled = str(value).lower() if isinstance(value, bool) else str(value)
            number = self.classes.get(spelled)
            return None if number is None else float(number)
        try:
            known = float(value)
        except ValueError:
            where = f"{row.corpus}/{row.name}"
            raise TaskError(
                f"task {self.name}: {where} has {self.label} {value!r}, no number"
            ) from None
        return known if math.isfinite(known) else None


def load_tasks(path: Path = REGISTRY) -> dict[str, Task]:
    """Every task of a registry file, by name, in file order.

    Raises:
        RecipeError: the file is missing, not TOML, or an entry is incomplete or contradictory.
    """
    content = read_toml(path)
    options = content.get("encoder_options", {})
    return {
        name: _task(name, dict(entry), options) for name, entry in section(content, "task").items()
    }


def select(names: str | Sequence[str], tasks: Mapping[str, Task] | None = None) -> list[Task]:
    """Tasks by name: `"all"`, one string with commas, or a sequence; in the order asked for.

    Raises:
        TaskError: a name that the registry (`tasks`, by default the built-in one) lacks, or none.
    """
    tasks = load_tasks() if tasks is None else tasks
    if names == "all":
        return list(tasks.values())
    wanted = names.split(",") if isinstance(names, str) else names
    wanted = list(dict.fromkeys(name.strip() for name in wanted if name.strip()))
    if not wanted:
        raise TaskError("no task was named; give names with commas between them, or all")
    for name in wanted:
        if name not in tasks:
            close = get_close_matches(name, tasks, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(tasks)}"
            raise TaskError(f"unknown task {name!r}; {hint}")
    return [tasks[name] for name in wanted]


def _task(name: str, entry: dict[str, Any], options: Mapping[str, Any]) -> Task:
    preset = entry.pop("encoder_options", None)
    if preset is not None and preset not in options:
        raise TaskError(f"task {name}: no [encoder_options.{preset}]")
    try:
        probe = build(ProbeSettings, entry.pop("probe", {}))
        values = {"name": name, "probe": probe, "encoder_options": options.get(preset, {})}
        task: Task = build(Task, entry | values)
    except RecipeError as error:
        raise TaskError(f"task {name}: {error}") from None
    _check(task)
    return task


def _check(task: Task) -> None:
    for key, value, allowed in (
        ("split", task.split, get_args(SplitRule)),
        ("metric", task.metric, get_args(Metric)),
        ("source", task.source, get_args(Source)),
        ("solver", task.probe.solver, get_args(Solver)),
    ):
        if value not in allowed:
            raise TaskError(f"task {task.name}: {key} {value!r} is none of {', '.join(allowed)}")
    numbers = set(task.classes.values())
    if numbers != set(range(len(numbers))):
        raise TaskError(f"task {task.name}: classes must be numbered 0, 1, ... without a gap")
    fitting = {
        "mae": len(numbers) == 0,
        "auroc": len(numbers) == 2,
        "macro_auroc": len(numbers) > 2,
    }
    if not fitting[task.metric]:
        raise TaskError(f"task {task.name}: {task.metric} does not fit {len(numbers)} classes")
    if (task.split == "leave-one-database-out") != bool(task.hold_out):
        raise TaskError(f"task {task.name}: leave-one-database-out and hold_out need each other")
    if task.split == "leave-one-subject-out" and task.classes:
        raise TaskError(f"task {task.name}: leave-one-subject-out is for regression")
    if task.prompts and len(task.prompts) != len(numbers):
        raise TaskError(f"task {task.name}: prompts must hold one list for each class")
