"""The two trainings that `throughput` compares: their clips, models, and bursts of steps."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from accelerate import Accelerator

from align.corpora import Recording, read_corpus
from align.encoders import Encoder, build_encoder
from align.objectives import build_objective
from align.settings import RecipeError
from align.teacher import TeacherConfig
from align.training.batches import BatchSampler
from align.training.losses import label_table
from align.training.material import Material
from align.training.model import AlignModel
from align.training.optimise import Stage
from align.training.recipe import EncoderConfig, Recipe, TextConfig, TextTeacher
from align.training.run import make_accelerator
from align.training.store import WaveStore, load_store
from align.training.texts import Texts, build_texts
from benchmarks.released_design import (
    BATCH,
    FEATURES,
    LibrosaStore,
    PaddedTeacher,
    ReleasedModel,
    Stopwatch,
    mel_of,
    on_host,
    synchronise,
)

RECORDINGS = 200  # per corpus, or as many as a batch needs
NOISE_CROPS = 2  # length of a synthetic recording, in crops
NEVER = 1 << 40  # steps: logging and checkpoints are counted on neither side
SEED = 0


@dataclass(frozen=True)
class Burst:
    """Seconds of some consecutive steps, and of the parts of them that a stopwatch saw."""

    clips: int
    seconds: float
    parts: dict[str, float]

    @property
    def rate(self) -> float:
        """Clips per second."""
        return self.clips / self.seconds

    @property
    def rate_without_features(self) -> float:
        """Clips per second if their features cost nothing."""
        return self.clips / (self.seconds - self.parts[FEATURES])


@dataclass
class Side:
    """A training that goes on for a burst at a time."""

    stage: Stage
    material: Material
    clock: Stopwatch
    bursts: list[Burst] = field(default_factory=list)

    @property
    def batch(self) -> int:
        """Clips of a step."""
        return sum(share for _, share in self.material.sampler.shares)

    def burst(self, steps: int) -> Burst:
        """Train `steps` steps, after one that is not counted."""
        calls = itertools.count()  # the first tells the step to start from, then one per step
        marks: list[tuple[float, dict[str, float]]] = []

        def mark(_: int) -> None:
            if next(calls) in (1, steps + 1):
                synchronise(self.stage.accelerator.device)
                marks.append((time.perf_counter(), self.clock.seconds.copy()))

        last = self.stage.step + steps + 1
        self.stage.config = replace(self.stage.config, steps=last)
        with TemporaryDirectory() as folder:
            self.stage.run(self.material, Path(folder), advance=mark)
        (started, before), (ended, after) = marks
        parts = {name: after[name] - before[name] for name in after}
        return Burst(steps * self.batch, ended - started, parts)


@dataclass(frozen=True)
class Sides:
    """Our loop at the recipe's batch and at the released one, the released design, its teacher."""

    ours: Side
    same_batch: Side
    released: Side
    teacher: PaddedTeacher


def build_sides(
    recipe: Recipe, encoder: str | None, teacher: str, data: Path | None, steps: int
) -> Sides:
    """Three trainings of the same model on the same recordings, of `steps` steps at most.

    Raises:
        RecipeError: no corpus has reports, or one has fewer patients than its part of a batch.
    """
    accelerator = make_accelerator()
    device = accelerator.device
    recipe = _adapted(recipe, encoder, teacher, data, steps)
    first = _encoder(recipe)
    mel = mel_of(first)
    store = _recorded(recipe, first, data, device) if data else _noise(recipe, first, device)
    reader = _teacher(teacher, device)
    with TemporaryDirectory() as cache:
        texts = build_texts(recipe, store.rows, data or Path(), Path(cache), SEED)
    texts = texts.on(device, texts.index)
    whole, small = (_shares(recipe, total) for total in (_batch(recipe), BATCH))

    def our_side(shares: list[tuple[str, int]]) -> Side:
        model = AlignModel(_encoder(recipe), reader.dim, recipe.objective)
        stage = _stage(model, recipe, accelerator)
        return Side(stage, _material(store, texts, shares), Stopwatch(device))

    clock = Stopwatch(device)
    # Nothing of what our loop gains by: no table, no compilation, no gradient caching.
    plain = replace(recipe, align=replace(recipe.align, compile=False, micro_batch=0))
    model = ReleasedModel(_encoder(recipe), reader, recipe.objective, clock)
    tokens = replace(texts, vectors=reader.tokens(texts.reports).to(device))
    sounds = LibrosaStore(**vars(store), memory=on_host(store), mel=mel, clock=clock)
    released = Side(_stage(model, plain, accelerator), _material(sounds, tokens, small), clock)
    return Sides(our_side(whole), our_side(small), released, reader)


