"""From the network's cardiac phases, step by step, to the onsets of S1 and S2.

A heart goes S1, systole, S2, diastole, S1: a cyclic chain of segments whose durations are limited.
The most probable segmentation is found by the Viterbi algorithm with explicit durations, as in the
hidden semi-Markov models of Schmidt et al. (2010) and Springer et al. (2016) for heart sounds, with
the network in place of their emission models. It is final once `LAG` seconds of later sound agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LAG = 0.4
"""Least seconds of later sound that decide an onset; more gains nothing on CirCor."""
CHUNK = 0.5
"""Seconds decoded at a time: shorter costs more, longer answers later."""
SPAN = 2.0
"""Seconds before an onset that its confidence looks at, besides what was heard after it."""
SHORTEST_BEAT = 60 / 200
ROOM = 1024
SOUNDS = (0, 2)


@dataclass(frozen=True)
class Duration:
    """How long a phase lasts: limits and a log-normal between them, in seconds."""

    least: float
    most: float
    typical: float
    spread: float


CYCLE = {
    "S1": Duration(0.08, 0.23, 0.12, 0.35),
    "systole": Duration(0.05, 0.40, 0.16, 0.5),
    "S2": Duration(0.05, 0.20, 0.10, 0.4),
    "diastole": Duration(0.05, 1.20, 0.26, 0.7),
}
"""Children to resting adults, 40 to 200 beats per minute. `typical` is about the median of CirCor's
training children; limits and spreads are wider, since adults' hearts are slower."""


@dataclass(frozen=True)
class Onset:
    """`sound` ("S1" or "S2") began `at` seconds after the decoder's start.

    `confidence` is the mean probability that the network gives to the decoded phases around it:
    about 0.9 in clear heart sounds, 0.6 where the decoder finds a rhythm in noise.
    """

    at: float
    sound: str
    confidence: float


