"""From a trained student to a measured bundle: graphs, quantisation, calibration, figures, card."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import ModelProto

from acula_edge.bundle import (
    Bundle,
    FindingSpec,
    Golden,
    GraphFile,
    Manifest,
    Parity,
    Smoothing,
    TrainingData,
    Variant,
    contract_text,
    load_bundle,
    write_bundle,
)
from acula_edge.bundle import Pooling as PoolingSpec
from acula_edge.engine import open_engine
from acula_edge.events import NOTICE
from align.corpora import Recording
from align.corpora.catalogue import CATALOGUE
from align.settings import RecipeError
from align.statistics import auroc
from export.aware import aware_student
from export.calibrate import calibrate, left_out_figures
from export.card import model_card
from export.data import LABEL_DELAY, Clip, load_clips, training_rows
from export.evaluate import evaluate
from export.figures import Scored
from export.gate import check_accuracy, keep_float_until
from export.half import half_stored, with_half_weights
from export.onnx_graphs import OPSET, export_stream, export_window, with_contract
from export.quantise import measure_scales, quantise
from export.recipe import Recipe, recipe_digest
from export.reliability import reliability_files
from export.sbom import FILE_NAME as SBOM
from export.sbom import sbom
from export.score import score_split
from export.sensitivity import block_sensitivity
from export.student import PHASES, Student
from export.students import TRANSFER
from export.teacher import encoder_corpora, encoder_digest
from export.text_head import Language, fit_text_head, read_texts
from export.variants import ARTEFACTS, FOR_HOSTS, REFERENCE

DEFINITIONS = {
    "murmur": ("heart", "a murmur is audible at this auscultation site"),
    "crackle": ("lung", "a fine or coarse crackle is audible"),
    "wheeze": ("lung", "a wheeze, rhonchus or stridor is audible"),
}
INTENDED_USE = (
    "Research on auscultation sounds and prototyping of devices. It names sounds heard in a"
    " recording; it does not diagnose, and it is not a medical device."
)
CALIBRATION_CLIPS = 96
GOLDEN_HOPS = 8  # fewer where the window is shorter
# Quantisation turns rounding noise of the float front end into single code flips; see the card.
PARITY = Parity(window_tolerance=0.1, golden_tolerance=0.1, gain_tolerance=0.25)
SPAN = {"value", "low", "high"}  # an estimate with its interval
LICENCE = "Apache-2.0"
SENSITIVITY = 24  # calibration clips on which blocks are ranked by the harm of int8


@dataclass(frozen=True)
class Build:
    """What a bundle is built from besides the student: its run, and records made elsewhere.

    `held_out` is the PhysioNet 2016 database that the run never heard; `students` is the record of
    `export.students.compare`, from which the card takes the figures of the original and of the
    runs without each database. `cache` keeps the language model's embeddings. `teacher` is the
    folder of the encoder that taught the run: the card says what it heard. Thresholds are fixed on
    the first of `variants`, which must include the float reference.
    """

    recipe: Recipe
    data_root: Path
    cache: Path
    held_out: str = ""
    teacher: Path | None = None
    run: Mapping[str, Any] = field(default_factory=dict)
    students: Mapping[str, Any] = field(default_factory=dict)
    variants: tuple[str, ...] = FOR_HOSTS
    quiet: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.variants if name not in ARTEFACTS]
        if unknown:
            raise RecipeError(f"no variant {unknown[0]!r}: choose of {', '.join(ARTEFACTS)}")
        if REFERENCE not in self.variants[1:]:
            raise RecipeError(f"a bundle needs an int8 variant first, and {REFERENCE} after it")


def build_bundle(student: Student, build: Build, target: Path) -> Bundle:
    """Write the bundle of a distilled student to the folder `target` and return it.

    Calibration, thresholds and the accuracy gate use validation patients; test patients are scored
    once, at the end, for the figures in the manifest and card. Nothing is written if the gate
    refuses.

    Raises:
        GateError: int8 loses more than the recipe allows.
        CalibrationError: the validation patients cannot fix the thresholds.
    """
    recipe, quiet = build.recipe, build.quiet
    language = _language(build)
    record = dict(build.run)
    if language is not None:
        record["text head"] = fit_text_head(student, recipe, language)
    if recipe.quantise.aware_steps:
        student = aware_student(student, recipe, _training_clips(build))
    rounded = with_half_weights(student)
    space, extra = (None, {}) if language is None else language.files()
    golden = _golden_pcm(recipe)
    extra["golden.f32"] = golden.astype("<f4").tobytes()
    manifest = replace(_draft(rounded, build), text=space)
    trial = _Trial(rounded, build, manifest, extra)
    kept, passed = keep_float_until(
        trial.ranking,
        trial.attempt,
        already=recipe.quantise.keep_float,
        at_most=recipe.quantise.most_float,
    )
    graphs, scored = passed.graphs, passed.scored
    record["int8"] = {"float blocks": list(kept), "AUROC lost on validation": passed.drops}
    with tempfile.TemporaryDirectory() as folder:
        draft = _write(Path(folder) / "draft", manifest, graphs, extra, "draft")
        specs = tuple(
            calibrate(spec, scored[spec.name], recipe.decision) for spec in manifest.findings
        )
        left_out = {
            spec.name: left_out_figures(spec, scored[spec.name], recipe.decision)
            for spec in manifest.findings
        }
        manifest = replace(draft.manifest, findings=specs, golden=_golden(draft, golden))
        draft = _write(Path(folder) / "calibrated", manifest, graphs, extra, "draft")
        metrics = evaluate(draft, build.data_root, language=language, quiet=quiet)
        metrics |= {"validation": left_out, **_elsewhere(build)}
        manifest = replace(draft.manifest, metrics=_told(metrics))
        manifest = _write(Path(folder) / "measured", manifest, graphs, extra, "draft").manifest
    extra |= reliability_files(manifest, build.variants[0])
    files = {**_contracts(manifest, graphs), **extra}
    extra[SBOM] = sbom(manifest, files)
    return _write(target, manifest, graphs, extra, model_card(manifest, recipe, record))


def _told(value: Any) -> Any:
    """Figures as JSON can hold them: what is undefined on so few patients is null."""
    if isinstance(value, Mapping):
        told = {key: _told(item) for key, item in value.items()}
        return None if told.keys() >= SPAN and None in told.values() else told
    if isinstance(value, (list, tuple)):
        return [_told(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _language(build: Build) -> Language | None:
    if not build.recipe.student.text:
        return None
    return read_texts(build.recipe, build.data_root, build.cache)


def _training_clips(build: Build) -> list[Clip]:
    """An equal share of every corpus, in a fixed random order."""
    recipe = build.recipe
    random = np.random.default_rng(recipe.training.seed)
    chosen: list[Recording] = []
    for corpus in recipe.training.corpora:
        rows = training_rows(corpus, build.data_root, build.held_out)
        share = random.permutation(len(rows))[: CALIBRATION_CLIPS // len(recipe.training.corpora)]
        chosen += [rows[index] for index in share]
    return load_clips(chosen, recipe.student.front_end.rate, recipe.student.targets)


@dataclass(frozen=True)
class _Passed:
    """Graphs that passed the accuracy gate, int8 exams of validation patients, AUROC lost."""

    graphs: dict[str, ModelProto]
    scored: dict[str, list[Scored]]
    drops: dict[str, float]


class _Trial:
    """Quantises, and holds the result against the float student on validation patients."""

    def __init__(
        self, student: Student, build: Build, manifest: Manifest, extra: Mapping[str, bytes]
    ):
        self._build, self._manifest, self._extra = build, manifest, extra
        self._reference: dict[str, list[Scored]] | None = None
        clips, hop = _training_clips(build), student.config.hop
        batches = [torch.from_numpy(c.pcm[: len(c.pcm) // hop * hop])[None] for c in clips]
        self._ranges = measure_scales(student, [batch for batch in batches if batch.shape[1]])
        self._stream, self._window = export_stream(student), export_window(student)
        windows = np.stack([np.resize(c.pcm, student.config.window) for c in clips[:SENSITIVITY]])
        self.ranking = [s.block for s in block_sensitivity(self._window, self._ranges, windows)]

    def attempt(self, keep_float: tuple[int, ...]) -> _Passed:
        """Every graph, with those blocks in float; GateError if int8 loses too much."""
        whole = {
            f"{name}.{role}": self._graph(role, name, keep_float)
            for name in self._build.variants
            for role in (("stream", "window") if ARTEFACTS[name].windowed else ("stream",))
        }
        graphs = {name: half_stored(model) for name, model in whole.items()}
        allowed = self._build.recipe.quantise.allowed_drop
        if self._reference is None:  # the float graph is the same in every attempt
            self._reference = self._exams(graphs, REFERENCE)
        worst: dict[str, float] = {}
        exams: dict[str, list[Scored]] = {}
        for variant in (name for name in self._build.variants if ARTEFACTS[name].flavour):
            scored = self._exams(graphs, variant)
            exams = exams or scored
            reference = _aurocs(self._reference)
            drops = check_accuracy(variant, reference, _aurocs(scored), allowed)
            worst |= {f"{variant} {name}": round(drop, 4) for name, drop in drops.items()}
        return _Passed(graphs, exams, worst)

    def _graph(self, role: str, variant: str, keep_float: tuple[int, ...]) -> ModelProto:
        model = self._stream if role == "stream" else self._window
        flavour = ARTEFACTS[variant].flavour
        return model if flavour is None else quantise(model, self._ranges, flavour, keep_float)

    def _exams(self, graphs: Mapping[str, ModelProto], variant: str) -> dict[str, list[Scored]]:
        with tempfile.TemporaryDirectory() as folder:
            draft = _write(Path(folder) / "draft", self._manifest, graphs, self._extra, "draft")
            build = self._build
            return score_split(draft, variant, build.data_root, "val", quiet=build.quiet)


def _aurocs(scored: Mapping[str, list[Scored]]) -> dict[str, float]:
    """AUROC per finding; exams without usable sound count as the middle."""
    found = {}
    for name, items in scored.items():
        truth = np.array([float(item.recording.labels[name]) for item in items])
        value = np.nan_to_num(np.array([item.probability[name] for item in items]), nan=0.5)
        found[name] = auroc(truth, value)
    return found


def _elsewhere(build: Build) -> dict[str, Any]:
    """Figures of other runs and of the original, from the students' record."""
    found: dict[str, Any] = {}
    rows = build.students.get("students", {})
    taught = {row["held_out"]: row for row in rows.values() if _is_sibling(row, build)}
    if taught:
        found["lodo"] = {
            database: {task: row["tasks"][task] for task in row["tasks"] if TRANSFER in task}
            for database, row in sorted(taught.items())
        }
    original = build.students.get("originals", {}).get(build.held_out)
    mine = taught.get(build.held_out)
    if original and mine:
        found["aligned"] = {
            **original["tasks"],
            "mean": {"auroc": original["mean"], "difference": mine["against_original"]},
        }
    return found


