"""What the harness is told to do: sessions of sound, fed in odd block lengths, with gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
Operation = Literal["push", "lost", "finish", "reset"]

LONGEST_BLOCK: Final = 1024  # harness_main.c's buffer
# Neither the hop nor any frame divides them; some end a hop, some span more than one.
_BLOCKS: Final = (1, 7, 63, 767, 768, 769, 255, 1024, 311, 3, 997)
_CODES: Final[dict[Operation, int]] = {"push": 1, "lost": 2, "finish": 3, "reset": 4}


@dataclass(frozen=True)
class Step:
    """One call of the C API; `count` samples for push and lost, else 0."""

    operation: Operation
    count: int = 0


@dataclass(frozen=True)
class Gap:
    """`samples` are lost before sample `at` of the sound."""

    at: int
    samples: int


@dataclass(frozen=True)
class Sound:
    """A session's sound: int16 (n,) at the model rate, and what was lost on the way."""

    name: str
    pcm: Samples
    gaps: tuple[Gap, ...] = ()


def steps_of(sounds: Sequence[Sound]) -> Iterator[Step]:
    """Each sound from a reset to its exam, in odd blocks that stop at every gap."""
    for sound in sounds:
        yield Step("reset")
        position = 0
        for gap in sound.gaps:
            yield from _pushes(gap.at - position)
            yield Step("lost", gap.samples)
            position = gap.at
        yield from _pushes(len(sound.pcm) - position)
        yield Step("finish")


def _pushes(samples: int) -> Iterator[Step]:
    turn = 0
    while samples > 0:
        count = min(samples, _BLOCKS[turn % len(_BLOCKS)])
        yield Step("push", count)
        samples -= count
        turn += 1


def script_bytes(steps: Sequence[Step]) -> bytes:
    """The harness's `script.i32`."""
    rows = [(_CODES[step.operation], step.count) for step in steps]
    return np.asarray(rows, "<i4").tobytes()


def pcm_bytes(sounds: Sequence[Sound]) -> bytes:
    """The harness's `pcm.i16`."""
    return b"".join(sound.pcm.astype("<i2").tobytes() for sound in sounds)
