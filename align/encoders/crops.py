"""How recordings of any length are cut into windows of one length."""

from __future__ import annotations

import torch
from torch import Tensor


def overlapping_windows(wave: Tensor, length: int, hop: int | None = None) -> Tensor:
    """Windows (w, length) of a recording (n,), every `hop` (half a window), the last at the end.

    A shorter recording is repeated until it fills one window.
    """
    samples = len(wave)
    if samples < length:
        wave, samples = wave.repeat(-(-length // max(samples, 1)))[:length], length
    starts = torch.arange(0, samples - length + 1, hop or length // 2, device=wave.device)
    if int(starts[-1]) != samples - length:
        starts = torch.cat([starts, starts.new_tensor([samples - length])])
    return wave[starts[:, None] + torch.arange(length, device=wave.device)]