def _is_sibling(row: Mapping[str, Any], build: Build) -> bool:
    """Whether a row of the students' record is this recipe's, but for the held-out database."""
    same = row["recipe"] == recipe_digest(build.recipe)
    return same and bool(row["taught"]) == bool(build.run.get("teacher"))


def _golden_pcm(recipe: Recipe) -> np.ndarray:
    """A synthetic beat with a wheeze over noise: golden vectors need no recording's licence."""
    rate = recipe.student.front_end.rate
    size = min(GOLDEN_HOPS * recipe.student.hop, recipe.student.window)
    time = np.arange(size) / rate
    random = np.random.default_rng(7)
    beat = np.exp(-(((time % 0.7) - 0.1) ** 2) / 2e-4) * np.sin(2 * np.pi * 60 * time)
    wheeze = 0.2 * np.sin(2 * np.pi * 420 * time) * (np.sin(2 * np.pi * 0.35 * time) > 0)
    return (0.4 * beat + wheeze + 0.01 * random.standard_normal(size)).astype(np.float32)


def _golden(bundle: Bundle, pcm: np.ndarray) -> Golden:
    manifest = bundle.manifest
    scores = {}
    for name in manifest.variants:
        engine = open_engine(bundle, name)
        rows = [engine.run(hop).scores.tolist() for hop in pcm.reshape(-1, manifest.hop)]
        scores[name] = tuple(tuple(round(value, 6) for value in row) for row in rows)
    return Golden(input="golden.f32", scores=scores)


