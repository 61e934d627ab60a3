"""Compilers and the emulator, found on PATH; what is missing is named with its apt line."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acula_edge.errors import BundleError, MissingDependencyError

HOST_APT: Final = "sudo apt-get install gcc"
ARM_APT: Final = "sudo apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"


@dataclass(frozen=True)
class ArmTools:
    """Absolute paths of what an Arm build and run need."""

    gcc: str
    size: str
    qemu: str


def host_compilers() -> tuple[str, ...]:
    """gcc and clang, those that are installed; MissingDependencyError with neither."""
    found = tuple(path for name in ("gcc", "clang") if (path := shutil.which(name)))
    if not found:
        raise MissingDependencyError(f"no C compiler is installed: {HOST_APT}")
    return found


def arm_tools() -> ArmTools:
    """The Arm toolchain with newlib, and QEMU; MissingDependencyError naming what is missing."""
    names = ("arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm")
    paths = [shutil.which(name) for name in names]
    missing = [name for name, path in zip(names, paths, strict=True) if path is None]
    if missing:
        raise MissingDependencyError(f"{missing[0]} is not installed: {ARM_APT}")
    gcc, size, qemu = (str(path) for path in paths)
    # gcc repeats the name of a file that it does not have.
    specs = execute([gcc, "-print-file-name=nano.specs"], Path.cwd()).strip()
    if specs == "nano.specs":
        raise MissingDependencyError(f"newlib for arm-none-eabi is not installed: {ARM_APT}")
    return ArmTools(gcc, size, qemu)


def version_of(compiler: str) -> str:
    """Name and version of a compiler, such as `gcc 12.2.0`."""
    version = execute([compiler, "-dumpfullversion", "-dumpversion"], Path.cwd())
    return f"{Path(compiler).name} {version.strip()}"


def execute(command: list[str], folder: Path, *, seconds: float = 300.0) -> str:
    """Run `command` in `folder`; its standard output.

    Raises:
        BundleError: it failed, or ran past `seconds`; the text holds what it said first.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise BundleError(f"{name} did not end within {seconds:.0f} s") from None
    if done.returncode != 0:
        raise BundleError(f"{name} failed ({done.returncode}): {_first_complaint(done.stderr)}")
    return done.stdout


def _first_complaint(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower()]
    return (telling or lines or ["no message"])[0][:300]
