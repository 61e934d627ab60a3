"""Cold start and memory of whole processes, as a user's shell sees them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np

from acula_edge.errors import AculaError

FIRST_EVENT = """
import numpy as np
from acula_edge import Session
session = Session({model!r}, source_rate=44100)
while not session.push(np.zeros(4410, np.float32)):
    pass
"""


@dataclass(frozen=True)
class StartResult:
    """Wall seconds of `runs` processes, and their largest peak RSS in MiB."""

    what: str
    runs: int
    median: float
    fastest: float
    slowest: float
    rss_mib: float


def measure_start(model: str, runs: int) -> list[StartResult]:
    """`--help`, and process start to first event, each after two warm-up runs."""
    help_command = [sys.executable, "-m", "acula_edge", "--help"]
    event_command = [sys.executable, "-c", FIRST_EVENT.format(model=model)]
    return [
        _measure("acula-edge --help", help_command, runs),
        _measure("process start to first event", event_command, runs),
    ]


def _measure(what: str, command: list[str], runs: int) -> StartResult:
    # Without cached bytecode a start measures Python's compiler.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    walls, peaks = [], []
    for index in range(runs + 2):
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        if status:
            raise AculaError(f"{what} failed: {process.stderr.read().decode()[-200:]}")  # type: ignore[union-attr]
        if index >= 2:
            walls.append(wall)
            peaks.append(_mib(usage))
    return StartResult(what, runs, float(np.median(walls)), min(walls), max(walls), max(peaks))


def _mib(usage: resource.struct_rusage) -> float:
    """Peak RSS: Linux counts KiB, macOS bytes."""
    return usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024 * 1024)
