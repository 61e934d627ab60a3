"""The controls table as a picture: gain over self-supervision alone, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

if TYPE_CHECKING:
    from align.experiment.table import Line

# Okabe and Ito's palette: told apart by people with any colour vision.
COLOURS = {
    "baseline": "#555555",
    "objective": "#0072B2",
    "text": "#009E73",
    "shuffle": "#D55E00",
    "unseen": "#CC79A7",
    "labels": "#B07D00",
}


def draw(table: Sequence[Line], path: Path) -> None:
    """Draw each row's mean gain with its interval; colours tell what the row is about."""
    shown = [line for line in table if line.gain is not None][::-1]
    mpl.rcParams["svg.hashsalt"] = "acula"  # the same table gives the same file
    mpl.rcParams["svg.fonttype"] = "none"
    figure, axes = plt.subplots(figsize=(8.5, 0.32 * len(shown) + 1.3))
    for height, line in enumerate(shown):
        gain = line.gain
        assert gain is not None
        colour = COLOURS[line.group]
        axes.plot([gain.low, gain.high], [height, height], color=colour, linewidth=2)
        axes.plot(gain.value, height, "o", color=colour, markersize=6)
    axes.axvline(0, color="#555555", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [line.title for line in shown])
    axes.set_xlabel("mean AUROC gain over SSL only (95 % interval over patients and seeds)")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    handles = [
        Line2D([], [], color=COLOURS[group], marker="o", label=group)
        for group in dict.fromkeys(line.group for line in table if line.gain is not None)
    ]
    axes.legend(handles=handles, loc="lower right", frameon=False, fontsize=8)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
