"""Recordings as arrays."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from align.errors import AlignError


class AudioError(AlignError):
    """A recording is missing, damaged, empty, or holds values that are not finite."""


def read_pcm(path: Path, rate: int) -> NDArray[np.float32]:
    """First channel of an audio file as float32 (n,) at `rate` Hz.

    Raises:
        AudioError: the file cannot be decoded, holds no sample, or holds NaN or infinity.
    """
    try:
        pcm, source_rate = sf.read(path, dtype="float32", always_2d=True)
    except (sf.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: {error}") from None
    mono = np.ascontiguousarray(pcm[:, 0])
    if not len(mono):
        raise AudioError(f"{path}: no samples")
    if not np.isfinite(mono).all():
        raise AudioError(f"{path}: samples that are not finite")
    if source_rate != rate:
        mono = soxr.resample(mono, source_rate, rate)
    return np.asarray(mono, dtype=np.float32)


def pcm_sha256(pcm: NDArray[np.float32]) -> str:
    """Hash of samples (n,) in [-1, 1]: equal for lossless re-encodings in any container or depth.

    A copy that was resampled, rescaled, cut or coded with loss has another hash.
    """
    plain = np.ascontiguousarray(pcm, dtype="<f4") + np.float32(0)  # -0.0 becomes 0.0
    return hashlib.sha256(plain.tobytes()).hexdigest()
