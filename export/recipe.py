"""A recipe: everything that decides a training run, read from one TOML file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from align.settings import RecipeError, build, read_toml, section

WIDTHS = {"XS": 32, "S": 48, "M": 80, "L": 144}  # channels of the trunk; XS: microcontrollers


@dataclass(frozen=True)
class Block:
    """One causal convolution of the trunk; `stride` halves the frame rate where it is 2."""

    kernel: int
    dilation: int = 1
    stride: int = 1


@dataclass(frozen=True)
class FrontEnd:
    """Log-mel front end, part of the graph. Lengths in samples at the model rate."""

    rate: int = 4000
    frame: int = 256
    frame_hop: int = 64
    bands: int = 64
    low_hz: float = 25.0
    high_hz: float = 2000.0
    short_frame: int = 0
    short_bands: int = 8
    floor_db: float = -70.0
    level_seconds: float = 4.0
    mean_seconds: float = 4.0


@dataclass(frozen=True)
class StudentConfig:
    """Causal 1-D student: front end, trunk width and blocks, and the heads that share the trunk.

    `findings` are scored per step and hop; `phases` adds the cardiac phase of each step; `text` is
    the size of an embedding in the aligned text space, 0 for none. `auxiliary` labels are learned
    but never exported, such as a diagnosis that only tells the trunk what to listen to.
    """

    findings: tuple[str, ...]
    auxiliary: tuple[str, ...] = ()
    phases: bool = False
    text: int = 0
    front_end: FrontEnd = field(default_factory=FrontEnd)
    hop: int = 768
    window: int = 61_440
    width: int = 80
    blocks: tuple[Block, ...] = ()
    dropout: float = 0.1

    @property
    def targets(self) -> tuple[str, ...]:
        """Every label that is learned: findings, then auxiliary ones."""
        return self.findings + self.auxiliary

    @property
    def embedding(self) -> int:
        """Size of the embedding output: the text head's, or the trunk's."""
        return self.text or self.width

    @property
    def frames_per_hop(self) -> int:
        """Front-end frames per hop."""
        return self.hop // self.front_end.frame_hop

    @property
    def steps_per_hop(self) -> int:
        """Trunk outputs per hop, after every stride."""
        steps = self.frames_per_hop
        for block in self.blocks:
            steps //= block.stride
        return steps


@dataclass(frozen=True)
class Pooling:
    """How hop logits become a clip's logit: their mean, or a log-mean-exp of that sharpness.

    Training may want a sharper one than the exam, which pools longer sound.
    """

    kind: str
    sharpness: float = 1.0
    exam_sharpness: float | None = None


@dataclass(frozen=True)
class Augmentation:
    """Device-robust augmentation; each probability is per clip.

    `friction`, `speech` and `ambient` are disturbances, synthesised, at `disturbance_db` under or
    over the sound.
    """

    response: float = 0.8
    response_db: float = 12.0
    band_limit: float = 0.5
    noise: float = 0.6
    snr_db: tuple[float, float] = (5.0, 40.0)
    hum: float = 0.1
    friction: float = 0.0
    speech: float = 0.0
    ambient: float = 0.0
    disturbance_db: tuple[float, float] = (0.0, 25.0)
    clip: float = 0.1
    speed: tuple[float, float] = (0.85, 1.1)
    band_mask: float = 0.5


@dataclass(frozen=True)
class Training:
    """Optimisation. One epoch is `steps` batches of `clips[i]` crops from the i-th corpus."""

    corpora: tuple[str, ...]
    seed: int = 0
    epochs: int = 30
    steps: int = 60
    clips: tuple[int, ...] = ()
    crop: int = 30_720
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    ema: float = 0.995
    phase_weight: float = 0.3
    event_weight: float = 0.5


@dataclass(frozen=True)
class Distillation:
    """What the student takes from an aligned encoder, if it is given one.

    The first `embedding_epochs` are unlabelled: the pooled trunk follows the encoder's embedding
    (`cosine` after a linear map, `cka` per corpus without one). After that the labels lead, the
    embedding terms keep `keep` of their weight, and `soft` is the share of the clip loss that goes
    to the probabilities of the encoder's linear probe.
    """

    embedding_epochs: int = 2
    cosine: float = 1.0
    cka: float = 1.0
    keep: float = 0.1
    soft: float = 0.3


@dataclass(frozen=True)
class Quantisation:
    """Int8: what a variant may lose on validation patients (AUROC), and what may stay float.

    `keep_float` blocks always do; up to `most_float` of the most harmful others until the loss is
    allowed. `aware_steps` of quantisation-aware fine-tuning come first.
    """

    keep_float: tuple[int, ...] = ()
    most_float: int = 2
    aware_steps: int = 0
    allowed_drop: float = 0.01


@dataclass(frozen=True)
class Decision:
    """How validation patients fix the thresholds, and how events are smoothed (seconds)."""

    specificity: float = 0.9
    sensitivity: float = 0.9
    smoothing_seconds: float = 1.5
    minimum_on: float = 1.0
    minimum_off: float = 1.0
    minimum_evidence: float = 3.0


@dataclass(frozen=True)
class Recipe:
    """One model bundle, from data to file.

    `text_teacher` is the language model whose space the text head reaches: a hub id, a folder, or
    `minilm`, the stand-in that needs no hub.

    `test_looks` is how often the test patients had been scored while the recipe was developed,
    the bundle's own figures included; the card says so.
    """

    name: str
    version: str
    student: StudentConfig
    training: Training
    pooling: dict[str, Pooling]
    augmentation: Augmentation = field(default_factory=Augmentation)
    distillation: Distillation = field(default_factory=Distillation)
    quantise: Quantisation = field(default_factory=Quantisation)
    decision: Decision = field(default_factory=Decision)
    text_teacher: str = "minilm"
    test_looks: int = 1


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        RecipeError: no such file, bad TOML, an unknown key, or a value of another shape.
    """
    return recipe_from_table(read_toml(path))


