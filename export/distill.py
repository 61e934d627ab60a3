"""Distil a student from an aligned encoder and labelled recordings; resumable.

Without an encoder the same run learns from the labels alone: the control.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from align.settings import RecipeError
from export.augment import augment, mask_bands
from export.data import (
    UNKNOWN,
    Batch,
    Clip,
    CropSampler,
    load_clips,
    training_rows,
    validation_rows,
)
from export.losses import Teaching, clip_logits
from export.recipe import Augmentation, Recipe, recipe_digest
from export.student import Student
from export.teacher import TeacherOutputs, encoder_digest, teacher_outputs

COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeRemainingColumn(),
)
VALIDATE_EVERY = 4
STUDENT = "student.pt"
RUN = "run.json"
SHIFTED = Augmentation(response=1.0, band_limit=1.0, noise=1.0, snr_db=(10.0, 30.0), hum=0.2)


class _Run:
    """Everything that a resumed run must find as it left it."""

    def __init__(self, recipe: Recipe, teacher: TeacherOutputs | None):
        settings = recipe.training
        torch.manual_seed(settings.seed)
        self.recipe = recipe
        self.model = Student(recipe.student)
        self.teaching = Teaching(recipe, teacher)
        self.average = copy.deepcopy(self.model)
        self.optimiser = torch.optim.AdamW(
            [*self.model.parameters(), *self.teaching.parameters()],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser,
            settings.learning_rate,
            total_steps=settings.epochs * settings.steps,
            pct_start=0.15,
        )
        self.epoch = 0

    def save(self, path: Path) -> None:
        _save(
            path,
            {
                "model": self.model.state_dict(),
                "teaching": self.teaching.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "schedule": self.schedule.state_dict(),
                "epoch": self.epoch,
            },
        )

    def load(self, path: Path) -> None:
        saved = torch.load(path, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.teaching.load_state_dict(saved["teaching"])
        self.average.load_state_dict(saved["average"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.schedule.load_state_dict(saved["schedule"])
        self.epoch = saved["epoch"]

    def train_epoch(self, sampler: CropSampler, advance: Callable[[], None]) -> dict[str, float]:
        """One epoch; its randomness depends on the seed and the epoch's number alone."""
        settings = self.recipe.training
        seed = settings.seed * 100_003 + self.epoch
        random, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # dropout draws from the global generator
        sums: dict[str, float] = {}
        self.model.train()
        for _ in range(settings.steps):
            terms = self._step(sampler.batch(settings.clips, random), generator)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value / settings.steps
            advance()
        self.epoch += 1
        return sums

    def _step(self, batch: Batch, generator: torch.Generator) -> dict[str, float]:
        recipe, model = self.recipe, self.model
        with torch.no_grad():
            rate = recipe.student.front_end.rate
            pcm = augment(batch.pcm, rate, recipe.augmentation, generator)
            features, front_end_state = model.front_end(pcm, model.zero_parts(len(pcm))[:3])
            features = mask_bands(features, recipe.augmentation.band_mask, generator)
        output = model.from_features(features, model.zero_parts(len(pcm))[3:], front_end_state)
        terms = self.teaching(output, batch, self.epoch)
        self.optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        _update_average(self.average, model, recipe.training.ema)
        return {name: float(value.detach()) for name, value in terms.items()}


def distill(
    recipe: Recipe,
    data_root: Path,
    folder: Path,
    *,
    teacher: Path | None = None,
    held_out: str = "",
    cache: Path | None = None,
    quiet: bool = False,
) -> Student:
    """Train `recipe` and return the exponential average of its weights after the last epoch.

    Validation scores are logged, never selected on: on so few patients the best epoch is luck.
    `folder` receives `checkpoint.pt` (resume), `student.pt`, `log.jsonl` and `run.json`. Calling it
    again continues where it stopped; a finished run returns at once.

    Args:
        recipe: the student and how it is trained.
        data_root: folder of the corpora.
        folder: the run.
        teacher: folder of an encoder that `acula-edge align run` saved; None for the control.
        held_out: PhysioNet 2016 database that is never heard, a to d.
        cache: where the teacher's outputs are kept; default: beside the run.
        quiet: no progress bars.

    Raises:
        CorpusError: a corpus is missing.
        EncoderError: the teacher is missing, damaged or of another shape than it says.
        RecipeError: the folder holds another run, or a head has no labels to learn from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, recipe, teacher, held_out)
    checkpoint = folder / "checkpoint.pt"
    if not (folder / STUDENT).is_file():
        sampler = _sampler(recipe, data_root, held_out)
        outputs = None
        if teacher is not None:
            outputs = teacher_outputs(teacher, sampler, cache or folder.parent)
        run = _Run(recipe, outputs)
        if checkpoint.is_file():
            run.load(checkpoint)
        validation = _validation(recipe, data_root)
        _train(run, sampler, validation, folder, quiet)
        _save(folder / STUDENT, run.average.state_dict())
    return load_student(recipe, folder)


def _train(
    run: _Run, sampler: CropSampler, validation: list[Clip], folder: Path, quiet: bool
) -> None:
    epochs, steps = run.recipe.training.epochs, run.recipe.training.steps
    with Progress(*COLUMNS, disable=quiet) as bar:
        task = bar.add_task("distilling", total=epochs * steps, completed=run.epoch * steps)
        while run.epoch < epochs:
            losses = run.train_epoch(sampler, lambda: bar.advance(task))
            scores: dict[str, float] = {}
            if run.epoch % VALIDATE_EVERY == 0 or run.epoch == epochs:
                scores = validation_scores(run.average, validation, run.recipe)
            run.save(folder / "checkpoint.pt")
            _log(folder, {"epoch": run.epoch, **losses, **scores})
            bar.update(task, description=f"epoch {run.epoch}")


def _claim(folder: Path, recipe: Recipe, teacher: Path | None, held_out: str) -> None:
    """Say what the folder's run is, or refuse to continue another one."""
    record = {
        "recipe": recipe_digest(recipe),
        "teacher": "" if teacher is None else encoder_digest(teacher),
        "held_out": held_out,
    }
    path = folder / RUN
    if path.is_file() and read_run(folder) != record:
        raise RecipeError(f"{folder} holds a run of another recipe, teacher or held-out database")
    path.write_text(json.dumps(record, indent=2) + "\n")