class PhaseDecoder:
    """Follows the phase logits of one stream.

    Step `i` answers for the sound at `(i + 1) * step - delay` seconds. Onsets do not depend on how
    the steps are grouped into calls.

    Args:
        phases: names of the logits' rows; all of `CYCLE` are among them.
        step: seconds per step.
        delay: seconds by which the network answers late.
        lag: least seconds of later sound before an onset is final.
    """

    def __init__(self, phases: Sequence[str], step: float, delay: float, lag: float = LAG):
        self._rows = [list(phases).index(name) for name in CYCLE]
        self._names = len(phases)
        self._step, self._delay = step, delay
        self._lag, self._span = round(lag / step), round(SPAN / step)
        self._chunk = max(1, round(CHUNK / step))
        weights = _log_durations(step)
        self._longest = weights.shape[1]
        self._block = int(np.isfinite(weights).argmax(axis=1).min()) + 1
        self._ending = _by_column(weights, self._block)
        self._offset = np.arange(self._ending[..., 0].size).reshape(-1, 4) * self._longest
        self._open = np.maximum.accumulate(weights[:, ::-1], axis=1)
        self._past = self._longest + self._span + self._lag + self._chunk
        self.reset()

    def reset(self) -> None:
        """Start again: what comes next may begin anywhere in the cycle."""
        size = self._past + ROOM
        # Columns are boundaries between steps; the first `_past` of them lie before the start.
        self._entry = np.zeros((4, size))  # best score of entering the phase there, less `_sum`
        self._sum = np.zeros((4, size))  # log probability of the steps before
        self._column = np.zeros((size, 4), dtype=np.int64)  # where the phase ending there began
        self._probability = np.zeros((4, size))  # of the step after
        self._agreed = np.zeros(size)  # the decoded phase's probability, of the step after
        self._now = self._final = self._start = self._past
        self._dropped = 0
        self._logits = np.zeros((self._names, self._chunk), dtype=np.float32)
        self._waiting = 0
        self._last = dict.fromkeys(CYCLE, -math.inf)

    def push(self, logits: NDArray[np.float32]) -> list[Onset]:
        """Take logits (P, S) of the next S steps; return the onsets that became final."""
        onsets: list[Onset] = []
        taken = 0
        while taken < logits.shape[1]:
            part = logits[:, taken : taken + self._chunk - self._waiting]
            self._logits[:, self._waiting : self._waiting + part.shape[1]] = part
            self._waiting += part.shape[1]
            taken += part.shape[1]
            if self._waiting == self._chunk:
                self._take()
                onsets += self._decide(self._now - self._lag)
        return onsets

    def flush(self) -> list[Onset]:
        """The onsets still owed where the sound ends. Reset before pushing more."""
        self._take()
        return self._decide(self._now - self._block)

    def _take(self) -> None:
        """Score the steps that wait."""
        logits = self._logits[self._rows, : self._waiting].astype(np.float64)
        self._waiting = 0
        if self._now + self._chunk >= self._agreed.size:
            self._compact()
        now, end = self._now, self._now + logits.shape[1]
        x = logits - logits.max(axis=0)
        power = np.exp(x)
        total = power.sum(axis=0)
        self._probability[:, now:end] = power / total
        sums = self._sum[:, now + 1 : end + 1]
        np.cumsum(x - np.log(total), axis=1, out=sums)
        sums += self._sum[:, now : now + 1]
        change = sums - sums[[1, 2, 3, 0]]
        for first in range(0, end - now, self._block):
            self._advance(now + 1 + first, change[:, first : first + self._block])
        self._now = end

    def _advance(self, first: int, change: Floats) -> None:
        """Score boundaries `first`, `first + 1`, ..., so close that no phase fits between them."""
        count = change.shape[1]
        scores = self._entry[:, first - self._longest : first] + self._ending[:count]
        column = scores.argmax(axis=2)
        best = scores.reshape(-1)[column + self._offset[:count]].T + change
        column += first - self._longest
        self._column[first : first + count] = column
        self._entry[1:, first : first + count] = best[:3]
        self._entry[0, first : first + count] = best[3]

    def _decide(self, until: int) -> list[Onset]:
        """Trace the best path back to what is final already, and make it final up to `until`."""
        if until <= self._final:
            return []
        now, final = self._now, self._final
        scores = self._entry[:, now - self._longest : now] + self._open
        scores += self._sum[:, now : now + 1]
        phase, column = divmod(int(scores.argmax()), self._longest)
        at, end = now - self._longest + column, now
        entered = []
        while True:
            begin = max(at, final)
            self._agreed[begin:end] = self._probability[phase, begin:end]
            if at <= final:
                break
            if at <= until and phase in SOUNDS:
                entered.append((at, phase))
            phase, end = (phase - 1) % 4, at
            at = int(self._column[at, phase])
        self._final = until
        onsets = [self._onset(at, phase) for at, phase in reversed(entered)]
        return [onset for onset in onsets if self._is_new(onset)]

    def _onset(self, at: int, phase: int) -> Onset:
        heard = self._agreed[max(at - self._span, self._start) : self._now]
        seconds = (self._dropped + at - self._past + self._crossing(at, phase)) * self._step
        confidence = float(np.add.reduce(heard)) / len(heard)
        return Onset(seconds - self._delay, tuple(CYCLE)[phase], confidence)

    def _crossing(self, at: int, phase: int) -> float:
        """Where between two steps (0 to 1) the phase becomes likelier than the one before it."""
        sums = self._sum[:, at - 1 : at + 2]
        odds = (sums[phase, 1:] - sums[phase, :-1]) - (sums[phase - 1, 1:] - sums[phase - 1, :-1])
        before, after = odds.tolist()
        return min(max(before / (before - after), 0.0), 1.0) if before < after else 0.5

    def _is_new(self, onset: Onset) -> bool:
        """False for a sound told already: the best path may still change behind what is final."""
        if onset.at < 0 or onset.at - self._last[onset.sound] < SHORTEST_BEAT:
            return False
        self._last[onset.sound] = onset.at
        return True

    def _compact(self) -> None:
        """Forget all but the latest `_past` boundaries."""
        shift, kept = self._now - self._past, self._past + 1
        for values in (self._entry, self._sum, self._column.T, self._probability, self._agreed):
            values[..., :kept] = values[..., shift : shift + kept].copy()
        self._column -= shift
        self._now -= shift
        self._final -= shift
        self._start = max(self._start - shift, 0)
        self._dropped += shift


def _log_durations(step: float) -> Floats:
    """Log weight (4, n) of lasting 1 to n steps."""
    longest = round(max(duration.most for duration in CYCLE.values()) / step)
    seconds = np.arange(1, longest + 1) * step
    rows = []
    for limits in CYCLE.values():
        weight = -0.5 * (np.log(seconds / limits.typical) / limits.spread) ** 2
        allowed = (seconds >= limits.least) & (seconds <= limits.most)
        rows.append(np.where(allowed, weight, -np.inf))
    return np.array(rows)


def _by_column(weights: Floats, block: int) -> Floats:
    """(block, 4, n): for `block` boundaries in a row, the weight of ending there what was entered
    `n` to 1 boundaries before the first of them."""
    result = np.full((block, *weights.shape), -np.inf)
    for late in range(block):
        result[late, :, late:] = weights[:, late:][:, ::-1]
    return result
