"""Students side by side on the test patients: by size, with and without a teacher.

Each row is a finished run of `acula-edge export distill`, scored in float32 on whole recordings;
the aligned encoder's linear probe is scored on the same recordings. Intervals and differences
resample patients (PhysioNet 2016 has none: recordings).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from align.corpora import Recording, read_corpus
from align.experiment.scoring import SCORES
from align.settings import RecipeError
from align.statistics import RESAMPLES, Array, patient_weights, weighted_auroc
from export.data import load_clips
from export.distill import load_student, read_run, score_clips
from export.figures import as_json, interval
from export.recipe import WIDTHS, Recipe, recipe_digest, sized
from export.score import FINDING_CORPUS, good_physionet
from export.student import Student

TRANSFER = "physionet2016-abnormal"
SCHEMA = 1
FILE = "students"
TASKS = {
    "circor-murmur": "murmur",
    "sprsound-crackle": "crackle",
    "sprsound-wheeze": "wheeze",
    TRANSFER: "abnormal",
}


@dataclass(frozen=True)
class TaskScores:
    """Test recordings of one task with a model's scores; higher means positive."""

    names: tuple[str, ...]
    patients: tuple[str, ...]
    truth: Array
    score: Array

    def draws(self) -> Array:
        """AUROC (1 + resamples,): on all recordings, then on resampled patients."""
        known, owner = np.unique(self.patients, return_inverse=True)
        weights = patient_weights(len(known), RESAMPLES, 0)[:, owner]
        everything = weighted_auroc(self.truth, self.score)
        return np.concatenate([everything, weighted_auroc(self.truth, self.score, weights)])


@dataclass(frozen=True)
class StudentRow:
    """One run: its size, its cost, what taught it, and its scores by task."""

    name: str
    recipe: str  # digest
    size: str
    parameters: int
    macs: float  # multiply-accumulates per second of sound
    taught: bool
    held_out: str
    scores: Mapping[str, TaskScores]


def score_run(recipe: Recipe, folder: Path, data_root: Path) -> StudentRow:
    """Score a run on the test patients and on the PhysioNet database it never heard.

    There a student that learned *abnormal* is scored by it, another by its murmur.

    Raises:
        RecipeError: no finished run of a size of this recipe, or one that held no database out.
    """
    record = read_run(folder)
    sizes = {recipe_digest(sized(recipe, size)): size for size in WIDTHS}
    if record["recipe"] not in sizes:
        raise RecipeError(f"{folder} is no run of recipe {recipe.name!r} in any of its sizes")
    if not record["held_out"]:
        raise RecipeError(f"{folder} heard every PhysioNet database: none is left to be scored on")
    size = sizes[record["recipe"]]
    recipe = sized(recipe, size)
    student = load_student(recipe, folder)
    return StudentRow(
        name=folder.name,
        recipe=record["recipe"],
        size=size,
        parameters=sum(p.numel() for p in student.parameters()),
        macs=macs_per_second(student),
        taught=bool(record["teacher"]),
        held_out=record["held_out"],
        scores=_score(student, recipe, data_root, record["held_out"]),
    )


def _score(
    student: Student, recipe: Recipe, data_root: Path, held_out: str
) -> dict[str, TaskScores]:
    result = {}
    heart = [row for row in good_physionet(data_root) if row.metadata["database"] == held_out]
    rows = {TRANSFER: heart} | {
        task: [r for r in read_corpus(FINDING_CORPUS[label], data_root) if r.split == "test"]
        for task, label in TASKS.items()
        if task != TRANSFER
    }
    targets = recipe.student.targets
    for task, label in TASKS.items():
        known = [row for row in rows[task] if label in row.labels]
        clips = load_clips(known, recipe.student.front_end.rate, targets)
        logits = score_clips(student, clips, recipe)
        kept = [clip.recording for clip in clips]
        by = label if label in targets else "murmur"
        result[task] = _task(kept, label, logits[:, targets.index(by)])
        if task == TRANSFER and by != "murmur":
            murmur = logits[:, targets.index("murmur")]
            result[f"{TRANSFER}, by its murmur"] = _task(kept, label, murmur)
    return result


def _task(rows: Sequence[Recording], label: str, score: Array) -> TaskScores:
    return TaskScores(
        names=tuple(row.name for row in rows),
        patients=tuple(row.patient for row in rows),
        truth=np.array([float(row.labels[label]) for row in rows]),
        score=np.asarray(score, dtype=np.float64),
    )


def original_scores(folder: Path, like: Mapping[str, TaskScores]) -> dict[str, TaskScores]:
    """The aligned encoder's probe on the recordings of `like`, from its `align` run.

    Raises:
        RecipeError: the folder holds no scores, or lacks some of those recordings.
    """
    try:
        stored = json.loads((folder / SCORES).read_text())
    except (OSError, ValueError):
        raise RecipeError(f"{folder} holds no scores of an aligned encoder") from None
    result = {}
    for task, mine in like.items():
        if task not in stored:
            continue
        theirs = dict(zip(stored[task]["recordings"], stored[task]["scores"], strict=True))
        missing = sorted(set(mine.names) - theirs.keys())
        if missing:
            raise RecipeError(f"{folder} has no score of {missing[0]} for {task}")
        score = np.array([theirs[name] for name in mine.names])
        result[task] = TaskScores(mine.names, mine.patients, mine.truth, score)
    return result


