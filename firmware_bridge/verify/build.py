"""Compiles a firmware folder with the harness, for the host or a Cortex-M, and sizes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acula_edge.errors import BundleError, UsageError
from firmware_bridge.verify.cores import HOST_FLAGS, OPTIMISED, STRICT, Core
from firmware_bridge.verify.folder import Firmware
from firmware_bridge.verify.toolchain import ArmTools, execute

HARNESS: Final = Path(__file__).resolve().parent / "c"
ROUNDINGS: Final = ("float", "single", "double")
_ON_HOST: Final = ("harness_main.c", "harness_host.c")
_ON_ARM: Final = ("harness_main.c", "harness_arm.c", "harness_semihosting.c", "harness_startup.c")


@dataclass(frozen=True)
class Image:
    """A linked program. Bytes of the model's own code, constants and memory; None on the host."""

    path: Path
    flags: tuple[str, ...]
    flash: int | None = None
    ram: int | None = None


def build_host(firmware: Firmware, compiler: str, folder: Path, rounding: str) -> Image:
    """Build with AddressSanitizer and UBSan into the empty `folder`; BundleError if refused."""
    flags = (*STRICT, *HOST_FLAGS, *definitions(rounding))
    sources = firmware.write_code(folder)
    harness = [str(HARNESS / name) for name in _ON_HOST]
    command = [compiler, *flags, "-Iinclude", "-Isrc", *sources, *harness, "-o", "program"]
    execute(command, folder)
    return Image(folder / "program", flags)


def build_arm(
    firmware: Firmware,
    tools: ArmTools,
    core: Core,
    folder: Path,
    rounding: str,
    extra: Sequence[str] = (),
) -> Image:
    """Build for `core` into the empty `folder`, with `extra` flags; BundleError if refused."""
    machine = ("-mthumb", "-mfloat-abi=hard", *core.flags)
    flags = (*machine, *OPTIMISED, *STRICT, *definitions(rounding), *extra)
    link_arm(
        tools, core, folder, flags, firmware.write_code(folder), [HARNESS / n for n in _ON_ARM]
    )
    sizes = section_sizes(execute([tools.size, "-A", "program.elf"], folder))
    flash = sizes[".text"] + sizes[".rodata"] + sizes[".data"]
    return Image(folder / "program.elf", flags, flash, sizes[".data"] + sizes[".bss"])


def link_arm(
    tools: ArmTools,
    core: Core,
    folder: Path,
    flags: Sequence[str],
    sources: Sequence[str],
    own: Sequence[Path],
) -> None:
    """Compile the model's `sources` and the program's `own` files, and link `program.elf`.

    Objects called `harness_*.o` do not count as firmware (see sections.ld).
    """
    common = [tools.gcc, *flags, "-Iinclude", "-Isrc", f"-I{HARNESS}"]
    execute([*common, "-c", *sources, *map(str, own)], folder)
    objects = sorted(path.name for path in folder.glob("*.o"))
    link = ["--specs=nano.specs", "-nostartfiles", "-Wl,--gc-sections", "-Wl,--fatal-warnings"]
    execute(
        [*common, *link, f"-L{HARNESS}", f"-T{core.script}", *objects, "-lm", "-o", "program.elf"],
        folder,
    )


def definitions(rounding: str) -> tuple[str, ...]:
    """The macro that chooses a rounding mode; UsageError if there is no such mode."""
    if rounding not in ROUNDINGS:
        raise UsageError(f"no such rounding: {rounding!r}; choose from {', '.join(ROUNDINGS)}")
    return (f"-DACULA_ROUNDING=ACULA_ROUNDING_{rounding.upper()}",)


def section_sizes(table: str) -> dict[str, int]:
    """Section -> bytes of `size -A` output; BundleError where a section of ours is missing."""
    sizes = {name: int(count) for name, count in re.findall(r"^(\.\S+)\s+(\d+)\s", table, re.M)}
    for name in (".text", ".rodata", ".data", ".bss"):
        if name not in sizes:
            sizes[name] = 0
    if sizes[".text"] == 0:
        raise BundleError("the linked program holds no code of the model")
    return sizes
