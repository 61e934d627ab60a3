"""Golden vectors: synthetic sound, and what the reference says of it, hop by hop."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.decision import FULL_SCALE
from firmware_bridge.model import Int8s, McuModel
from firmware_bridge.reference import HopResult, Reference

VECTORS = 600
SEED = 6
ROOM = 0.9 * FULL_SCALE


@dataclass(frozen=True, eq=False)
class Golden:
    """`files` by path in the folder; `features` (frames, channels) are the codes among them."""

    files: dict[str, bytes]
    shapes: dict[str, tuple[str, tuple[int, ...]]]
    features: Int8s
    hops: int

    def described(self) -> dict[str, Any]:
        """What acula.json says of them."""
        return {
            "hops": self.hops,
            "seed": SEED,
            "files": {
                path: {
                    "type": kind,
                    "shape": list(shape),
                    "sha256": hashlib.sha256(self.files[path]).hexdigest(),
                }
                for path, (kind, shape) in self.shapes.items()
            },
        }


def golden_vectors(model: McuModel, hops: int = VECTORS) -> Golden:
    """The sound of `golden_pcm` and the reference's answers, little-endian."""
    pcm = golden_pcm(model.rate, hops * model.hop)
    reference = Reference(model)
    results = reference.push(pcm)
    exam = reference.finish()
    arrays: dict[str, tuple[str, NDArray[Any]]] = {
        "pcm.i16": ("int16", pcm.astype("<i2")),
        "features.i8": ("int8", np.concatenate([hop.codes for hop in results])),
        "logits.f32": ("float32", _stack(results, "scores").astype("<f4")),
        "probabilities.f64": ("float64", _stack(results, "probability").astype("<f8")),
        "quality.u8": ("uint8", np.array([(h.quality, h.reasons) for h in results], np.uint8)),
        "exam.f64": ("float64", exam.probability.astype("<f8")),
    }
    return Golden(
        files={f"golden/{name}": value.tobytes() for name, (_, value) in arrays.items()},
        shapes={f"golden/{name}": (kind, value.shape) for name, (kind, value) in arrays.items()},
        features=arrays["features.i8"][1],
        hops=len(results),
    )


def golden_pcm(rate: int, samples: int) -> NDArray[np.int16]:
    """Beats, wheezes and crackles over noise of changing level, and what breaks code: silence, full
    scale, a stuck converter, steps, single bits. int16 (samples,)."""
    random = np.random.default_rng(SEED)
    time = np.arange(samples) / rate
    sound = _body(time, random)
    level = 10 ** (-1.5 + 1.2 * np.sin(2 * np.pi * time / 23))
    pcm = np.clip(np.rint(sound * level * ROOM), -FULL_SCALE, FULL_SCALE - 1)
    second = (time % 40).astype(int)
    pcm = np.where(np.isin(second, (8, 9, 10, 11)), 0, pcm)
    pcm = np.where(second == 13, np.sign(pcm) * (FULL_SCALE - 1), pcm)
    pcm = np.where(second == 15, -FULL_SCALE, pcm)
    pcm = np.where(second == 17, 3000 * ((time * 2).astype(int) % 2 * 2 - 1), pcm)
    pcm = np.where(second == 19, np.sign(pcm), pcm)
    return pcm.astype(np.int16)


def _body(time: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    first = np.exp(-(((time % 0.83) - 0.1) ** 2) / 3e-4)
    second = np.exp(-(((time % 0.83) - 0.42) ** 2) / 2e-4)
    beat = (first + 0.7 * second) * np.sin(2 * np.pi * 58 * time)
    murmur = 0.2 * random.standard_normal(len(time)) * ((time % 0.83) < 0.4) * (time % 11 < 5)
    pitch = 380 + 60 * np.sin(2 * np.pi * 0.2 * time)
    wheeze = 0.3 * np.sin(2 * np.pi * pitch * time) * (time % 7 > 5)
    crackle = np.where(random.random(len(time)) < 0.002, 1.5, 0.0) * (time % 9 > 7)
    hiss = 0.02 * random.standard_normal(len(time))
    sound: NDArray[np.float64] = 0.6 * beat + murmur + wheeze + crackle + hiss
    return sound


def _stack(results: list[HopResult], name: str) -> NDArray[Any]:
    return np.stack([getattr(hop, name) for hop in results])
