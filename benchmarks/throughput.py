"""Training throughput: our loop beside the released design, same clips, encoder and hardware."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from align.corpora import Recording
from align.training.material import make_batch
from align.training.recipe import Recipe
from benchmarks.interleaved import Ratio, ratio_of_pairs
from benchmarks.released_design import FEATURES, LANGUAGE_MODEL, require_librosa
from benchmarks.training_sides import SEED, Side, build_sides

# Dense bf16 FLOP/s by the driver's name, from the vendor's data sheets: SXM boards only.
BF16_PEAKS = {"NVIDIA H100 80GB HBM3": 989e12, "NVIDIA H200": 989e12}


@dataclass(frozen=True)
class Speed:
    """Median clips per second over the bursts, and the clips of all bursts together."""

    batch: int
    clips_per_second: float
    clips: int

    def __str__(self) -> str:
        return f"batch {self.batch}: {self.clips_per_second:.1f} clips/s ({self.clips} clips)"


@dataclass(frozen=True)
class Split:
    """Milliseconds per clip of the released design, of a burst that waits after every part."""

    features: float
    language_model: float
    encoder: float  # with heads, loss and optimiser
    clips: int


@dataclass(frozen=True)
class ThroughputResult:
    """Clips per second of training, and ratios ours / released.

    `ratio_same_batch` has ours at the released batch; `ratio_free_features` grants the released
    design that worker processes hide all of its feature work, the most that they could do.
    A larger teacher makes the ratios larger: those of a stand-in are lower bounds.
    `sound` names the corpora of the clips, or is "noise".
    `flops_per_clip` are those of our model, forward and backward; the peak of a device that is not
    known is None.
    """

    recipe: str
    encoder: str
    sound: str
    recordings: int
    clip_seconds: float
    teacher: str
    teacher_parameters: int
    tokens: int
    device: str
    threads: int
    precision: str
    ours: Speed
    ours_same_batch: Speed
    released: Speed
    ratio: Ratio
    ratio_same_batch: Ratio
    ratio_free_features: Ratio
    split: Split
    flops_per_clip: float
    bf16_peak: float | None
    peak_share: float | None

    def lines(self) -> list[str]:
        """A short table for people."""
        return [
            f"{self.encoder}, clips of {self.clip_seconds:.2f} s from {self.recordings} recordings"
            f" ({self.sound}); {self.device}, {self.threads} threads, {self.precision}",
            f"ours, {self.ours}",
            f"ours, {self.ours_same_batch}",
            f"released design, {self.released}; teacher {self.teacher},"
            f" {self.teacher_parameters / 1e6:.1f} M parameters, {self.tokens} tokens",
            f"ratio {self.ratio}; at batch {self.released.batch} {self.ratio_same_batch};"
            f" against free features {self.ratio_free_features}",
            f"released design, ms per clip: features {self.split.features:.2f}, language model"
            f" {self.split.language_model:.2f}, encoder {self.split.encoder:.2f}"
            f" ({self.split.clips} clips)",
            f"ours: {self.flops_per_clip / 1e9:.2f} GFLOP per clip, share of the bf16 peak "
            + ("unknown here" if self.peak_share is None else f"{100 * self.peak_share:.1f} %"),
        ]

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)


def compare_throughput(
    recipe: Recipe,
    *,
    encoder: str | None = None,
    teacher: str = "minilm",
    data: Path | None = None,
    pairs: int = 10,
    steps: int = 5,
) -> ThroughputResult:
    """Measure our loop, at the recipe's batch and at 24, and the released design in turn.

    `encoder` replaces the recipe's, at its default size. Without `data` the recordings are noise:
    what is heard does not change the work.

    Raises:
        MissingDependencyError: librosa is not installed.
        CorpusError: a corpus of the recipe is missing.
        EncoderError, TeacherError: no such model, or it cannot be loaded.
        RecipeError: a corpus has fewer patients than its part of a batch.
        TrainingError: not enough memory, or a loss that is not finite.
    """
    require_librosa()
    sides = build_sides(recipe, encoder, teacher, data, steps=(pairs + 2) * (steps + 1))
    for index in range(pairs + 1):
        for side in (sides.ours, sides.same_batch, sides.released):
            burst = side.burst(steps)
            if index:  # the first round warms caches and compiles
                side.bursts.append(burst)
    heard, stage = sides.ours.material.store, sides.ours.stage
    rates = [burst.rate for burst in sides.released.bursts]
    free = [burst.rate_without_features for burst in sides.released.bursts]
    device, speed = _device_name(stage.accelerator.device), _speed(sides.ours)
    flops, peak = _flops_per_clip(sides.same_batch), BF16_PEAKS.get(device)
    return ThroughputResult(
        recipe=recipe.name,
        encoder=encoder or recipe.encoder.name,
        sound=_corpora(heard.rows) if data else "noise",
        recordings=len(heard.rows),
        clip_seconds=stage.plain.encoder.crop / stage.plain.encoder.rate,
        teacher=teacher,
        teacher_parameters=sides.teacher.parameters,
        tokens=sides.released.material.texts.vectors.shape[1] // 2,
        device=device,
        threads=torch.get_num_threads(),
        precision="bf16" if stage.accelerator.mixed_precision == "bf16" else "float32",
        ours=speed,
        ours_same_batch=_speed(sides.same_batch),
        released=_speed(sides.released),
        ratio=_ratio(sides.ours, rates),
        ratio_same_batch=_ratio(sides.same_batch, rates),
        ratio_free_features=_ratio(sides.ours, free),
        split=_split(sides.released, steps),
        flops_per_clip=flops,
        bf16_peak=peak,
        peak_share=None if peak is None else speed.clips_per_second * flops / peak,
    )


def _corpora(rows: Sequence[Recording]) -> str:
    return ", ".join(sorted({row.corpus for row in rows}))


def _speed(side: Side) -> Speed:
    rates = [burst.rate for burst in side.bursts]
    return Speed(side.batch, float(np.median(rates)), sum(burst.clips for burst in side.bursts))


def _ratio(side: Side, rates: list[float]) -> Ratio:
    return ratio_of_pairs([burst.rate for burst in side.bursts], rates)


def _split(released: Side, steps: int) -> Split:
    released.clock.exact = True
    burst = released.burst(steps)
    scale = 1e3 / burst.clips
    features, model = burst.parts[FEATURES] * scale, burst.parts[LANGUAGE_MODEL] * scale
    return Split(features, model, burst.seconds * scale - features - model, burst.clips)


def _flops_per_clip(side: Side) -> float:
    """Floating-point operations of a forward and a backward pass, as torch counts them."""
    stage = side.stage
    batch = make_batch(side.material, side.material.sampler.draw(0), stage.plain.encoder.crop)
    generator = torch.Generator(batch.wave.device).manual_seed(SEED)
    with FlopCounterMode(display=False) as counter:
        with stage.accelerator.autocast():
            output = stage.plain(batch.wave, batch.text, generator)
        loss = stage.weights.weight * stage.guide(output, batch)
        stage.accelerator.backward(loss + stage.weights.ssl_weight * output.ssl)
    return float(counter.get_total_flops()) / side.batch


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
