"""Measurements that need a process of their own: a fresh start, or memory to throw away."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from acula_edge.errors import AculaError


def first_line(script: str, arguments: Sequence[str], purpose: str) -> tuple[str, float]:
    """What a fresh Python says first on stdout, and the seconds from its start until then.

    The process is over, or killed after Ctrl-C, when this returns.

    Raises:
        AculaError: it failed; the sentence names `purpose` and its last words.
    """
    # Without cached bytecode a start would measure Python's compiler.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", script, *arguments]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        took = time.perf_counter() - began
        _, said = process.communicate()
    except BaseException:
        process.kill()
        process.communicate()
        raise
    if process.returncode or not line:
        last = said.strip().splitlines()[-1:] or ["no message"]
        raise AculaError(f"a process of its own failed to measure {purpose}: {last[0][-200:]}")
    return line, took
