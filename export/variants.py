"""The artefacts that a bundle may hold: for whom each is, and in which int8 convention."""

from __future__ import annotations

from dataclasses import dataclass

from export.quantise import CPU, MCU, TENSORRT, Flavour

ON_CPU, ON_GPU = "CPUExecutionProvider", "TensorrtExecutionProvider"
REFERENCE = "fp32"


@dataclass(frozen=True)
class Artefact:
    """One variant; `flavour` None stays float32, `windowed` adds the window graph."""

    precision: str
    providers: tuple[str, ...]
    flavour: Flavour | None
    windowed: bool = False


ARTEFACTS = {
    "cpu-int8": Artefact("int8", (ON_CPU,), CPU, windowed=True),
    REFERENCE: Artefact("float32", (ON_CPU, ON_GPU), None),
    "trt-int8": Artefact("int8", (ON_GPU, ON_CPU), TENSORRT),
    "mcu-int8": Artefact("int8", (ON_CPU,), MCU),  # the source of the firmware
}
FOR_HOSTS = ("cpu-int8", REFERENCE, "trt-int8")
FOR_FIRMWARE = ("mcu-int8", "cpu-int8", REFERENCE)
