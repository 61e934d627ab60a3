"""`align run`: certificate, self-supervised pre-training, alignment, and what is left behind."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from align.encoders import Encoder, build_encoder
from align.encoders.checkpoints import load_encoder, load_weights, save_encoder
from align.leakage import Certificate, certify, require
from align.objectives import build_objective
from align.training.material import Material
from align.training.model import AlignModel
from align.training.optimise import Stage
from align.training.recipe import Recipe, StageConfig
from align.training.record import write_record
from align.training.workspace import Workspace, open_workspace

log = logging.getLogger(__name__)

COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeRemainingColumn(),
)
ENCODER = "encoder.json"


@dataclass(frozen=True)
class Runner:
    """Runs recipes over one workspace; `pretrained` folders are shared between recipes."""

    workspace: Workspace
    accelerator: Accelerator
    quiet: bool = False

    def run(
        self, recipe: Recipe, folder: Path, seed: int, pretrained: Path | None = None
    ) -> Encoder:
        """Pre-train (or take `pretrained`'s encoder), then run the recipe's stage.

        Called again it continues where it stopped; a finished run returns at once.

        Raises:
            LeakageError: a patient or a recording of the evaluation would be trained on.
            TrainingError: see `Stage.run`.
        """
        if (folder / ENCODER).is_file():
            return load_encoder(folder)
        started = time.time()
        certificate = self.certify(recipe, seed)
        require(certificate)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "certificate.json").write_text(certificate.to_json() + "\n")
        torch.manual_seed(seed)
        material = self.workspace.material(recipe, seed)
        encoder = self._start(recipe, material, folder, seed, pretrained)
        if recipe.stage != "none":
            encoder = self._stage("align", recipe.stage, recipe, material, encoder, folder, seed)
        if self.accelerator.is_main_process:
            save_encoder(encoder, recipe.encoder.name, recipe.encoder.options, folder)
            write_record(recipe, seed, material, certificate, folder, time.time() - started)
        return encoder

    def certify(self, recipe: Recipe, seed: int) -> Certificate:
        """Proof that this run's training and evaluation recordings share no patient."""
        training = set(self.workspace.training_rows(recipe, seed))
        heard = self.workspace.store.heard()
        return certify(
            [heard[index] for index in sorted(training)],
            [row for index, row in enumerate(heard) if index not in training],
            labels=recipe.text.labels,
        )

    def pretrain(self, recipe: Recipe, folder: Path, seed: int) -> Encoder:
        """The self-supervised stage alone, kept in `folder` for recipes that start from it."""
        return self.run(replace(recipe, stage="none"), folder, seed)

    def _start(
        self, recipe: Recipe, material: Material, folder: Path, seed: int, pretrained: Path | None
    ) -> Encoder:
        if pretrained is not None:
            return load_encoder(pretrained)
        encoder = build_encoder(recipe.encoder.name, recipe.encoder.options)
        if recipe.encoder.weights:
            load_weights(encoder, Path(recipe.encoder.weights))
        if recipe.pretrain is None or recipe.pretrain.steps == 0:
            return encoder
        return self._stage("pretrain", "ssl", recipe, material, encoder, folder, seed)

    def _stage(
        self,
        name: str,
        kind: str,
        recipe: Recipe,
        material: Material,
        encoder: Encoder,
        folder: Path,
        seed: int,
    ) -> Encoder:
        config = recipe.pretrain if name == "pretrain" else recipe.align
        assert config is not None
        stage = Stage(
            name,
            kind,
            AlignModel(encoder, material.texts.vectors.shape[1], recipe.objective),
            build_objective(recipe.objective.name, **recipe.objective.options),
            recipe.objective,
            config,
            seed,
            self.accelerator,
        )
        with self._progress(f"{recipe.name} {name}", config) as advance:
            stage.run(material, folder, advance=advance)
        return stage.encoder

    def _progress(self, title: str, config: StageConfig) -> _Bar:
        show = not self.quiet and self.accelerator.is_main_process
        return _Bar(title, config.steps, show)


class _Bar:
    """A progress bar as a context that gives its `advance` function."""

    def __init__(self, title: str, steps: int, show: bool):
        self._bar = Progress(*COLUMNS, disable=not show)
        self._title, self._steps = title, steps

    def __enter__(self) -> Callable[[int], None]:
        self._bar.start()
        task = self._bar.add_task(self._title, total=self._steps)
        return lambda steps: self._bar.advance(task, steps)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def make_accelerator() -> Accelerator:
    """bf16 on a GPU, float32 elsewhere; several processes if torchrun started them."""
    cuda = torch.cuda.is_available()
    return Accelerator(mixed_precision="bf16" if cuda else "no", cpu=not cuda)


def open_runner(recipe: Recipe, data_root: Path, cache: Path, *, quiet: bool = False) -> Runner:
    """Read the recipe's corpora to the training device.

    Raises:
        CorpusError: a corpus is missing.
        EncoderError: no such encoder.
    """
    accelerator = make_accelerator()
    encoder = build_encoder(recipe.encoder.name, recipe.encoder.options)
    quiet = quiet or not accelerator.is_main_process
    workspace = open_workspace(recipe, data_root, cache, encoder, accelerator.device, quiet=quiet)
    return Runner(workspace, accelerator, quiet)
