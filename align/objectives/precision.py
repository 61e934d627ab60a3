"""Every objective is computed outside autocast, in float32 or, if a side has it, float64."""

from __future__ import annotations

import torch
from torch import Tensor

from align.errors import AlignError


class ObjectiveError(AlignError, ValueError):
    """An objective that cannot be built, or inputs that it cannot compare."""


def without_autocast(like: Tensor) -> torch.autocast:
    """A context in which matrix products keep their inputs' precision on the device of `like`."""
    return torch.autocast(like.device.type, enabled=False)


def full_precision(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in one dtype: float32, or float64 where one of them is float64."""
    double = any(tensor.dtype == torch.float64 for tensor in tensors)
    return tuple(tensor.to(torch.float64 if double else torch.float32) for tensor in tensors)


def paired_rows(audio: Tensor, text: Tensor, *, same_width: bool) -> tuple[Tensor, Tensor]:
    """Both sides in full precision, checked: (n, d) and (n, k), with d == k if `same_width`.

    Raises:
        ObjectiveError: not matrices, unequal numbers of rows, or unequal widths.
    """
    if audio.ndim != 2 or text.ndim != 2 or len(audio) != len(text):
        raise ObjectiveError(
            f"audio {tuple(audio.shape)} and text {tuple(text.shape)} must be matrices with one "
            "row per recording each"
        )
    if same_width and audio.shape[1] != text.shape[1]:
        raise ObjectiveError(
            f"this objective compares audio with text directly, so both need one width, not "
            f"{audio.shape[1]} and {text.shape[1]}; add projection heads"
        )
    audio, text = full_precision(audio, text)
    return audio, text