def recipe_from_table(table: dict[str, Any]) -> Recipe:
    """Build a recipe from parsed TOML; every key must be a field."""
    table = dict(table)
    student = dict(section(table, "student"))
    student["front_end"] = build(FrontEnd, student.get("front_end", {}))
    student["blocks"] = tuple(build(Block, block) for block in student.get("blocks", ()))
    pooling = {name: build(Pooling, spec) for name, spec in section(table, "pooling").items()}
    sections = {
        "student": build(StudentConfig, student),
        "training": build(Training, section(table, "training")),
        "pooling": pooling,
        "augmentation": build(Augmentation, table.get("augmentation", {})),
        "distillation": build(Distillation, table.get("distillation", {})),
        "quantise": build(Quantisation, table.get("quantise", {})),
        "decision": build(Decision, table.get("decision", {})),
    }
    recipe: Recipe = build(Recipe, {**table, **sections})
    _check(recipe)
    return recipe


def sized(recipe: Recipe, size: str) -> Recipe:
    """The recipe with the student of that size of the family: XS, S, M or L.

    Raises:
        RecipeError: no such size.
    """
    if size not in WIDTHS:
        raise RecipeError(f"no student of size {size!r}; the family has {', '.join(WIDTHS)}")
    student = replace(recipe.student, width=WIDTHS[size])
    return replace(recipe, student=student, name=f"{recipe.name}-{size.lower()}")


def recipe_digest(recipe: Recipe) -> str:
    """SHA-256 of what decides a training run; thresholds and notes do not."""
    parts = (recipe.student, recipe.training, recipe.augmentation, recipe.distillation)
    trained = {name: replace(p, exam_sharpness=None) for name, p in recipe.pooling.items()}
    return hashlib.sha256(repr((parts, sorted(trained.items()))).encode()).hexdigest()


def _check(recipe: Recipe) -> None:
    student = recipe.student
    missing = sorted(set(student.targets) - set(recipe.pooling))
    if missing:
        raise RecipeError(f"{missing[0]!r} has no [pooling] entry")
    if recipe.distillation.embedding_epochs >= recipe.training.epochs:
        raise RecipeError("distillation.embedding_epochs leaves no epoch for the labels")
    strides = 1
    for block in student.blocks:
        strides *= block.stride
    if student.hop % (student.front_end.frame_hop * strides):
        raise RecipeError("hop must be a multiple of frame_hop times every stride")
    if len(recipe.training.clips) != len(recipe.training.corpora):
        raise RecipeError("clips must give one number of crops for each of corpora")
    if student.window % student.hop or recipe.training.crop % student.hop:
        raise RecipeError("window and crop must be multiples of hop")
