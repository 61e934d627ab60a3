"""The cores that firmware is verified on: compiler flags, QEMU machine, clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from acula_edge.errors import UsageError

HOST: Final = "host"
# -ffp-contract=off: a fused multiply-add rounds once where the reference rounds twice.
STRICT: Final = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")
OPTIMISED: Final = ("-O2", "-ffunction-sections", "-fdata-sections")
HOST_FLAGS: Final = (
    "-O1",
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
)


@dataclass(frozen=True)
class Core:
    """A Cortex-M in QEMU. `clock` (Hz) drives its SysTick; `script` is its linker script."""

    name: str
    machine: str
    flags: tuple[str, ...]
    script: str
    clock: int

    def emulate(self, qemu: str) -> list[str]:
        """QEMU with semihosting and one instruction per nanosecond; `-kernel IMAGE` follows."""
        quiet = ["-display", "none", "-monitor", "none", "-serial", "none"]
        semihosting = ["-semihosting-config", "enable=on,target=native"]
        return [qemu, "-M", self.machine, "-icount", "shift=0", *quiet, *semihosting]


_MPS2, _MPS3 = 25_000_000, 32_000_000
_CORES: Final = (
    Core("m4", "mps2-an386", ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16"), "mps2.ld", _MPS2),
    Core("m7", "mps2-an500", ("-mcpu=cortex-m7", "-mfpu=fpv5-d16"), "mps2.ld", _MPS2),
    Core("m55", "mps3-an547", ("-mcpu=cortex-m55+nomve", "-mfpu=auto"), "mps3.ld", _MPS3),
    Core("m55-mve", "mps3-an547", ("-mcpu=cortex-m55", "-mfpu=auto"), "mps3.ld", _MPS3),
)
# m55-mve lets the compiler use vector instructions: only when asked for.
DEFAULT_CORES: Final = (HOST, "m4", "m7", "m55")
CORE_NAMES: Final = (HOST, *(core.name for core in _CORES))


def core_named(name: str) -> Core:
    """The Cortex-M of that name; UsageError naming the choices."""
    for core in _CORES:
        if core.name == name:
            return core
    raise UsageError(f"no such core: {name!r}; choose from {', '.join(CORE_NAMES)}")