def read_run(folder: Path) -> dict[str, str]:
    """What a run's folder says it is: `recipe` and `teacher` digests, `held_out` database.

    Raises:
        RecipeError: it holds no run.
    """
    try:
        record: dict[str, str] = json.loads((folder / RUN).read_text())
    except (OSError, ValueError):
        raise RecipeError(f"{folder} holds no run: 'acula-edge export distill' makes one") from None
    return record


def _sampler(recipe: Recipe, data_root: Path, held_out: str) -> CropSampler:
    rate, targets = recipe.student.front_end.rate, recipe.student.targets
    corpora = [
        load_clips(training_rows(corpus, data_root, held_out), rate, targets)
        for corpus in recipe.training.corpora
    ]
    _require_labels(recipe, [clip for corpus in corpora for clip in corpus])
    return CropSampler(
        corpora,
        targets,
        rate=rate,
        crop=recipe.training.crop,
        step=recipe.student.hop // recipe.student.steps_per_hop,
        speed=recipe.augmentation.speed,
    )


def _require_labels(recipe: Recipe, clips: list[Clip]) -> None:
    for target in recipe.student.targets:
        known = {bool(c.recording.labels[target]) for c in clips if target in c.recording.labels}
        if len(known) < 2:
            corpora = ", ".join(recipe.training.corpora)
            raise RecipeError(f"no labels to learn {target!r} from in {corpora}")
    if recipe.student.phases and not any((clip.phases != UNKNOWN).any() for clip in clips):
        raise RecipeError("no cardiac phases to learn from: [student] phases needs circor")


def _validation(recipe: Recipe, data_root: Path) -> list[Clip]:
    rows = [r for corpus in recipe.training.corpora for r in validation_rows(corpus, data_root)]
    return load_clips(rows, recipe.student.front_end.rate, recipe.student.targets)


def _log(folder: Path, record: dict[str, float]) -> None:
    with (folder / "log.jsonl").open("a") as log:
        log.write(json.dumps({key: round(value, 5) for key, value in record.items()}) + "\n")


def load_student(recipe: Recipe, run: Path) -> Student:
    """The trained student of a finished run, in evaluation mode.

    Raises:
        RecipeError: the run has no student yet, or the recipe describes another one.
    """
    path = run / STUDENT
    if not path.is_file():
        raise RecipeError(f"no trained student at {path}: run 'acula-edge export distill' first")
    student = Student(recipe.student)
    try:
        student.load_state_dict(torch.load(path, weights_only=True))
    except RuntimeError:
        raise RecipeError(f"{path} was trained with another [student] section") from None
    return student.eval()


@torch.no_grad()
def _update_average(average: Student, model: Student, decay: float) -> None:
    for kept, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


@torch.no_grad()
def score_clips(
    model: Student, clips: list[Clip], recipe: Recipe, shifted: bool = False
) -> np.ndarray:
    """Pooled logits (N, T) of whole recordings; `shifted` passes each through another device."""
    model.eval()
    rows = []
    for index, clip in enumerate(clips):
        pcm = _whole_hops(clip, model)
        if shifted:
            generator = torch.Generator().manual_seed(index)
            pcm = augment(pcm, recipe.student.front_end.rate, SHIFTED, generator)
        rows.append(clip_logits(model(pcm), recipe)[0].numpy())
    return np.stack(rows)


@torch.no_grad()
def trunk_means(model: Student, clips: list[Clip]) -> np.ndarray:
    """Mean of the trunk's last activations over each recording: (N, width)."""
    model.eval()
    return np.stack([model(_whole_hops(c, model)).trunk.mean(dim=2)[0].numpy() for c in clips])


def _whole_hops(clip: Clip, model: Student) -> Tensor:
    """The recording (1, n) up to its last whole hop; at least one hop."""
    hop = model.config.hop
    pcm = torch.from_numpy(clip.pcm[: max(len(clip.pcm) // hop, 1) * hop])[None]
    return F.pad(pcm, (0, max(hop - pcm.shape[1], 0)))


def validation_scores(model: Student, clips: list[Clip], recipe: Recipe) -> dict[str, float]:
    """AUROC per finding on validation patients, as recorded and through simulated other devices."""
    scores = {}
    for name, shifted in (("", False), ("_shifted", True)):
        logits = score_clips(model, clips, recipe, shifted)
        for index, finding in enumerate(recipe.student.findings):
            rows = [i for i, clip in enumerate(clips) if finding in clip.recording.labels]
            truth = [clips[i].recording.labels[finding] for i in rows]
            scores[finding + name] = float(roc_auc_score(truth, logits[rows, index]))
    return scores


def _save(path: Path, content: Mapping[str, object]) -> None:
    temporary = path.with_suffix(".partial")
    torch.save(content, temporary)
    temporary.replace(path)
