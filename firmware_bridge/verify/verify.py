"""Compiles a firmware folder for a core, runs it, and compares every byte with the reference."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acula_edge.errors import BundleError
from firmware_bridge.verify.build import Image, build_arm, build_host
from firmware_bridge.verify.case import Case, Recording, make_case
from firmware_bridge.verify.cores import HOST, Core, core_named
from firmware_bridge.verify.folder import Firmware, read_folder
from firmware_bridge.verify.records import Comparison, End, compare, split
from firmware_bridge.verify.script import pcm_bytes, script_bytes, steps_of
from firmware_bridge.verify.toolchain import arm_tools, execute, host_compilers, version_of

# platform_loop(LOOP) of harness_main.c: two instructions a turn.
_LOOP_INSTRUCTIONS: Final = 200_000
_STACK_BYTES: Final = 0x8000  # __stack_size of sections.ld


@dataclass(frozen=True)
class CoreReport:
    """A core's build and run.

    A vector is one record: the result of a hop or an exam, all its bytes. `difference` names the
    first that differs, or None. Flash and RAM (bytes) are the model's own code, constants, and
    arena; the harness's are left out. The stack (bytes) is the most that was in use below the
    harness's main. Instructions are QEMU's, not cycles; None on the host.
    """

    core: str
    machine: str
    compiler: str
    flags: tuple[str, ...]
    vectors: int
    equal: int
    difference: str | None
    seconds: float
    flash_bytes: int | None = None
    ram_bytes: int | None = None
    stack_bytes: int | None = None
    instructions_per_second: float | None = None
    worst_instructions: int | None = None

    @property
    def passed(self) -> bool:
        """Every byte was the reference's."""
        return self.difference is None and self.equal == self.vectors


def verify(
    folder: Path,
    core: str,
    *,
    recordings: Sequence[Recording] = (),
    rounding: str = "float",
    bundle: str | Path | None = None,
    extra: Sequence[str] = (),
) -> CoreReport:
    """Prove `folder` on `core` (host, m4, m7, m55, m55-mve): golden vectors, then `recordings`.

    Recordings are files or int16 arrays (n,) at the model rate. `bundle` is where the folder came
    from; default: the shipped bundle of the name in acula.json. `extra` are compiler flags for Arm
    builds, such as `-O3`.

    The folder's C code runs on this machine: verify only folders that you trust.

    Raises:
        BundleError: the folder is damaged or of another schema, does not compile, or crashed; or
            the bundle is not the one it was made from.
        MissingDependencyError: no compiler or emulator; the text has the apt line.
        UsageError: no such core or rounding.
        AudioFileError: a recording cannot be read.
    """
    firmware = read_folder(folder)
    case = make_case(firmware, recordings=recordings, rounding=rounding, bundle=bundle)
    return check(firmware, case, core, rounding=rounding, extra=extra)


def check(
    firmware: Firmware,
    case: Case,
    core: str,
    *,
    rounding: str = "float",
    extra: Sequence[str] = (),
) -> CoreReport:
    """Build, run and compare one case on one core: `verify` for a case that is already made."""
    if core == HOST:
        return _check_host(firmware, case, rounding)
    return _check_arm(firmware, case, core_named(core), rounding, extra)


def _check_host(firmware: Firmware, case: Case, rounding: str) -> CoreReport:
    """The build with each compiler must agree; the report is of the least equal one."""
    reports = []
    for compiler in host_compilers():
        with tempfile.TemporaryDirectory(prefix="acula-verify-") as temporary:
            folder = Path(temporary)
            image = build_host(firmware, compiler, folder, rounding)
            answer, _ = _run([str(image.path)], folder, case)
        reports.append((answer.equal, version_of(compiler), image, answer))
    _, _, image, worst = min(reports, key=lambda report: report[0])
    return CoreReport(
        core=HOST,
        machine="ASan and UBSan",
        compiler=", ".join(name for _, name, _, _ in reports),
        flags=image.flags,
        vectors=worst.vectors,
        equal=worst.equal,
        difference=worst.difference,
        seconds=case.seconds,
    )


def _check_arm(
    firmware: Firmware, case: Case, core: Core, rounding: str, extra: Sequence[str]
) -> CoreReport:
    tools = arm_tools()
    with tempfile.TemporaryDirectory(prefix="acula-verify-") as temporary:
        folder = Path(temporary)
        image = build_arm(firmware, tools, core, folder, rounding, extra)
        answer, end = _run([*core.emulate(tools.qemu), "-kernel", image.path.name], folder, case)
    return _arm_report(core, version_of(tools.gcc), image, answer, end, case.seconds)


def _arm_report(
    core: Core, compiler: str, image: Image, answer: Comparison, end: End, seconds: float
) -> CoreReport:
    per_tick = 1e9 / core.clock  # instructions: one is one nanosecond of QEMU's time
    if abs(end.calibration * per_tick - _LOOP_INSTRUCTIONS) > 2 * per_tick + 20:
        raise BundleError(
            f"the emulator's clock is not to be trusted: {_LOOP_INSTRUCTIONS} instructions took "
            f"{end.calibration * per_tick:.0f}"
        )
    if end.stack >= _STACK_BYTES:
        raise BundleError(f"the stack is full: more than {_STACK_BYTES} bytes were used")
    return CoreReport(
        core=core.name,
        machine=core.machine,
        compiler=compiler,
        flags=image.flags,
        vectors=answer.vectors,
        equal=answer.equal,
        difference=answer.difference,
        seconds=seconds,
        flash_bytes=image.flash,
        ram_bytes=image.ram,
        stack_bytes=end.stack,
        instructions_per_second=end.ticks * per_tick / seconds,
        worst_instructions=round(end.worst * per_tick),
    )


def _run(command: list[str], folder: Path, case: Case) -> tuple[Comparison, End]:
    """Run the harness in `folder`, where its files lie, and compare what it wrote."""
    (folder / "script.i32").write_bytes(script_bytes(list(steps_of(case.sounds))))
    (folder / "pcm.i16").write_bytes(pcm_bytes(case.sounds))
    execute(command, folder, seconds=120 + 10 * case.seconds)
    records, end = split((folder / "records.bin").read_bytes(), case.shape)
    return compare(case.expected.records, records, case.expected.names), end