def _adapted(
    recipe: Recipe, encoder: str | None, teacher: str, data: Path | None, steps: int
) -> Recipe:
    """The recipe with what is compared; noise gets random words, as no report speaks of it."""
    if not any(corpus.text for corpus in recipe.corpora):
        raise RecipeError(f"recipe {recipe.name!r} has no corpus with reports: nothing is aligned")
    named = EncoderConfig(encoder) if encoder else recipe.encoder
    return replace(
        recipe,
        encoder=recipe.encoder if named.name == recipe.encoder.name else named,
        text=recipe.text if data else TextConfig(source="random"),
        teacher=TextTeacher(model=teacher),
        align=replace(recipe.align, steps=steps, log_every=NEVER, save_every=NEVER),
    )


def _encoder(recipe: Recipe) -> Encoder:
    torch.manual_seed(SEED)
    return build_encoder(recipe.encoder.name, recipe.encoder.options)


def _recorded(recipe: Recipe, encoder: Encoder, data: Path, device: torch.device) -> WaveStore:
    """A part of each corpus that has as many patients as possible."""
    kept: list[Recording] = []
    for corpus in recipe.corpora:
        met: Counter[str] = Counter()
        ranked: list[tuple[int, int, Recording]] = []
        for row in read_corpus(corpus.name, data):
            ranked.append((met[row.patient], len(ranked), row))
            met[row.patient] += 1
        ranked.sort(key=lambda item: item[:2])
        kept += [row for *_, row in ranked[: max(RECORDINGS, corpus.batch)]]
    return load_store(kept, encoder.rate, device)


def _noise(recipe: Recipe, encoder: Encoder, device: torch.device) -> WaveStore:
    """Recordings of noise, each of a patient of its own."""
    rows = [
        Recording(corpus.name, name, Path(name), name, "", "", "train", {})
        for corpus in recipe.corpora
        for name in (f"noise-{index}" for index in range(max(RECORDINGS, corpus.batch)))
    ]
    length = NOISE_CROPS * encoder.crop
    random = torch.Generator().manual_seed(SEED)
    pcm = torch.randint(-8000, 8000, (len(rows) * length,), dtype=torch.int16, generator=random)
    starts = torch.arange(len(rows)) * length
    lengths = torch.full_like(starts, length)
    return WaveStore(
        tuple(rows), (), (), encoder.rate, pcm.to(device), starts.to(device), lengths.to(device)
    )


def _teacher(name: str, device: torch.device) -> PaddedTeacher:
    """In the precision of the encoder's training."""
    if device.type == "cuda":
        return PaddedTeacher(TeacherConfig(name, dtype="bfloat16"))
    return PaddedTeacher(TeacherConfig(name, dtype="float32", device_map=None))


def _batch(recipe: Recipe) -> int:
    return sum(corpus.batch for corpus in recipe.corpora)


def _shares(recipe: Recipe, total: int) -> list[tuple[str, int]]:
    """A batch of `total` clips in the recipe's proportions; largest remainders first."""
    exact = [total * corpus.batch / _batch(recipe) for corpus in recipe.corpora]
    shares = [int(share) for share in exact]
    order = sorted(range(len(exact)), key=lambda place: shares[place] - exact[place])
    for place in order[: total - sum(shares)]:
        shares[place] += 1
    return [(corpus.name, share) for corpus, share in zip(recipe.corpora, shares, strict=True)]


def _material(store: WaveStore, texts: Texts, shares: list[tuple[str, int]]) -> Material:
    rows = store.rows
    labels = label_table(rows).to(store.pcm.device)
    return Material(store, texts, labels, BatchSampler(rows, range(len(rows)), shares, SEED))


def _stage(model: AlignModel, recipe: Recipe, accelerator: Accelerator) -> Stage:
    objective = build_objective(recipe.objective.name, **recipe.objective.options)
    return Stage(
        "throughput", "align", model, objective, recipe.objective, recipe.align, SEED, accelerator
    )
