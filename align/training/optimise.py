"""One stage of optimisation: resumable, distributed, logged."""

from __future__ import annotations

import copy
import json
import math
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from align.encoders import Encoder
from align.errors import AlignError
from align.training.cached_step import cached_backward_step
from align.training.logs import RunLog
from align.training.losses import effective_rank, guiding_loss, within_corpus_cka
from align.training.material import Batch, Material, make_batch
from align.training.model import AlignModel, Output
from align.training.recipe import ObjectiveConfig, StageConfig
from align.training.texts import NO_TEXT


class TrainingError(AlignError):
    """Training cannot go on; the text says why and what to change."""


class Stage:
    """Runs `config.steps` steps of one kind of loss on a model and averages its weights.

    Kinds: "align" (text), "ssl", "supervised", "supcon"; the self-supervised loss is in all.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        model: AlignModel,
        objective: nn.Module,
        weights: ObjectiveConfig,
        config: StageConfig,
        seed: int,
        accelerator: Accelerator,
    ):
        self.name, self.kind, self.seed = name, kind, seed
        self.weights, self.config, self.accelerator = weights, config, accelerator
        _freeze_unused(model, kind)
        groups: list[dict[str, Any]] = [
            {"params": [p for p in model.parameters() if p.requires_grad]},
            # Decay would pull a contrastive loss's log scale and bias to 0.
            {"params": list(objective.parameters()), "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(
            groups, lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _warm_up_and_cosine(config))
        self.plain, self.average = model, _average(model.encoder, config.ema)
        if config.compile:
            model = torch.compile(model)  # type: ignore[assignment]
        self.model, self.optimiser = accelerator.prepare(model, optimiser)
        self.objective = objective.to(accelerator.device)
        self.average.to(accelerator.device)
        self.step = 0

    @property
    def encoder(self) -> Encoder:
        """The average of the encoder's weights so far."""
        encoder = self.average.module
        assert isinstance(encoder, Encoder)
        return encoder

    def run(
        self,
        material: Material,
        folder: Path,
        *,
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Train to the last step, from `folder`'s checkpoint if it has one.

        Raises:
            TrainingError: the loss is not finite, the checkpoint is another recipe's, or memory
                is not enough.
        """
        checkpoint = folder / f"{self.name}.checkpoint.pt"
        self._resume(checkpoint)
        advance(self.step)
        log = RunLog(folder) if self.accelerator.is_main_process else None
        clips, since = 0, time.perf_counter()
        while self.step < self.config.steps:
            draw = material.sampler.draw(
                self.step,
                rank=self.accelerator.process_index,
                world=self.accelerator.num_processes,
            )
            batch = make_batch(material, draw, self.plain.encoder.crop)
            with _memory_advice():
                terms, output = self._train(batch)
            if not math.isfinite(terms["loss"]):
                raise TrainingError(self._save_bad_batch(batch, material, folder))
            clips += len(batch.wave) * self.accelerator.num_processes
            self.step += 1
            advance(1)
            if log and (self.step % self.config.log_every == 0 or self.step == self.config.steps):
                seconds = time.perf_counter() - since
                terms |= _diagnostics(material, batch, output)
                log.write(self.name, self.step, {**terms, "clips_per_second": clips / seconds})
                clips, since = 0, time.perf_counter()
            if self.step % self.config.save_every == 0 or self.step == self.config.steps:
                self._save(checkpoint)
        if log:
            log.close()

    def _train(self, batch: Batch) -> tuple[dict[str, float], Output]:
        """One optimiser step; the values of its loss terms, and the output for diagnostics."""
        generator = torch.Generator(device=batch.wave.device)
        generator.manual_seed(
            (self.seed * 1_000_003 + self.step) * 64 + self.accelerator.process_index
        )
        torch.manual_seed(self.seed * 1_000_003 + self.step)  # dropout, the same after a resume
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        if self.config.micro_batch:
            terms, output = cached_backward_step(self, batch, generator)
        else:
            with self.accelerator.autocast():
                output = self.model(batch.wave, batch.text, generator)
            guide = self.guide(output, batch)
            loss = self.weights.weight * guide + self.weights.ssl_weight * output.ssl
            self.accelerator.backward(loss)
            terms = {"loss": loss, self.kind: guide, "ssl": output.ssl}
        values = dict(zip(terms, torch.stack(list(terms.values())).tolist(), strict=True))
        if math.isfinite(values["loss"]):
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip)
            self.optimiser.step()
            self.schedule.step()
            self.average.update_parameters(self.plain.encoder)
        return values, output

    def guide(self, output: Output, batch: Batch) -> Tensor:
        """The loss that guides this stage: alignment, labels, or zero."""
        return guiding_loss(
            self.kind,
            self.objective,
            self.weights,
            output,
            batch.reports,
            batch.corpora,
            batch.labels,
        )

    def _save(self, path: Path) -> None:
        if not self.accelerator.is_main_process:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.plain.state_dict(),
            "objective": self.objective.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "step": self.step,
        }
        temporary = path.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(path)

    def _resume(self, path: Path) -> None:
        if not path.is_file():
            return
        try:
            state = torch.load(path, map_location=self.accelerator.device, weights_only=True)
            self.plain.load_state_dict(state["model"])
            self.objective.load_state_dict(state["objective"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.schedule.load_state_dict(state["schedule"])
        except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError):
            raise TrainingError(
                f"{path} is damaged or another recipe's: choose another run folder or delete it"
            ) from None
        self.step = int(state["step"])

    def _save_bad_batch(self, batch: Batch, material: Material, folder: Path) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"bad-batch-{self.name}-{self.step}.safetensors"
        rows = [material.store.rows[row] for row in batch.rows.tolist()]
        names = json.dumps([f"{row.corpus}/{row.name}" for row in rows])
        tensors = {"wave": batch.wave.cpu(), "text": batch.text.cpu()}
        save_file(tensors, path, metadata={"recordings": names})
        return (
            f"the loss of {self.name} is not finite at step {self.step}; its batch is in {path}."
            " Lower the learning rate, or look at the recordings named there"
        )


def _freeze_unused(model: AlignModel, kind: str) -> None:
    """Heads that a stage does not train get no gradient, so that DDP does not wait for one."""
    model.audio_head.requires_grad_(kind in ("align", "supcon"))
    model.text_head.requires_grad_(kind == "align")
    model.classifier.requires_grad_(kind == "supervised")


def _average(encoder: Encoder, decay: float) -> AveragedModel:
    return AveragedModel(
        copy.deepcopy(encoder),
        multi_avg_fn=get_ema_multi_avg_fn(decay),  # type: ignore[no-untyped-call]
        use_buffers=True,
    )


def _warm_up_and_cosine(config: StageConfig) -> Callable[[int], float]:
    rise = max(1, round(config.steps * config.warm_up))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, config.steps - rise)))

    return factor


def _diagnostics(material: Material, batch: Batch, output: Output) -> dict[str, float]:
    """Effective rank of the embeddings, and each corpus's CKA of them with the text."""
    values = {"effective_rank": effective_rank(output.embedding.detach())}
    spoken = batch.reports != NO_TEXT
    for number, (name, _) in enumerate(material.sampler.shares):
        mine = spoken & (batch.corpora == number)
        cka = within_corpus_cka(output.embedding[mine], batch.text[mine])
        if cka is not None:
            values[f"cka_{name}"] = cka
    return values


@contextmanager
def _memory_advice() -> Iterator[None]:
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise TrainingError(
            "not enough memory for a batch: set micro_batch in the stage (gradient caching), or"
            " lower the corpora's batch"
        ) from None
