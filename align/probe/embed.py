"""Embeddings of whole recordings, many recordings' windows to one batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from align.audio import AudioError, read_pcm
from align.corpora.recording import Recording
from align.encoders.base import Encoder, EncoderError

WINDOWS_AT_ONCE = 256
SAMPLES_WAITING = 2**28  # 1 GiB of float32 windows of uneven lengths before they go as they are
FILES_AT_ONCE = 512  # read while the files before them are embedded


@dataclass(frozen=True)
class Embedded:
    """Embeddings (n, d) of the n `rows` that could be read, and why the others could not."""

    vectors: NDArray[np.float32]
    rows: tuple[Recording, ...]
    failures: tuple[tuple[Path, str], ...] = ()


def embed_rows(
    encoder: Encoder,
    rows: Sequence[Recording],
    *,
    device: torch.device | str = "cpu",
    batch: int = WINDOWS_AT_ONCE,
    threads: int = 4,
) -> Embedded:
    """Embed recordings from their files; damaged audio is left out and named in `failures`.

    Moves `encoder` to `device`. At most twice `FILES_AT_ONCE` recordings are in memory.
    """
    encoder.to(device)
    kept: list[Recording] = []
    vectors = [np.empty((0, encoder.dim), np.float32)]
    failures: list[tuple[Path, str]] = []
    for chunk, outcomes in _read(encoder, rows, threads):
        read = []
        for row, outcome in zip(chunk, outcomes, strict=True):
            if isinstance(outcome, str):
                failures.append((row.path, outcome))
            else:
                read.append((row, outcome))
        found = embed_windows(encoder, (windows for _, windows in read), batch=batch)
        finite = np.atleast_1d(np.isfinite(found).all(axis=1))
        for (row, _), usable in zip(read, finite, strict=True):
            if usable:
                kept.append(row)
            else:
                failures.append((row.path, "its embedding is not finite"))
        vectors.append(found[finite])
    return Embedded(np.concatenate(vectors), tuple(kept), tuple(failures))


def embed_waves(
    encoder: Encoder, waves: Iterable[Tensor], *, batch: int = WINDOWS_AT_ONCE
) -> NDArray[np.float32]:
    """Embeddings (n, d) of n waves, each (samples,) at `encoder.rate`: the mean over its windows.

    Waves may be anywhere; those on the encoder's device are not copied. See `embed_windows`.
    """
    return embed_windows(encoder, (encoder.windows(wave) for wave in waves), batch=batch)


def embed_windows(
    encoder: Encoder, recordings: Iterable[Tensor], *, batch: int = WINDOWS_AT_ONCE
) -> NDArray[np.float32]:
    """Embeddings (n, d) of n recordings already cut by `encoder.windows` to (w, samples).

    Windows of equal length share a batch. The encoder runs in evaluation mode where its parameters
    are, and is given back in the mode it came in.
    """
    device = next(encoder.parameters()).device
    was_training = encoder.training
    encoder.eval()
    owners: list[int] = []
    parts: list[Tensor] = []
    try:
        with torch.no_grad():
            for numbers, windows in _batches(recordings, batch):
                found = encoder.embed(encoder.inputs(windows.to(device, non_blocking=True)))
                parts.append(found.float())
                owners += numbers
    finally:
        encoder.train(was_training)
    if not parts:
        return np.empty((0, encoder.dim), np.float32)
    return _means(torch.cat(parts).cpu().numpy(), np.asarray(owners))


def _means(vectors: NDArray[np.float32], owners: NDArray[np.int64]) -> NDArray[np.float32]:
    """Mean vector of each owner, all of 0..max; in a fixed order, whatever the batches were."""
    order = np.argsort(owners, kind="stable")
    sizes = np.bincount(owners)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    sums = np.add.reduceat(vectors[order].astype(np.float64), starts, axis=0)
    return np.asarray(sums / sizes[:, None], dtype=np.float32)


@dataclass
class _Group:
    """Windows of one length that wait for company, and whose they are."""

    owners: list[int]
    windows: list[Tensor]

    def split(self, batch: int) -> Iterator[tuple[list[int], Tensor]]:
        together = torch.cat(self.windows)
        for begin in range(0, len(together), batch):
            yield self.owners[begin : begin + batch], together[begin : begin + batch]


def _batches(recordings: Iterable[Tensor], batch: int) -> Iterator[tuple[list[int], Tensor]]:
    """(recording number of each window, windows (B, samples)), B <= batch, every window once."""
    waiting: dict[int, _Group] = {}
    samples = 0
    for number, windows in enumerate(recordings):
        length = windows.shape[1]
        group = waiting.setdefault(length, _Group([], []))
        group.owners += [number] * len(windows)
        group.windows.append(windows)
        samples += windows.numel()
        if len(group.owners) >= batch:
            samples -= length * len(group.owners)
            yield from waiting.pop(length).split(batch)
        elif samples > SAMPLES_WAITING:
            for other in waiting.values():
                yield from other.split(batch)
            waiting, samples = {}, 0
    for group in waiting.values():
        yield from group.split(batch)


def _read(
    encoder: Encoder, rows: Sequence[Recording], threads: int
) -> Iterator[tuple[Sequence[Recording], list[Tensor | str]]]:
    """Chunks of rows with their windows, or why there are none; works one chunk ahead."""
    chunks = [rows[i : i + FILES_AT_ONCE] for i in range(0, len(rows), FILES_AT_ONCE)]
    with ThreadPoolExecutor(threads) as pool:

        def begin(chunk: Sequence[Recording]) -> list[Future[Tensor | str]]:
            return [pool.submit(_windows, encoder, row.path) for row in chunk]

        ahead = begin(chunks[0]) if chunks else []
        for index, chunk in enumerate(chunks):
            now, ahead = ahead, begin(chunks[index + 1]) if index + 1 < len(chunks) else []
            yield chunk, [future.result() for future in now]


def _windows(encoder: Encoder, path: Path) -> Tensor | str:
    try:
        return encoder.windows(torch.from_numpy(read_pcm(path, encoder.rate)))
    except (AudioError, EncoderError) as error:
        return str(error)
