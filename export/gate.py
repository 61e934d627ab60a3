"""What quantisation may cost: a variant that loses more than the recipe allows is not written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from align.errors import AlignError

Result = TypeVar("Result")


class GateError(AlignError):
    """A quantised variant lost more than the recipe allows, or cannot be compared."""


def check_accuracy(
    variant: str,
    reference: Mapping[str, float],
    quantised: Mapping[str, float],
    allowed_drop: float,
) -> dict[str, float]:
    """AUROC lost per finding, reference minus quantised; negative where the variant gained.

    Args:
        variant: its name, for the message.
        reference: AUROC of the float student per finding, on validation patients.
        quantised: the same of the variant.
        allowed_drop: the most that any finding may lose.

    Raises:
        GateError: a finding lost more (the worst is named), is missing, or has no AUROC.
    """
    if not reference or set(reference) != set(quantised):
        odd = sorted(set(reference) ^ set(quantised))
        raise GateError(f"{variant}: no pair of figures to compare for {', '.join(odd) or 'any'}")
    drops = {name: reference[name] - quantised[name] for name in reference}
    unknown = [name for name, drop in drops.items() if math.isnan(drop)]
    if unknown:
        raise GateError(f"{variant}: {unknown[0]} has no AUROC on validation patients")
    worst = max(drops, key=lambda name: drops[name])
    if drops[worst] > allowed_drop:
        raise GateError(
            f"{variant}: {worst} loses {drops[worst]:.4f} AUROC on validation patients"
            f" ({reference[worst]:.4f} to {quantised[worst]:.4f}); allowed are {allowed_drop:.4f}"
        )
    return drops


def decision_agreement(reference: ArrayLike, quantised: ArrayLike) -> float:
    """Share of equal decisions: two equal shapes of booleans or codes, one per exam and finding.

    Raises:
        GateError: different shapes, or no decisions.
    """
    ours, theirs = np.asarray(quantised), np.asarray(reference)
    if ours.shape != theirs.shape or not ours.size:
        raise GateError(f"cannot compare {theirs.shape} decisions with {ours.shape}")
    return float((ours == theirs).mean())


def keep_float_until(
    ranking: Sequence[int],
    attempt: Callable[[tuple[int, ...]], Result],
    *,
    already: Sequence[int] = (),
    at_most: int,
) -> tuple[tuple[int, ...], Result]:
    """Mixed precision: the fewest of the most harmful blocks in float with which `attempt` passes.

    Args:
        ranking: blocks, most harmful first (`export.sensitivity`).
        attempt: builds and measures a variant with those blocks in float; raises GateError.
        already: blocks that the recipe keeps in float anyway.
        at_most: how many more may be kept.

    Raises:
        GateError: `attempt`'s own, if it still fails with `at_most` more.
    """
    candidates = [block for block in ranking if block not in already][:at_most]
    for count in range(len(candidates) + 1):
        kept = tuple(sorted({*already, *candidates[:count]}))
        try:
            return kept, attempt(kept)
        except GateError:
            if count == len(candidates):
                raise
    raise AssertionError("unreachable")
