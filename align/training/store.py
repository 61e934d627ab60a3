"""Every recording of a run in one tensor, on the device that trains."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from align.audio import AudioError, pcm_sha256, read_pcm
from align.corpora import Recording

log = logging.getLogger(__name__)

SHORTEST = 0.5  # seconds; less is no recording
FULL_SCALE = 32767.0


@dataclass(frozen=True)
class Skipped:
    """A recording that could not be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Heard:
    """A recording as a leakage certificate sees it: whose it is, and a hash of its samples."""

    corpus: str
    name: str
    patient: str
    audio_sha256: str


@dataclass(frozen=True)
class WaveStore:
    """Recordings end to end as int16 (total,), with each one's first sample and length.

    A crop is cut by index arithmetic where the tensor lives: the training loop touches no file and
    no NumPy array.
    """

    rows: tuple[Recording, ...]
    hashes: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    rate: int
    pcm: Tensor
    starts: Tensor
    lengths: Tensor

    def heard(self) -> list[Heard]:
        """What a leakage certificate compares, for every recording."""
        return [
            Heard(row.corpus, row.name, row.patient, audio)
            for row, audio in zip(self.rows, self.hashes, strict=True)
        ]

    def wave(self, row: int) -> Tensor:
        """Recording `row` as float32 (n,)."""
        start, length = int(self.starts[row]), int(self.lengths[row])
        return self.pcm[start : start + length].float() / FULL_SCALE

    def crops(self, rows: Tensor, places: Tensor, samples: int) -> Tensor:
        """Crops (B, samples) of `rows` (B,), `places` (B,) in [0, 1) of where each may start.

        A recording shorter than the crop is repeated.
        """
        length = self.lengths[rows]
        start = (places * (length - samples + 1).clamp(min=1)).long()
        offsets = (start[:, None] + torch.arange(samples, device=self.pcm.device)) % length[:, None]
        return self.pcm[self.starts[rows][:, None] + offsets].float() / FULL_SCALE


def load_store(
    rows: Sequence[Recording],
    rate: int,
    device: torch.device,
    *,
    threads: int = 4,
    advance: Callable[[], None] = lambda: None,
) -> WaveStore:
    """Decode every recording once; one that cannot be read is skipped, counted and named.

    Raises:
        AudioError: nothing could be read.
    """
    kept, skipped, pieces, hashes = [], [], [], []
    with ThreadPoolExecutor(threads) as pool:
        for row, result in zip(rows, pool.map(lambda row: _decode(row, rate), rows), strict=True):
            advance()
            if isinstance(result, str):
                skipped.append(Skipped(f"{row.corpus}/{row.name}", result))
            else:
                kept.append(row)
                pieces.append(torch.from_numpy(result[0]))
                hashes.append(result[1])
    if skipped:
        few = "; ".join(f"{item.name}: {item.reason}" for item in skipped[:3])
        log.warning("%d of %d recordings skipped: %s", len(skipped), len(rows), few)
    if not kept:
        raise AudioError("no recording could be read")
    lengths = torch.tensor([len(piece) for piece in pieces])
    starts = torch.cumsum(lengths, 0) - lengths
    pcm = torch.cat(pieces).to(device)
    return WaveStore(
        tuple(kept), tuple(hashes), tuple(skipped), rate, pcm, starts.to(device), lengths.to(device)
    )


def _decode(row: Recording, rate: int) -> tuple[np.ndarray, str] | str:
    """Samples as int16 (n,) and their hash, or why there are none."""
    try:
        pcm = read_pcm(row.path, rate)
    except AudioError as error:
        return str(error)
    if len(pcm) < SHORTEST * rate:
        return f"shorter than {SHORTEST} s"
    peak = float(np.abs(pcm).max())
    if peak == 0.0:
        return "digital silence"
    return np.round(pcm * (FULL_SCALE / max(peak, 1.0))).astype(np.int16), pcm_sha256(pcm)
