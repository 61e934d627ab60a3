"""Where it was measured, and whether its absolute times can be compared with another run's.

Everything is read from `/proc`, `/sys` and psutil; what they do not tell is None.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from acula_edge.errors import MissingDependencyError
from benchmarks.record import Machine

FLAGS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16"),
    *("amx_int8", "neon", "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2"),
)
STEADY_GOVERNORS = frozenset({"performance"})
BUSY_LOAD = 0.25  # of the threads
BUSY_OTHERS = 0.1  # of the threads
HOT_C = 90.0
SLOW_CLOCK = 0.8
PROCESSOR_SENSORS = ("x86_pkg_temp", "cpu", "soc", "k10temp", "acpitz")
CONTAINERS = ("docker", "kubepods", "containerd", "lxc", "podman")
MIB = 2**20


def fingerprint(root: Path = Path("/")) -> Machine:
    """This machine, before a run.

    Raises:
        MissingDependencyError: psutil is not installed.
    """
    psutil = require_psutil()
    cpu = root / "sys/devices/system/cpu/cpu0/cpufreq"
    info = _read(root / "proc/cpuinfo") or ""
    now, most = _number(cpu / "scaling_cur_freq"), _number(cpu / "cpuinfo_max_freq")
    said = _field(info, "cpu MHz")
    return Machine(
        cpu=_cpu(root, info),
        architecture=platform.machine(),
        flags=_flags(info),
        cores=psutil.cpu_count(logical=False),
        threads=psutil.cpu_count(),
        governor=_read(cpu / "scaling_governor"),
        clock_mhz=now / 1000 if now is not None else _float(said),
        clock_limit_mhz=None if most is None else most / 1000,
        ram_mib=int(psutil.virtual_memory().total) // MIB,
        system=_system(root),
        python=platform.python_version(),
        power=_power(root),
        container=_container(root),
        temperature_c=_temperature(root),
        load=_load(),
        gpu=_gpu(root),
    )


def busy(machine: Machine) -> tuple[str, ...]:
    """Why the machine's absolute times would compare with no other run's; empty when calm."""
    reasons = []
    threads = machine.threads or 1
    if machine.load is not None and machine.load[0] > BUSY_LOAD * threads:
        reasons.append(f"load average {machine.load[0]:.1f} on {threads} threads before the run")
    if machine.governor is not None and machine.governor not in STEADY_GOVERNORS:
        reasons.append(f"the clock follows the governor {machine.governor!r}")
    if machine.power == "battery":
        reasons.append("on battery")
    if machine.temperature_c is not None and machine.temperature_c >= HOT_C:
        reasons.append(f"the processor is at {machine.temperature_c:.0f} °C")
    if (
        machine.governor == "performance"
        and machine.clock_mhz is not None
        and machine.clock_limit_mhz is not None
        and machine.clock_mhz < SLOW_CLOCK * machine.clock_limit_mhz
    ):
        reasons.append(f"clocked at {machine.clock_mhz:.0f} of {machine.clock_limit_mhz:.0f} MHz")
    return tuple(reasons)


class Watch:
    """What disturbs a run while it lasts: others on the processor, and throttling.

    Starts when made; `reasons` looks back from now.
    """

    def __init__(self, root: Path = Path("/"), psutil: Any = None):
        self._root = root
        self._psutil = psutil or require_psutil()
        self._process = self._psutil.Process()
        self._all, self._ours, self._wall = self._times()
        self._throttled = throttles(root)

    def others(self) -> float | None:
        """Processors that other processes kept busy on average; None before any time passed."""
        everyone, ours, wall = self._times()
        if wall <= self._wall:
            return None
        used = (everyone - self._all) - (ours - self._ours)
        threads = self._psutil.cpu_count() or 1
        return max(0.0, used / (wall - self._wall) * threads)

    def reasons(self) -> tuple[str, ...]:
        """Why the run since then compares with no other; empty when it was undisturbed."""
        found = []
        threads = self._psutil.cpu_count() or 1
        others = self.others()
        if others is not None and others > BUSY_OTHERS * threads:
            found.append(f"other processes used {others:.1f} of {threads} threads during the run")
        now = throttles(self._root)
        if now is not None and self._throttled is not None and now > self._throttled:
            found.append("the processor was throttled during the run")
        return tuple(found)

    def _times(self) -> tuple[float, float, float]:
        """CPU seconds of everyone, of this process and its children, and of all threads."""
        times = self._psutil.cpu_times()
        # guest time is counted in user time already
        total = sum(getattr(times, name) for name in times._fields if "guest" not in name)
        idle = times.idle + getattr(times, "iowait", 0.0)
        own = self._process.cpu_times()
        ours = sum(own[:4]) if len(own) >= 4 else sum(own[:2])
        return total - idle, ours, total


def throttles(root: Path = Path("/")) -> int | None:
    """How often the processor was throttled since boot, by heat or by a quota; None if untold."""
    counts = [
        _number(path)
        for path in root.glob("sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count")
    ]
    quota = _read(root / "sys/fs/cgroup/cpu.stat") or ""
    for line in quota.splitlines():
        name, _, value = line.partition(" ")
        if name == "nr_throttled":
            counts.append(_float(value))
    known = [count for count in counts if count is not None]
    return int(sum(known)) if known else None


def rss_mib() -> float:
    """Resident memory of this process; MissingDependencyError without psutil."""
    return float(require_psutil().Process().memory_info().rss) / MIB


def require_psutil() -> Any:
    """The psutil module; MissingDependencyError where it is not installed."""
    try:
        return import_module("psutil")
    except ImportError:
        raise MissingDependencyError(
            "memory and load are read with psutil: pip install 'acula-edge[bench]'"
        ) from None


def _cpu(root: Path, info: str) -> str | None:
    board = _read(root / "proc/device-tree/model")
    named = _field(info, "model name") or _field(info, "Model") or _field(info, "Hardware")
    return named or (board.rstrip("\0") if board else None) or platform.processor() or None


def _flags(info: str) -> tuple[str, ...]:
    said = (_field(info, "flags") or _field(info, "Features") or "").split()
    return tuple(flag for flag in FLAGS if flag in said)


def _system(root: Path) -> str:
    for line in (_read(root / "etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            name = line.partition("=")[2].strip('"')
            return f"{name}, {platform.system()} {platform.release()}"
    return f"{platform.system()} {platform.release()}"


def _power(root: Path) -> str | None:
    """Battery when one is draining or no mains supply is connected."""
    mains, battery = [], []
    for supply in root.glob("sys/class/power_supply/*"):
        kind = _read(supply / "type")
        if kind in ("Mains", "USB"):
            mains.append(_read(supply / "online"))
        elif kind == "Battery" and _read(supply / "scope") != "Device":
            battery.append(_read(supply / "status"))
    if "Discharging" in battery:
        return "battery"
    if "1" in mains or battery:
        return "mains"
    return None


def _container(root: Path) -> str | None:
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    groups = _read(root / "proc/1/cgroup") or ""
    return next((name for name in CONTAINERS if name in groups), None)


def _temperature(root: Path) -> float | None:
    """Of the hottest sensor that is the processor's by its name."""
    found = []
    for zone in root.glob("sys/class/thermal/thermal_zone*"):
        kind = (_read(zone / "type") or "").lower()
        value = _number(zone / "temp")
        if value is not None and kind.startswith(PROCESSOR_SENSORS):
            found.append(value / 1000)
    return max(found, default=None)


def _gpu(root: Path) -> str | None:
    names = (
        _field(_read(path) or "", "Model")
        for path in sorted(root.glob("proc/driver/nvidia/gpus/*/information"))
    )
    return _joined(name for name in names if name)


def _joined(names: Iterable[str]) -> str | None:
    return ", ".join(names) or None


def _load() -> tuple[float, ...] | None:
    try:
        return os.getloadavg()
    except (AttributeError, OSError):
        return None


def _field(text: str, name: str) -> str | None:
    """Value of the first `name : value` line."""
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip() or None
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _float(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _number(path: Path) -> float | None:
    return _float(_read(path))
