"""The edge model: a causal 1-D convolution net whose streaming state is explicit.

One definition serves training, the window graph (zero state, long input) and the stream graph
(carried state, one hop): a causal convolution is `convolve(concat(history, x))`, and its history is
the tail of that concatenation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from export.frontend import LogMel
from export.recipe import StudentConfig

PHASES = ("S1", "systole", "S2", "diastole")


@dataclass
class StudentOutput:
    """What the student says of `H` hops; `S` trunk steps per hop, `K` findings, `E` dimensions.

    Logits are before temperature. `embedding` lies in the text space where the student has a text
    head, else it is the trunk's mean; `phase_logits` is None without a phase head.
    """

    hop_logits: Tensor  # (B, K, H): mean of the hop's step logits
    step_logits: Tensor  # (B, K, H * S)
    auxiliary: Tensor  # (B, A, H): hop logits of labels that are not exported
    phase_logits: Tensor | None  # (B, 4, H * S)
    embedding: Tensor  # (B, E, H)
    trunk: Tensor  # (B, width, H): mean of the hop's last activations
    state: Tensor  # (B, state_size)


class CausalBlock(nn.Module):
    """Causal convolution, batch norm, ReLU; residual where the shape allows it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int, stride: int):
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, dilation=dilation, bias=False)
        self.norm: nn.BatchNorm1d | nn.Identity = nn.BatchNorm1d(outputs)
        self.residual = inputs == outputs and stride == 1
        self.inputs = inputs
        self.history = (kernel - 1) * dilation + 1 - stride

    def forward(self, x: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
        """`x` (B, C, T), `history` (B, C, self.history)."""
        joined = torch.cat([history, x], dim=2)
        y = torch.relu(self.norm(self.conv(joined)))
        return (x + y if self.residual else y), joined[:, :, joined.shape[2] - self.history :]


class Student(nn.Module):
    """Front end, trunk of causal blocks, linear heads: findings, cardiac phase, text."""

    def __init__(self, config: StudentConfig):
        super().__init__()
        self.config = config
        self.front_end = LogMel(config.front_end, config.hop)
        blocks = []
        channels = self.front_end.channels
        for spec in config.blocks:
            blocks.append(
                CausalBlock(channels, config.width, spec.kernel, spec.dilation, spec.stride)
            )
            channels = config.width
        self.blocks = nn.ModuleList(blocks)
        self.dropout = nn.Dropout1d(config.dropout)
        self.findings = nn.Conv1d(channels, len(config.findings), 1)
        self.auxiliary = nn.Conv1d(channels, len(config.auxiliary), 1) if config.auxiliary else None
        self.phases = nn.Conv1d(channels, len(PHASES), 1) if config.phases else None
        self.text = nn.Conv1d(channels, config.text, 1) if config.text else None
        shapes = self.front_end.state_shapes
        shapes += [(block.inputs, block.history) for block in blocks]
        self.state_shapes = [tuple(shape) for shape in shapes]

    @property
    def state_size(self) -> int:
        """Floats of carried state."""
        return sum(_size(shape) for shape in self.state_shapes)

    def causal_blocks(self) -> list[CausalBlock]:
        """The trunk, in order."""
        return [block for block in self.blocks if isinstance(block, CausalBlock)]

    def zero_state(self, batch: int) -> Tensor:
        """The state that starts every stream: (batch, state_size) zeros."""
        return torch.zeros(batch, self.state_size)

    def zero_parts(self, batch: int) -> list[Tensor]:
        """The zero state, one tensor per part: three of the front end, then one per block."""
        return [torch.zeros(batch, *shape) for shape in self.state_shapes]

    def forward(self, pcm: Tensor, state: Tensor | None = None) -> StudentOutput:
        """`pcm` (B, n) float in [-1, 1] at the model rate, n a multiple of the hop."""
        if state is None:
            state = self.zero_state(pcm.shape[0]).to(pcm.device)
        parts = self._unpack(state)
        features, next_parts = self.front_end(pcm, parts[:3])
        return self.from_features(features, parts[3:], next_parts)

    def from_features(
        self, features: Tensor, histories: list[Tensor], front_end_state: list[Tensor]
    ) -> StudentOutput:
        """The part after the front end; training masks bands between the two."""
        next_parts = list(front_end_state)
        x = features
        for block, history in zip(self.blocks, histories, strict=True):
            x, next_history = block(x, history)
            next_parts.append(next_history)
        steps = self.config.steps_per_hop
        trunk = x.reshape(x.shape[0], x.shape[1], -1, steps).mean(dim=3)
        embedding = trunk if self.text is None else self.text(trunk)
        x = self.dropout(x)
        step_logits = self.findings(x)
        hop_logits = step_logits.reshape(x.shape[0], step_logits.shape[1], -1, steps).mean(dim=3)
        flat = torch.cat([part.reshape(part.shape[0], -1) for part in next_parts], dim=1)
        auxiliary = hop_logits[:, :0] if self.auxiliary is None else self.auxiliary(trunk)
        phases = None if self.phases is None else self.phases(x)
        return StudentOutput(hop_logits, step_logits, auxiliary, phases, embedding, trunk, flat)

    def _unpack(self, state: Tensor) -> list[Tensor]:
        parts = torch.split(state, [_size(shape) for shape in self.state_shapes], dim=1)
        return [
            part.reshape(part.shape[0], *shape)
            for part, shape in zip(parts, self.state_shapes, strict=True)
        ]


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
