"""Train the student on labelled recordings; resumable, with a progress bar and a JSONL log."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from export.augment import augment, mask_bands
from export.data import UNKNOWN, Batch, Clip, CropSampler, load_clips
from export.recipe import Augmentation, Pooling, Recipe, RecipeError
from export.student import Student, StudentOutput

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


@dataclass
class Progressing:
    """What a run carries from epoch to epoch and writes to its checkpoint."""

    epoch: int
    best: float


def train(recipe: Recipe, data_root: Path, run: Path, *, quiet: bool = False) -> Student:
    """Train `recipe` and return the best student by validation score.

    `run` receives `checkpoint.pt` (resume), `best.pt` and `log.jsonl`. Calling it again continues
    where it stopped; a finished run returns at once.
    """
    run.mkdir(parents=True, exist_ok=True)
    settings, config = recipe.training, recipe.student
    rate = config.front_end.rate
    torch.manual_seed(settings.seed)
    loaded = {
        split: [
            load_clips(corpus, data_root, rate, config.findings, (split,))
            for corpus in settings.corpora
        ]
        for split in ("train", "val")
    }
    step = config.hop // config.steps_per_hop
    sampler = CropSampler(
        loaded["train"],
        config.findings,
        rate=rate,
        crop=settings.crop,
        step=step,
        speed=recipe.augmentation.speed,
    )
    model = Student(config)
    average = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    total = settings.epochs * settings.steps
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=total, pct_start=0.15
    )
    progress = Progressing(0, -1.0)
    checkpoint = run / "checkpoint.pt"
    if checkpoint.is_file():
        progress = _resume(checkpoint, model, average, optimiser, schedule)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=quiet) as bar:
        task = bar.add_task("training", total=total, completed=progress.epoch * settings.steps)
        while progress.epoch < settings.epochs:
            started = time.perf_counter()
            sums = _epoch(recipe, sampler, model, average, optimiser, schedule, progress, lambda: bar.advance(task))
            progress.epoch += 1
            scores: dict[str, float] = {}
            mean = 0.0
            if progress.epoch % 2 == 0 or progress.epoch == settings.epochs:
                scores = validation_scores(average, [c for group in loaded["val"] for c in group], recipe)
                mean = float(np.mean(list(scores.values())))
            if mean > progress.best:
                progress.best = mean
                _save(run / "best.pt", {"model": average.state_dict(), "scores": scores, "epoch": progress.epoch})
            _save(
                checkpoint,
                {
                    "model": model.state_dict(),
                    "average": average.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                    "progress": asdict(progress),
                },
            )
            record = {"epoch": progress.epoch, "seconds": round(time.perf_counter() - started, 1), **sums, **scores}
            with (run / "log.jsonl").open("a") as log:
                log.write(json.dumps(record) + "\n")
            bar.update(task, description=f"epoch {progress.epoch} val {mean:.3f}")
    return load_student(recipe, run)


def load_student(recipe: Recipe, run: Path) -> Student:
    """The best student of a run, in evaluation mode.

    Raises:
        RecipeError: the run has no student yet, or the recipe describes another one.
    """
    best = run / "best.pt"
    if not best.is_file():
        raise RecipeError(f"no trained student at {best}: run 'acula-edge export train' first")
    student = Student(recipe.student)
    try:
        student.load_state_dict(torch.load(best, weights_only=True)["model"])
    except RuntimeError:
        raise RecipeError(f"{best} was trained with another [student] section") from None
    return student.eval()


def _epoch(recipe, sampler, model, average, optimiser, schedule, progress, advance):  # type: ignore[no-untyped-def]
    settings, config = recipe.training, recipe.student
    seed = settings.seed * 100_003 + progress.epoch
    random = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    sums: dict[str, float] = {}
    model.train()
    for _ in range(settings.steps):
        batch = sampler.batch(settings.clips, random)
        with torch.no_grad():
            pcm = augment(batch.pcm, config.front_end.rate, recipe.augmentation, generator)
            features, parts = model.front_end(pcm, model._unpack(model.zero_state(len(pcm)))[:3])
            features = mask_bands(features, recipe.augmentation.band_mask, generator)
        histories = model._unpack(model.zero_state(len(pcm)))[3:]
        terms = loss_terms(model.from_features(features, histories, parts), batch, recipe)
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        _update_average(average, model, settings.ema)
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach()) / settings.steps
        advance()
    return sums


@torch.no_grad()
def _update_average(average: Student, model: Student, decay: float) -> None:
    for kept, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


@torch.no_grad()
def score_clips(model: Student, clips: list[Clip], recipe: Recipe, shifted: bool = False) -> np.ndarray:
    """Pooled logits (N, K) of whole recordings; `shifted` passes each through a random other device."""
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


def _save(path: Path, content: dict[str, object]) -> None:
    temporary = path.with_suffix(".partial")
    torch.save(content, temporary)
    temporary.replace(path)


def _resume(path, model, average, optimiser, schedule) -> Progressing:  # type: ignore[no-untyped-def]
    saved = torch.load(path, weights_only=True)
    model.load_state_dict(saved["model"])
    average.load_state_dict(saved["average"])
    optimiser.load_state_dict(saved["optimiser"])
    schedule.load_state_dict(saved["schedule"])
    return Progressing(**saved["progress"])