def _draft(student: Student, build: Build) -> Manifest:
    recipe = build.recipe
    config, decision = recipe.student, recipe.decision
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        licence=LICENCE,
        intended_use=INTENDED_USE,
        notice=NOTICE,
        rate=config.front_end.rate,
        hop=config.hop,
        window=config.window,
        front_end={"type": "causal log-mel, in the graph", **dataclasses.asdict(config.front_end)},
        embedding=config.embedding,
        phases=PHASES if config.phases else (),
        phase_delay=LABEL_DELAY if config.phases else 0.0,
        findings=tuple(_finding(name, recipe) for name in config.findings),
        smoothing=Smoothing(decision.smoothing_seconds, decision.minimum_on, decision.minimum_off),
        minimum_evidence=decision.minimum_evidence,
        variants={
            name: Variant(
                precision=ARTEFACTS[name].precision,
                providers=ARTEFACTS[name].providers,
                stream=GraphFile(f"{name}.stream.onnx", "0" * 64),
                window=GraphFile(f"{name}.window.onnx", "0" * 64)
                if ARTEFACTS[name].windowed
                else None,
                state_size=student.state_size,
                opset=OPSET,
            )
            for name in build.variants
        },
        training_data=(
            *(
                item
                for corpus in recipe.training.corpora
                for item in _training_data(corpus, build.data_root, build.held_out)
            ),
            *_heard_by_teacher(build),
        ),
        metrics={},
        parity=PARITY,
        toolkit_commit=_commit(),
        created=datetime.now(UTC).strftime("%Y-%m-%d"),
    )


