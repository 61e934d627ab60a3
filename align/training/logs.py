"""A run's log: JSONL for scripts, TensorBoard for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter


class RunLog:
    """Appends records to `log.jsonl` and the same numbers to TensorBoard event files."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "log.jsonl"
        self._board = SummaryWriter(str(folder / "tensorboard"))

    def write(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """One record of a stage's step."""
        record = {key: round(value, 6) for key, value in values.items()}
        with self._path.open("a") as handle:
            handle.write(json.dumps({"stage": stage, "step": step, **record}) + "\n")
        for key, value in record.items():
            self._board.add_scalar(f"{stage}/{key}", value, step)

    def close(self) -> None:
        """Flush what is pending."""
        self._board.close()
