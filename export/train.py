"""Train the student on labelled recordings; resumable, with a progress bar and a JSONL log."""

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
from export.data import UNKNOWN, Batch, Clip, CropSampler, load_clips
from export.recipe import Augmentation, Pooling, Recipe
from export.student import Student, StudentOutput

COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeRemainingColumn(),
)
VALIDATE_EVERY = 2
STUDENT = "student.pt"
SHIFTED = Augmentation(response=1.0, band_limit=1.0, noise=1.0, snr_db=(10.0, 30.0), hum=0.2)


def pool(hop_logits: Tensor, pooling: Pooling) -> Tensor:
    """Hop logits (..., H) to the exam's logit (...)."""
    if pooling.kind == "mean":
        return hop_logits.mean(dim=-1)
    if pooling.kind == "logmeanexp":
        sharp = pooling.sharpness
        hops = torch.tensor(float(hop_logits.shape[-1]))
        return (torch.logsumexp(hop_logits * sharp, dim=-1) - hops.log()) / sharp
    raise ValueError(f"unknown pooling {pooling.kind!r}")


def clip_logits(output: StudentOutput, recipe: Recipe) -> Tensor:
    """Pooled logits (B, K)."""
    columns = [
        pool(output.hop_logits[:, index], recipe.pooling[finding])
        for index, finding in enumerate(recipe.student.findings)
    ]
    return torch.stack(columns, dim=1)


def loss_terms(output: StudentOutput, batch: Batch, recipe: Recipe) -> dict[str, Tensor]:
    """Clip, event-in-time and cardiac-phase losses; unknown labels do not count."""
    settings = recipe.training
    terms = {"clip": _masked_bce(clip_logits(output, recipe), batch.clip_labels)}
    terms["event"] = settings.event_weight * _masked_bce(output.step_logits, batch.step_labels)
    if (batch.phases != UNKNOWN).any():
        phase = F.cross_entropy(output.phase_logits, batch.phases, ignore_index=UNKNOWN)
        terms["phase"] = settings.phase_weight * phase
    return terms


def _masked_bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over findings of each finding's mean loss, so that a sparse label weighs as much."""
    known = (labels != UNKNOWN).float()
    losses = F.binary_cross_entropy_with_logits(logits, labels.clamp(min=0.0), reduction="none")
    axes = [axis for axis in range(labels.dim()) if axis != 1]
    counts = known.sum(dim=axes)
    means = (losses * known).sum(dim=axes) / counts.clamp(min=1.0)
    return means.sum() / (counts > 0).sum().clamp(min=1)


class _Run:
    """Everything that a resumed run must find as it left it."""

    def __init__(self, recipe: Recipe):
        settings = recipe.training
        torch.manual_seed(settings.seed)
        self.recipe = recipe
        self.model = Student(recipe.student)
        self.average = copy.deepcopy(self.model)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(),
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
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "schedule": self.schedule.state_dict(),
                "epoch": self.epoch,
            },
        )

    def load(self, path: Path) -> None:
        saved = torch.load(path, weights_only=True)
        self.model.load_state_dict(saved["model"])
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
        terms = loss_terms(output, batch, recipe)
        self.optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        _update_average(self.average, model, recipe.training.ema)
        return {name: float(value.detach()) for name, value in terms.items()}


def train(recipe: Recipe, data_root: Path, folder: Path, *, quiet: bool = False) -> Student:
    """Train `recipe` and return the exponential average of its weights after the last epoch.

    Validation scores are logged, never selected on: on so few patients the best epoch is luck.
    `folder` receives `checkpoint.pt` (resume), `student.pt` and `log.jsonl`. Calling it again
    continues where it stopped; a finished run returns at once.

    Raises:
        CorpusError: a corpus is missing.
        RecipeError: the folder holds a run of another student.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(recipe)
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.is_file():
        try:
            run.load(checkpoint)
        except RuntimeError:
            raise RecipeError(f"{checkpoint} belongs to another [student] section") from None
    epochs, steps = recipe.training.epochs, recipe.training.steps
    if run.epoch < epochs:
        sampler = _sampler(recipe, data_root)
        validation = [clip for group in _clips(recipe, data_root, "val") for clip in group]
        with Progress(*COLUMNS, disable=quiet) as bar:
            task = bar.add_task("training", total=epochs * steps, completed=run.epoch * steps)
            while run.epoch < epochs:
                losses = run.train_epoch(sampler, lambda: bar.advance(task))
                scores: dict[str, float] = {}
                if run.epoch % VALIDATE_EVERY == 0 or run.epoch == epochs:
                    scores = validation_scores(run.average, validation, recipe)
                run.save(checkpoint)
                _log(folder, {"epoch": run.epoch, **losses, **scores})
                bar.update(task, description=f"epoch {run.epoch}")
        _save(folder / STUDENT, run.average.state_dict())
    return load_student(recipe, folder)


def _clips(recipe: Recipe, data_root: Path, split: str) -> list[list[Clip]]:
    rate, findings = recipe.student.front_end.rate, recipe.student.findings
    corpora = recipe.training.corpora
    return [load_clips(corpus, data_root, rate, findings, (split,)) for corpus in corpora]


def _sampler(recipe: Recipe, data_root: Path) -> CropSampler:
    return CropSampler(
        _clips(recipe, data_root, "train"),
        recipe.student.findings,
        rate=recipe.student.front_end.rate,
        crop=recipe.training.crop,
        step=recipe.student.hop // recipe.student.steps_per_hop,
        speed=recipe.augmentation.speed,
    )


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
        raise RecipeError(f"no trained student at {path}: run 'acula-edge export train' first")
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
    """Pooled logits (N, K) of whole recordings; `shifted` passes each through another device."""
    model.eval()
    rows = []
    hop = recipe.student.hop
    for index, clip in enumerate(clips):
        pcm = torch.from_numpy(clip.pcm[: max(len(clip.pcm) // hop, 1) * hop])[None]
        if pcm.shape[1] < hop:
            pcm = F.pad(pcm, (0, hop - pcm.shape[1]))
        if shifted:
            generator = torch.Generator().manual_seed(index)
            pcm = augment(pcm, recipe.student.front_end.rate, SHIFTED, generator)
        rows.append(clip_logits(model(pcm), recipe)[0].numpy())
    return np.stack(rows)


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
