"""The MCU variant of a bundle as plain numbers: what every other part of this package reads.

An int8 stream graph is a closed set of layers: a float log-mel front end, causal convolutions with
ReLU and optional residual, 1 x 1 heads. `read_model` takes exactly that apart and refuses the rest
by name, so that nothing in a graph can be silently left out of the C code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.bundle import FindingSpec, Manifest

if TYPE_CHECKING:
    from acula_edge.bundle import Bundle

MCU_INT8 = "mcu-int8"
POWER_FLOOR = 1e-16
CLAMP = 4.0
SHORT_PER_FRAME = 4

Int8s = NDArray[np.int8]
Int32s = NDArray[np.int32]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scale:
    """`real = scale * (code - zero)`, codes -128 to 127; `scale` is a float32's value."""

    scale: float
    zero: int


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Band energies of frames of `frame` samples, one every `step`.

    `filters` (bands, frame // 2 + 1) float32 are zero outside each band.
    """

    frame: int
    step: int
    filters: Floats

    @property
    def bands(self) -> int:
        """Number of bands."""
        return len(self.filters)


@dataclass(frozen=True, eq=False)
class FrontEnd:
    """Waveform to normalised log energies, then codes of `scale`.

    Channels: the long bands, then the short bands of the frame's first short frame, second, and so
    on. `floor` times the causal mean of the energies is added before the logarithm; `level_decay`
    and `mean_decay` are per frame. `history` is the carried samples.
    """

    rate: int
    long: Spectrum
    short: Spectrum | None
    floor: float
    level_decay: float
    mean_decay: float
    scale: Scale

    @property
    def channels(self) -> int:
        """Features per frame."""
        short = 0 if self.short is None else self.short.bands * SHORT_PER_FRAME
        return self.long.bands + short

    @property
    def history(self) -> int:
        """Samples carried from hop to hop."""
        return self.long.frame - self.long.step


@dataclass(frozen=True, eq=False)
class Block:
    """A causal convolution and its ReLU, codes in and out.

    `weight` (outputs, inputs, kernel) int8, `bias` (outputs,) int32 in units of
    `source.scale * weight_scale`. The ReLU's codes have scale `relu`. Where `residual`, the newest
    frames of the source are added and the sum has scale `output`; else `output` is `relu`.
    """

    name: str
    weight: Int8s
    weight_scale: Floats
    bias: Int32s
    source: Scale
    relu: Scale
    output: Scale
    dilation: int
    stride: int
    residual: bool

    @property
    def outputs(self) -> int:
        """Channels out."""
        return int(self.weight.shape[0])

    @property
    def inputs(self) -> int:
        """Channels in."""
        return int(self.weight.shape[1])

    @property
    def kernel(self) -> int:
        """Taps."""
        return int(self.weight.shape[2])

    @property
    def history(self) -> int:
        """Frames carried from hop to hop."""
        return (self.kernel - 1) * self.dilation + 1 - self.stride


@dataclass(frozen=True, eq=False)
class Head:
    """A linear layer on the trunk's codes: `logit = accumulator * source.scale * weight_scale`.

    `weight` (outputs, inputs) int8, `bias` (outputs,) int32. Where `pooled`, it reads the rounded
    mean of the hop's codes, else every step.
    """

    name: str
    weight: Int8s
    weight_scale: Floats
    bias: Int32s
    source: Scale
    pooled: bool

    @property
    def outputs(self) -> int:
        """Numbers out."""
        return int(self.weight.shape[0])


@dataclass(frozen=True, eq=False)
class McuModel:
    """Everything the C code, the reference and the other writers need.

    `text` is None where the embedding is the mean of the trunk, dequantised. `sha256` is the ONNX
    file's.
    """

    manifest: Manifest
    variant: str
    sha256: str
    front_end: FrontEnd
    blocks: tuple[Block, ...]
    findings: Head
    phases: Head | None
    text: Head | None

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.manifest.version

    @property
    def specs(self) -> tuple[FindingSpec, ...]:
        """Findings in the order of the scores."""
        return self.manifest.findings

    @property
    def hop(self) -> int:
        """Samples per hop."""
        return self.manifest.hop

    @property
    def rate(self) -> int:
        """Model rate, Hz."""
        return self.manifest.rate

    @property
    def frames(self) -> int:
        """Front-end frames per hop."""
        return self.hop // self.front_end.long.step

    @property
    def steps(self) -> int:
        """Trunk outputs per hop."""
        return self.frames_of(len(self.blocks))

    @property
    def width(self) -> int:
        """Channels that the heads read."""
        return self.blocks[-1].outputs

    @property
    def embedding(self) -> int:
        """Size of the embedding."""
        return self.width if self.text is None else self.text.outputs

    @property
    def heads(self) -> tuple[Head, ...]:
        """The heads there are: findings, phases, text."""
        return tuple(h for h in (self.findings, self.phases, self.text) if h is not None)

    def frames_of(self, block: int) -> int:
        """Frames per hop that block of that index reads."""
        frames = self.frames
        for each in self.blocks[:block]:
            frames //= each.stride
        return frames


def read_model(bundle: Bundle, variant: str = MCU_INT8) -> McuModel:
    """Take the variant's stream graph apart.

    Raises:
        BundleError: no such variant, or the graph has a node, shape or scale outside the closed
            layer set; the sentence names the node.
        MissingDependencyError: the `onnx` package is not installed.
    """
    from firmware_bridge.qdq import take_apart  # noqa: PLC0415 - needs onnx

    return take_apart(bundle, variant)


def float32(value: Any) -> float:
    """The value rounded to float32, as a Python float."""
    return float(np.float32(value))
