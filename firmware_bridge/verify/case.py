"""The sounds of a verification and what the reference answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import BundleError, UsageError
from firmware_bridge.verify.expect import Expected, Oracle, expect
from firmware_bridge.verify.folder import DESCRIPTION, Firmware
from firmware_bridge.verify.records import Shape
from firmware_bridge.verify.script import Gap, Samples, Sound

Recording = Path | NDArray[np.int16]

_GOLDEN_PCM: Final = "golden/pcm.i16"
_PIECE: Final = 40  # hops of the golden sound that are played again with gaps


@dataclass(frozen=True)
class Case:
    """Sounds at `rate` Hz, the records expected of them, and the records' shape."""

    sounds: tuple[Sound, ...]
    expected: Expected
    shape: Shape
    rate: int

    @property
    def seconds(self) -> float:
        """Length of all sounds."""
        return sum(len(sound.pcm) for sound in self.sounds) / self.rate


def make_case(
    firmware: Firmware,
    *,
    recordings: Sequence[Recording] = (),
    rounding: str = "float",
    bundle: str | Path | None = None,
) -> Case:
    """Golden vectors, a piece of them with gaps, and `recordings`, answered by the reference.

    Raises:
        BundleError: the bundle is not the one that the folder was made from.
        AudioFileError: a recording cannot be read.
    """
    oracle = reference_of(firmware, bundle, rounding)
    return case_of(oracle, firmware, recordings)


def case_of(oracle: Oracle, firmware: Firmware, recordings: Sequence[Recording] = ()) -> Case:
    """The case with `oracle` as the reference."""
    about = firmware.about
    shape = Shape(len(about.findings), about.steps, len(about.phases), about.embedding)
    sounds = (*_golden(firmware), *(sound_of(each, about.rate) for each in recordings))
    return Case(sounds, expect(oracle, sounds, shape), shape, about.rate)


def reference_of(firmware: Firmware, bundle: str | Path | None, rounding: str) -> Oracle:
    """The reference of the bundle that the folder was made from; BundleError if it is another."""
    from acula_edge.bundle import load_bundle  # noqa: PLC0415 - brings onnxruntime
    from firmware_bridge.model import read_model  # noqa: PLC0415
    from firmware_bridge.reference import Reference  # noqa: PLC0415

    about = firmware.about.model
    loaded = load_bundle(about.name if bundle is None else bundle)
    model = read_model(loaded, about.variant)
    if model.sha256 != about.sha256:
        raise BundleError(
            f"{firmware.root} was not made from {loaded.origin}: {DESCRIPTION} names a graph with "
            f"hash {about.sha256[:12]}, this bundle's has {model.sha256[:12]}"
        )
    return Reference(model, rounding=rounding)


def sound_of(recording: Recording, rate: int) -> Sound:
    """A recording as int16 at the model rate; files are resampled as `classify` does."""
    if isinstance(recording, Path):
        return Sound(recording.name, _read(recording, rate))
    if recording.dtype != np.int16 or recording.ndim != 1:
        raise UsageError("a recording must be int16 of shape (n,)")
    return Sound("recording", recording)


def _golden(firmware: Firmware) -> tuple[Sound, Sound]:
    data, hop = firmware.files.get(_GOLDEN_PCM, b""), firmware.about.hop
    if len(data) % 2 or len(data) < 2 * _PIECE * hop:
        raise BundleError(f"{firmware.root}: {_GOLDEN_PCM} must hold at least {_PIECE} hops")
    pcm = np.frombuffer(data, "<i2").astype(np.int16)
    # A gap inside a hop, one right after a hop, and two in a row.
    gaps = (Gap(2 * hop + 100, 50), Gap(5 * hop + 100, 3 * hop), Gap(9 * hop, 1), Gap(9 * hop, 7))
    return Sound("golden", pcm), Sound("golden with gaps", pcm[: _PIECE * hop], gaps)


def _read(path: Path, rate: int) -> Samples:
    from acula_edge.resample import Resampler  # noqa: PLC0415
    from acula_edge.sources.base import Block  # noqa: PLC0415
    from acula_edge.sources.files import FileSource  # noqa: PLC0415

    with FileSource(path) as source:
        resampler = Resampler(source.rate, rate)
        parts = [resampler.push(b.pcm) for b in source.blocks() if isinstance(b, Block)]
    parts.append(resampler.flush())
    scaled = np.rint(np.nan_to_num(np.concatenate(parts)) * 32768.0)
    pcm: Samples = np.clip(scaled, -32768, 32767).astype(np.int16)
    return pcm
