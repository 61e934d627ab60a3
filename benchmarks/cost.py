"""CPU per second of audio: the whole `Session.push` path beside Silero VAD, in one run.

Ours hears 44.1 kHz in 100 ms blocks and resamples, gates, infers, smooths and makes events. The
peer is handed 16 kHz chunks, so its own resampling is not counted against it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acula_edge import Session
from acula_edge.bundle import load_bundle
from benchmarks.interleaved import Ratio, ratio_of_pairs
from benchmarks.peers.silero import CHUNK, SileroStream
from benchmarks.peers.silero import RATE as SILERO_RATE

SOURCE_RATE = 44_100
BLOCK_SECONDS = 0.1
Sound = NDArray[np.float32]


@dataclass(frozen=True)
class CostResult:
    """CPU ms per second of audio of both sides (medians) and the ratio, flat out or paced."""

    mode: str
    seconds_each: float
    ours_ms: float
    peer_ms: float
    ratio: Ratio


def compare_cost(
    model: str, *, variant: str, paced: bool, pairs: int, seconds: float
) -> CostResult:
    """Measure both in turn, `pairs` times, `seconds` of sound each.

    Raises:
        MissingDependencyError: silero-vad is not installed.
        BundleError: the model cannot be loaded.
    """
    session = Session(load_bundle(model), source_rate=SOURCE_RATE, variant=variant)
    peer = SileroStream()
    ours: list[float] = []
    theirs: list[float] = []
    for index in range(pairs + 1):
        mine = _cpu(session.push, _blocks(SOURCE_RATE, BLOCK_SECONDS, seconds, index), paced)
        other = _cpu(peer.push, _blocks(SILERO_RATE, CHUNK / SILERO_RATE, seconds, index), paced)
        if index:  # the first pair warms caches
            ours.append(mine / seconds * 1e3)
            theirs.append(other / seconds * 1e3)
    mode = "paced" if paced else "flat out"
    ratio = ratio_of_pairs(ours, theirs)
    return CostResult(mode, seconds, float(np.median(ours)), float(np.median(theirs)), ratio)


def _blocks(rate: int, block: float, seconds: float, seed: int) -> Iterator[tuple[float, Sound]]:
    """(length in seconds, samples): heart-like bursts over noise."""
    size = round(rate * block)
    time_axis = np.arange(int(seconds * rate)) / rate
    beat = np.exp(-(((time_axis % 0.8) - 0.1) ** 2) / 4e-4) * np.sin(2 * np.pi * 60 * time_axis)
    noise = np.random.default_rng(seed).standard_normal(len(time_axis))
    sound = (0.4 * beat + 0.01 * noise).astype(np.float32)
    for start in range(0, len(sound) - size + 1, size):
        yield block, sound[start : start + size]


def _cpu(
    push: Callable[[Sound], object], blocks: Iterator[tuple[float, Sound]], paced: bool
) -> float:
    """CPU seconds of the process inside `push`; paced, each block waits for its moment."""
    prepared = list(blocks)
    total, due = 0.0, time.monotonic()
    for length, block in prepared:
        if paced:
            due += length
            time.sleep(max(0.0, due - time.monotonic()))
        before = time.process_time()
        push(block)
        total += time.process_time() - before
    return total