def macs_per_second(student: Student) -> float:
    """Multiply-accumulates per second of sound, front end included."""
    config, front = student.config, student.front_end
    total = 0.0
    for part in (front.long, front.short):
        if part is not None:
            rows, filters = part.get_buffer("rows"), part.get_buffer("filters")
            total += (rows.numel() + filters.numel()) * config.front_end.rate / part.step
    rate = config.front_end.rate / config.front_end.frame_hop
    for spec, block in zip(config.blocks, student.causal_blocks(), strict=True):
        rate /= spec.stride
        total += block.conv.weight.numel() * rate
    heads = (student.findings, student.phases)
    total += sum(head.weight.numel() for head in heads if head is not None) * rate
    return total


def compare_runs(
    recipe: Recipe, runs: Sequence[Path], originals: Sequence[Path], data_root: Path
) -> dict[str, object]:
    """Score every run and compare; `originals` are runs of `align`, one for a held-out database.

    Raises:
        RecipeError: a run is not one of this recipe, or an original held out no run's database.
    """
    rows = [score_run(recipe, run, data_root) for run in runs]
    found = {}
    for folder in originals:
        held_out = _held_out(folder)
        like = next((row.scores for row in rows if row.held_out == held_out), None)
        if like is None:
            raise RecipeError(f"{folder} held out {held_out!r}, which no run did")
        found[held_out] = original_scores(folder, like)
    return compare(rows, found)


def _held_out(folder: Path) -> str:
    try:
        return str(json.loads((folder / "run.json").read_text())["holdout"])
    except (OSError, ValueError, KeyError):
        raise RecipeError(f"{folder} is no finished run of 'acula-edge align run'") from None


def write_students(record: Mapping[str, object], folder: Path) -> None:
    """`students.json`, the record, and `students.md`, its table."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{FILE}.json").write_text(json.dumps(record, indent=1) + "\n")
    (folder / f"{FILE}.md").write_text(students_table(record))


def read_students(path: Path) -> dict[str, Any]:
    """A record that `write_students` wrote.

    Raises:
        RecipeError: it is missing or of another schema.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        raise RecipeError(f"no record of students at {path}") from None
    if record.get("schema") != SCHEMA:
        raise RecipeError(f"{path} is no record of students of schema {SCHEMA}")
    return record


def compare(
    rows: Sequence[StudentRow], originals: Mapping[str, Mapping[str, TaskScores]]
) -> dict[str, object]:
    """The record: every row's figures, its difference to its control and to the original.

    `originals` holds the aligned encoder's scores by held-out database. A row's control is the
    untaught run of its size with the same database held out.
    """
    controls = {(row.size, row.held_out): row for row in rows if not row.taught}
    found: dict[str, object] = {}
    for row in rows:
        control = controls.get((row.size, row.held_out))
        original = originals.get(row.held_out)
        found[row.name] = {
            "recipe": row.recipe,
            "size": row.size,
            "parameters": row.parameters,
            "macs_per_second": round(row.macs),
            "taught": row.taught,
            "held_out": row.held_out,
            "tasks": {task: _figures(scores) for task, scores in row.scores.items()},
            "mean": _json(_mean(row.scores)),
            "against_control": None
            if control is None or control is row
            else _json(_mean(row.scores) - _mean(control.scores)),
            "against_original": None
            if original is None
            else _json(_mean(row.scores) - _mean(original)),
        }
    return {
        "schema": SCHEMA,
        "students": found,
        "originals": {
            held_out: {
                "tasks": {task: _figures(scores) for task, scores in scores_of.items()},
                "mean": _json(_mean(scores_of)),
            }
            for held_out, scores_of in originals.items()
        },
    }


def _mean(scores: Mapping[str, TaskScores]) -> Array:
    """Draws of the mean AUROC over the tasks."""
    mean: Array = np.mean([scores[task].draws() for task in TASKS], axis=0)
    return mean


def _figures(scores: TaskScores) -> dict[str, object]:
    return {
        "recordings": len(scores.names),
        "positive": int(scores.truth.sum()),
        "patients": len(set(scores.patients)),
        "auroc": _json(scores.draws()),
    }


def _json(draws: Array) -> dict[str, float] | None:
    return as_json(interval(float(draws[0]), draws[1:]))


def students_table(record: Mapping[str, object]) -> str:
    """The record as a markdown table."""
    heads = ["student", "parameters", "MMAC/s", "murmur", "crackle", "wheeze"]
    heads += ["never heard: PhysioNet", "mean", "against its control", "against the original"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, row in record["originals"].items():  # type: ignore[attr-defined]
        cells = [f"aligned encoder's probe ({name} held out)", "", "", *_cells(row, name), "", ""]
        lines.append("| " + " | ".join(cells) + " |")
    for name, row in record["students"].items():  # type: ignore[attr-defined]
        cells = [name, f"{row['parameters']:,}", f"{row['macs_per_second'] / 1e6:.1f}"]
        cells += [*_cells(row, row["held_out"])]
        cells += [_span(row[key], "+") for key in ("against_control", "against_original")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cells(row: Mapping[str, object], database: str) -> list[str]:
    tasks: Mapping[str, Mapping[str, Mapping[str, float]]] = row["tasks"]  # type: ignore[assignment]
    cells = [_span(tasks[task]["auroc"]) for task in TASKS]
    cells[-1] = f"{database}: {cells[-1]}"
    return [*cells, _span(row["mean"])]  # type: ignore[arg-type]


def _span(estimate: Mapping[str, float] | None, sign: str = "") -> str:
    if estimate is None:
        return "-"
    return (
        f"{estimate['value']:{sign}.3f} [{estimate['low']:{sign}.3f}, {estimate['high']:{sign}.3f}]"
    )
