"""A bundle for microcontrollers made from a random student by the real exporter; no training.

Its shapes are the heart-lung recipe's: 96 feature channels, eight blocks, three heads. Weights are
random, but batch norms, scales and thresholds are not trivial, so that every code path is used.
"""

from __future__ import annotations

import atexit
import dataclasses
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from text_bundle import projection, space_of

from acula_edge.bundle import (
    Bundle,
    FindingSpec,
    GraphFile,
    Manifest,
    Parity,
    Pooling,
    Smoothing,
    Variant,
    contract_text,
    load_bundle,
    write_bundle,
)
from export.half import half_stored, with_half_weights
from export.onnx_graphs import OPSET, export_stream, with_contract
from export.quantise import MCU, measure_scales, quantise
from export.recipe import Block, FrontEnd, StudentConfig
from export.student import PHASES, Student

MCU_INT8 = "mcu-int8"
HOP, RATE = 768, 4000


def mcu_config(width: int = 32) -> StudentConfig:
    """The recipe's student of that width."""
    blocks = [Block(3), Block(3), Block(4, stride=2)]
    blocks += [Block(3, dilation=2**power) for power in range(5)]
    return StudentConfig(
        findings=("murmur", "crackle", "wheeze"),
        phases=True,
        text=64,
        front_end=FrontEnd(short_frame=64),
        width=width,
        blocks=tuple(blocks),
    )


def mcu_student(width: int = 32, seed: int = 0) -> Student:
    """Random weights, batch norms that are not the identity's."""
    torch.manual_seed(seed)
    student = Student(mcu_config(width)).eval()
    with torch.no_grad():
        for block in student.causal_blocks():
            block.norm.running_mean.uniform_(-0.3, 0.3)
            block.norm.running_var.uniform_(0.05, 0.5)
            block.norm.bias.uniform_(-0.2, 0.2)
        student.findings.weight.mul_(3)
    return with_half_weights(student)


def mcu_pcm(hops: int, seed: int = 0) -> np.ndarray:
    """Beats, a wheeze, noise that swells, silence and steps: int16 (hops * 768,)."""
    size = hops * HOP
    time = np.arange(size) / RATE
    random = np.random.default_rng(seed)
    beat = np.exp(-(((time % 0.8) - 0.1) ** 2) / 2e-4) * np.sin(2 * np.pi * 55 * time)
    wheeze = 0.2 * np.sin(2 * np.pi * 430 * time) * (np.sin(2 * np.pi * 0.3 * time) > 0)
    noise = 0.05 * random.standard_normal(size) * (1 + np.sin(2 * np.pi * time / 7))
    pcm = 0.4 * beat + wheeze + noise
    pcm[(time % 9) > 8.4] = 0.0
    pcm[(time % 13) > 12.5] = 0.3
    return np.clip(np.rint(pcm * 32768), -32768, 32767).astype(np.int16)


def mcu_bundle(tmp_path: Path, width: int = 32) -> Bundle:
    """The bundle, with variants `mcu-int8` and `fp32`, a text head and phases."""
    folder = tmp_path / f"tiny-mcu-{width}"
    if not folder.exists():
        shutil.copytree(_cached(width), folder)
    return load_bundle(folder)


@cache
def _cached(width: int) -> Path:
    scratch = tempfile.mkdtemp(prefix="acula-mcu-")
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    folder = Path(scratch) / "bundle"
    student = mcu_student(width)
    stream = export_stream(student)
    sound = mcu_pcm(60, seed=1).astype(np.float32) / 32768
    ranges = measure_scales(student, [torch.from_numpy(sound)[None]])
    models = {"fp32": stream, MCU_INT8: quantise(stream, ranges, MCU)}
    manifest = _manifest(student)
    graphs = {
        f"{name}.stream.onnx": with_contract(
            half_stored(model), contract_text(manifest, name, "stream")
        )
        for name, model in models.items()
    }
    space = manifest.text
    assert space is not None
    extra = {space.projection: projection(space.size).tobytes()}
    write_bundle(folder, manifest, graphs, "# Tiny, for microcontrollers\n", extra)
    return folder


def _finding(name: str, site: str, kind: str, sharpness: float) -> FindingSpec:
    return FindingSpec(
        name=name,
        site=site,
        definition=f"an audible {name}",
        pooling=Pooling(kind, sharpness),
        temperature=1.3,
        bias=0.1,
        present=0.6,
        absent=0.4,
        enter=0.55,
        leave=0.45,
    )


def _manifest(student: Student) -> Manifest:
    config = student.config
    return Manifest(
        name="tiny-mcu",
        version="1.0.0",
        licence="Apache-2.0",
        intended_use="Tests only.",
        notice="Research use only.",
        rate=RATE,
        hop=config.hop,
        window=config.window,
        front_end={
            "type": "causal log-mel, in the graph",
            **dataclasses.asdict(config.front_end),
        },
        embedding=config.embedding,
        phases=PHASES,
        phase_delay=0.05,
        findings=(
            _finding("murmur", "heart", "mean", 1.0),
            _finding("crackle", "lung", "logmeanexp", 0.25),
            _finding("wheeze", "lung", "logmeanexp", 1.0),
        ),
        smoothing=Smoothing(1.5, 1.0, 1.0),
        minimum_evidence=3.0,
        variants={
            name: Variant(
                precision=precision,
                providers=("CPUExecutionProvider",),
                stream=GraphFile(f"{name}.stream.onnx", "0" * 64),
                state_size=student.state_size,
                opset=OPSET,
            )
            for name, precision in ((MCU_INT8, "int8"), ("fp32", "float32"))
        },
        training_data=(),
        metrics={},
        parity=Parity(0.1, 0.1, 0.25),
        text=space_of(size=config.embedding, reports=None),
        toolkit_commit="0" * 40,
        created="2026-01-01",
    )
