"""From a trained student to a measured bundle: graphs, quantisation, calibration, figures, card."""

from __future__ import annotations

import dataclasses
import subprocess
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

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
from acula_edge.engine import StreamEngine
from acula_edge.events import NOTICE
from align.corpora import read_corpus
from export.calibrate import calibrate
from export.card import model_card
from export.data import Clip, load_clips
from export.evaluate import evaluate, score_split
from export.onnx_graphs import OPSET, export_stream, export_window, with_contract
from export.quantise import measure_scales, quantise
from export.recipe import Recipe
from export.student import Student

DEFINITIONS = {
    "murmur": ("heart", "a murmur is audible at this auscultation site"),
    "crackle": ("lung", "a fine or coarse crackle is audible"),
    "wheeze": ("lung", "a wheeze, rhonchus or stridor is audible"),
}
CORPUS_FACTS = {
    "circor": ("ODC-By 1.0", "https://physionet.org/content/circor-heart-sound/1.0.3/"),
    "sprsound": (
        "CC BY 4.0 (as published)",
        "https://github.com/SJTU-YONGFU-RESEARCH-GRP/SPRSound",
    ),
}
INTENDED_USE = (
    "Research on auscultation sounds and prototyping of devices. It names sounds heard in a"
    " recording; it does not diagnose, and it is not a medical device."
)
CALIBRATION_CLIPS = 96
GOLDEN_HOPS = 12  # fewer where the window is shorter
# Quantisation turns rounding noise of the float front end into single code flips; see the card.
PARITY = Parity(window_tolerance=0.1, golden_tolerance=0.1, gain_tolerance=0.25)
LICENCE = "Apache-2.0"


def build_bundle(
    student: Student, recipe: Recipe, data_root: Path, target: Path, *, quiet: bool = False
) -> Bundle:
    """Write the bundle of a trained student to the folder `target` and return it.

    Calibration and thresholds use validation patients; test patients are scored once, at the end,
    for the figures in the manifest and card.
    """
    clips = _training_clips(recipe, data_root)
    graphs = _graphs(student, clips)
    golden = _golden_pcm(recipe)
    manifest = _draft(student, recipe, data_root)
    with tempfile.TemporaryDirectory() as folder:
        draft = _write(Path(folder) / "draft", manifest, graphs, golden, "draft")
        validation = score_split(draft, "cpu-int8", data_root, "val", quiet=quiet)
        specs = tuple(
            calibrate(spec, validation[spec.name], recipe.decision) for spec in manifest.findings
        )
        manifest = replace(draft.manifest, findings=specs, golden=_golden(draft, golden))
        draft = _write(Path(folder) / "calibrated", manifest, graphs, golden, "draft")
        manifest = replace(draft.manifest, metrics=evaluate(draft, data_root, quiet=quiet))
    return _write(target, manifest, graphs, golden, model_card(manifest, recipe))


def _training_clips(recipe: Recipe, data_root: Path) -> list[Clip]:
    """An equal share of every corpus, in a fixed random order."""
    random = np.random.default_rng(recipe.training.seed)
    rate, findings = recipe.student.front_end.rate, recipe.student.findings
    chosen: list[Clip] = []
    for corpus in recipe.training.corpora:
        clips = load_clips(corpus, data_root, rate, findings, ("train",))
        order = random.permutation(len(clips))
        chosen += [clips[i] for i in order[: CALIBRATION_CLIPS // len(recipe.training.corpora)]]
    return chosen


def _graphs(student: Student, clips: list[Clip]) -> dict[str, ModelProto]:
    hop = student.config.hop
    batches = [torch.from_numpy(c.pcm[: len(c.pcm) // hop * hop])[None] for c in clips]
    scales = measure_scales(student, [batch for batch in batches if batch.shape[1]])
    stream, window = export_stream(student), export_window(student)
    return {
        "cpu-int8.stream": quantise(stream, scales),
        "cpu-int8.window": quantise(window, scales),
        "fp32.stream": stream,
    }


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
    for name, variant in manifest.variants.items():
        engine = StreamEngine(
            bundle.graph(name, "stream"),
            hop=manifest.hop,
            state_size=variant.state_size,
            findings=len(manifest.findings),
        )
        rows = [engine.run(hop).tolist() for hop in pcm.reshape(-1, manifest.hop)]
        scores[name] = tuple(tuple(round(value, 6) for value in row) for row in rows)
    return Golden(input="golden.f32", scores=scores)


def _draft(student: Student, recipe: Recipe, data_root: Path) -> Manifest:
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
        embedding=config.width,
        findings=tuple(_finding(name, recipe) for name in config.findings),
        smoothing=Smoothing(decision.smoothing_seconds, decision.minimum_on, decision.minimum_off),
        minimum_evidence=decision.minimum_evidence,
        variants={
            name: Variant(
                precision=precision,
                providers=("CPUExecutionProvider",),
                stream=GraphFile(f"{name}.stream.onnx", "0" * 64),
                window=GraphFile(f"{name}.window.onnx", "0" * 64) if windowed else None,
                state_size=student.state_size,
                opset=OPSET,
            )
            for name, precision, windowed in (
                ("cpu-int8", "int8", True),
                ("fp32", "float32", False),
            )
        },
        training_data=tuple(_training_data(name, data_root) for name in recipe.training.corpora),
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


def _training_data(corpus: str, data_root: Path) -> TrainingData:
    rows = [r for r in read_corpus(corpus, data_root) if r.split == "train" and r.labels]
    licence, home = CORPUS_FACTS[corpus]
    return TrainingData(
        corpus=corpus,
        licence=licence,
        home=home,
        patients=len({row.patient for row in rows}),
        recordings=len(rows),
        split="by patient; align/splits.py",
    )


def _write(
    folder: Path, manifest: Manifest, graphs: dict[str, ModelProto], golden: np.ndarray, card: str
) -> Bundle:
    files = {}
    for key, model in graphs.items():
        variant, role = key.split(".")
        contract = contract_text(manifest, variant, "stream" if role == "stream" else "window")
        files[f"{key}.onnx"] = with_contract(model, contract)
    extra = {"golden.f32": golden.astype("<f4").tobytes()}
    write_bundle(folder, manifest, files, card, extra)
    return load_bundle(folder)


def _commit() -> str:
    root = Path(__file__).parent
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"
