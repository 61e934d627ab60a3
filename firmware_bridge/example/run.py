"""Builds the example firmware, runs it in QEMU, and decodes what its UART sends while it runs."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from acula_edge.errors import BundleError, DeviceError, UsageError
from firmware_bridge.link.packet import PacketType
from firmware_bridge.link.payload import Info, Result
from firmware_bridge.link.receiver import Receiver
from firmware_bridge.verify.build import HARNESS, definitions, link_arm
from firmware_bridge.verify.cores import OPTIMISED, STRICT, Core, core_named
from firmware_bridge.verify.folder import Firmware
from firmware_bridge.verify.script import Samples
from firmware_bridge.verify.toolchain import ArmTools, arm_tools

CORES: Final = ("m4", "m7")  # the boards whose UART uart.c drives
_HERE: Final = Path(__file__).resolve().parent / "c"
_OWN: Final = (
    _HERE / "main.c",
    _HERE / "uart.c",
    HARNESS / "harness_semihosting.c",
    HARNESS / "harness_startup.c",
)
_UART: Final = "uart.sock"
_PATIENCE: Final = 60.0  # seconds without a byte


def run_example(firmware: Firmware, pcm: Samples, *, core: str = "m4") -> Iterator[Info | Result]:
    """Play int16 `pcm` (n,) at the model rate to the example; what it sends, as it sends it.

    Raises:
        UsageError: a core without an example board.
        BundleError: the folder has no link code, does not compile, or the firmware crashed.
        DeviceError: it fell silent, or a packet was damaged or lost.
        MissingDependencyError: no Arm toolchain, QEMU or `cobs`.
    """
    if core not in CORES:
        raise UsageError(f"the example runs on {' or '.join(CORES)}, not on {core!r}")
    tools, board = arm_tools(), core_named(core)
    with tempfile.TemporaryDirectory(prefix="acula-example-") as temporary:
        folder = Path(temporary)
        build_example(firmware, tools, board, folder)
        (folder / "pcm.i16").write_bytes(pcm.astype("<i2").tobytes())
        with _emulator(tools, board, folder) as uart:
            yield from _decode(uart)


def build_example(firmware: Firmware, tools: ArmTools, core: Core, folder: Path) -> Path:
    """Link the model, its link code and the example into `folder`; the image's path."""
    sources = firmware.write_code(folder, ("include", "src", "link"))
    if not any(name.endswith("/acula_link.c") for name in sources):
        raise BundleError(f"{firmware.root} has no acula_link.c")
    machine = ("-mthumb", "-mfloat-abi=hard", *core.flags)
    flags = (*machine, *OPTIMISED, *STRICT, *definitions("float"), "-Ilink", f"-I{_HERE}")
    link_arm(tools, core, folder, flags, sources, _OWN)
    return folder / "program.elf"


@contextmanager
def _emulator(tools: ArmTools, core: Core, folder: Path) -> Iterator[socket.socket]:
    """The board's UART as a socket; BundleError where the firmware ended badly."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / _UART))
        server.listen(1)
        command = [tools.qemu, "-M", core.machine, "-kernel", "program.elf", "-display", "none"]
        command += ["-monitor", "none", "-serial", f"unix:{_UART}"]
        command += ["-semihosting-config", "enable=on,target=native"]
        board = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            yield _accept(server)
            _, said = board.communicate(timeout=_PATIENCE)
            if board.returncode != 0:
                text = said.decode(errors="replace").strip()[:300] or "no message"
                raise BundleError(f"the example ended with code {board.returncode}: {text}")
        finally:
            board.kill()
            board.communicate()


def _accept(server: socket.socket) -> socket.socket:
    server.settimeout(_PATIENCE)
    try:
        uart, _ = server.accept()
    except TimeoutError:
        raise DeviceError(f"QEMU did not open its UART within {_PATIENCE:.0f} s") from None
    uart.settimeout(_PATIENCE)
    return uart


def _decode(uart: socket.socket) -> Iterator[Info | Result]:
    receiver = Receiver("the example's UART")
    with uart:
        while data := _receive(uart):
            for packet in receiver.push(data):
                if packet.type == PacketType.INFO:
                    yield Info.of(packet.payload)
                elif packet.type == PacketType.RESULT:
                    yield Result.of(packet.payload)
    counters = receiver.counters
    if counters.broken + counters.missing + counters.duplicate:
        raise DeviceError(f"the example's packets did not arrive whole: {counters}")


def _receive(uart: socket.socket) -> bytes:
    try:
        return uart.recv(65536)
    except TimeoutError:
        raise DeviceError(f"the example sent nothing for {_PATIENCE:.0f} s") from None
    except ConnectionResetError:
        return b""
