"""What the reference answers to a list of sounds: the records a run must write, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from firmware_bridge.verify.records import EXAM, RESULT, Shape, packed
from firmware_bridge.verify.script import Samples, Sound


class Oracle(Protocol):
    """`firmware_bridge.reference.Reference`: results and exams have the C structs' field names."""

    def push(self, pcm: Samples) -> Sequence[Any]:
        """Results of the hops that int16 `pcm` (n,) completes."""

    def lost(self, samples: int) -> None:
        """That many samples are missing before the next push."""

    def finish(self) -> Any:
        """The exam."""

    def reset(self) -> None:
        """Start another exam."""


@dataclass(frozen=True)
class Expected:
    """Records, and for each a name that says where it comes from."""

    records: tuple[np.void, ...]
    names: tuple[str, ...]


def expect(oracle: Oracle, sounds: Sequence[Sound], shape: Shape) -> Expected:
    """Feed each sound whole, between its gaps: block lengths must not matter."""
    records: list[np.void] = []
    names: list[str] = []
    for sound in sounds:
        oracle.reset()
        results = _results(oracle, sound)
        records += [packed(shape, RESULT, result) for result in results]
        names += [f"{sound.name}, hop {result.hop}" for result in results]
        records.append(packed(shape, EXAM, oracle.finish()))
        names.append(f"{sound.name}, exam")
    return Expected(tuple(records), tuple(names))


def _results(oracle: Oracle, sound: Sound) -> list[Any]:
    results: list[Any] = []
    position = 0
    for gap in sound.gaps:
        results += oracle.push(sound.pcm[position : gap.at])
        oracle.lost(gap.samples)
        position = gap.at
    return [*results, *oracle.push(sound.pcm[position:])]