def _finding(name: str, recipe: Recipe) -> FindingSpec:
    site, definition = DEFINITIONS[name]
    pooling = recipe.pooling[name]
    return FindingSpec(
        name=name,
        site=site,
        definition=definition,
        pooling=PoolingSpec(pooling.kind, pooling.exam_sharpness or pooling.sharpness),
        temperature=1.0,
        present=0.5,
        absent=0.5,
        enter=0.5,
        leave=0.5,
    )


def _training_data(
    corpus: str, data_root: Path, held_out: str, *, labelled: bool = True
) -> Iterator[TrainingData]:
    """One entry; PhysioNet 2016, whose databases are other devices, has one for each it heard."""
    groups: dict[str, list[Recording]] = {}
    for row in training_rows(corpus, data_root, held_out, labelled=labelled):
        database = row.metadata.get("database")
        groups.setdefault(f"{corpus}-{database}" if database else corpus, []).append(row)
    facts = CATALOGUE[corpus]
    for name, rows in sorted(groups.items()):
        known = facts.patient_ids
        yield TrainingData(
            corpus=name,
            licence=facts.licence,
            home=facts.home,
            patients=len({row.patient for row in rows}) if known else None,
            recordings=len(rows),
            split="by patient; align/splits.py" if known else "the whole database",
        )


def _heard_by_teacher(build: Build) -> Iterator[TrainingData]:
    """What the aligned encoder learned from and the student did not."""
    taught_by = build.run.get("teacher", "")
    if not taught_by:
        return
    if build.teacher is None or encoder_digest(build.teacher) != taught_by:
        raise RecipeError("the run was taught: name the folder of its encoder with --teacher")
    corpora, held_out = encoder_corpora(build.teacher)
    for corpus in corpora:
        if corpus not in build.recipe.training.corpora:
            for item in _training_data(corpus, build.data_root, held_out, labelled=False):
                yield replace(item, split=f"{item.split}; heard by the distilled encoder alone")


def _write(
    folder: Path,
    manifest: Manifest,
    graphs: Mapping[str, ModelProto],
    extra: Mapping[str, bytes],
    card: str,
) -> Bundle:
    write_bundle(folder, manifest, _contracts(manifest, graphs), card, extra)
    return load_bundle(folder)


def _contracts(manifest: Manifest, graphs: Mapping[str, ModelProto]) -> dict[str, bytes]:
    """The graphs' files, each with its contract inside."""
    files = {}
    for key, model in graphs.items():
        variant, role = key.split(".")
        contract = contract_text(manifest, variant, "stream" if role == "stream" else "window")
        files[f"{key}.onnx"] = with_contract(model, contract)
    return files


def _commit() -> str:
    root = Path(__file__).parent
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"
