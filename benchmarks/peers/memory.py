"""Peak memory of a peer in a process of its own: `python -m benchmarks.peers.memory NAME`.

Ours is `ours PART --bundle PATH --variant NAME`, and imports the runtime alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from acula_edge.bundle import load_bundle
from acula_edge.errors import UsageError
from benchmarks.peers.ours import our_sides
from benchmarks.peers.spec import PeerSpec, heart_like

PASSES = 2
TOGETHER = 2  # processes at once: it is their size that counts, not their speed
PATIENCE = 600.0  # seconds; a busy machine imports slowly
KIB = 1024
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Child:
    """Which side a process measures: the arguments of this module."""

    arguments: tuple[str, ...]


def our_child(side: str, origin: Path, variant: str) -> Child:
    """One of `our_sides`, of the bundle at `origin`."""
    return Child((side, "--bundle", str(origin), "--variant", variant))


def peer_child(name: str, original: Path | None) -> Child:
    """A peer of the registry, or the aligned encoder in the folder `original`."""
    return Child((name, *(() if original is None else ("--original", str(original)))))


def measure_memory(
    children: Sequence[Child],
    patience: float = PATIENCE,
    progress: Callable[[str], None] = lambda _: None,
) -> list[float | None]:
    """Peak resident MiB of each; None where the process failed or the machine does not tell."""
    found: list[float | None] = []
    for first in range(0, len(children), TOGETHER):
        now = children[first : first + TOGETHER]
        progress("memory of " + " and of ".join(child.arguments[0] for child in now))
        processes = [_start(child) for child in now]
        try:
            found += [_peak_of(process, patience) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.communicate()
    return found


def _start(child: Child) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.peers.memory", *child.arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=child_environment(),
    )


def child_environment() -> dict[str, str]:
    """One thread, and cached bytecode: else a process holds what compiling its imports takes."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **ONE_THREAD}


def _peak_of(process: subprocess.Popen[bytes], patience: float) -> float | None:
    try:
        output, _ = process.communicate(timeout=patience)
        peak = json.loads(output.splitlines()[-1])["peak_rss_mib"]
    except (subprocess.TimeoutExpired, ValueError, IndexError, KeyError, TypeError):
        return None
    return None if peak is None else float(peak)


def peak_rss_mib() -> float | None:
    """Peak resident MiB of this process since its program started.

    Linux keeps `ru_maxrss` across exec, so a child of a large process would report its parent's
    peak; /proc tells this program's own.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / KIB
    except (OSError, ValueError, IndexError):
        pass
    if sys.platform == "darwin":
        import resource  # noqa: PLC0415 - not on Windows

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB**2
    return None


def main(arguments: Sequence[str] | None = None) -> None:
    """Load one side, run it twice, and print the peak as a line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.memory")
    parser.add_argument("name")
    parser.add_argument("--bundle")
    parser.add_argument("--variant", default="")
    parser.add_argument("--original", type=Path)
    options = parser.parse_args(arguments)
    loaded = _spec(options).load()
    sound = heart_like(loaded.rate, loaded.seconds)
    for _ in range(PASSES):
        loaded.run(sound)
    sys.stdout.write(json.dumps({"peak_rss_mib": peak_rss_mib()}) + "\n")


def _spec(options: argparse.Namespace) -> PeerSpec:
    if options.bundle is None:
        from benchmarks.peers.registry import find_peer  # noqa: PLC0415 - ours needs none of it

        return find_peer(options.name, options.original)
    for spec in our_sides(load_bundle(options.bundle), options.variant):
        if spec.name == options.name:
            return spec
    raise UsageError(f"{options.name!r} is no side of {options.bundle}")


if __name__ == "__main__":
    main()
