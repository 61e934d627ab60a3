"""EfficientNet-B0 (arXiv 1905.11946) with the static padding and the names of OPERA-CE's weights.

Maps lie in channels-last memory: a 1 x 1 convolution is then a matrix product without a copy.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEM_WIDTH = 32
SQUEEZE = 4  # input channels per squeezed channel


class Group(NamedTuple):
    """Consecutive blocks of one width; the first one strides."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    width: int


GROUPS = (
    Group(blocks=1, kernel=3, stride=1, expand=1, width=16),
    Group(blocks=2, kernel=3, stride=2, expand=6, width=24),
    Group(blocks=2, kernel=5, stride=2, expand=6, width=40),
    Group(blocks=3, kernel=3, stride=2, expand=6, width=80),
    Group(blocks=3, kernel=5, stride=1, expand=6, width=112),
    Group(blocks=4, kernel=5, stride=2, expand=6, width=192),
    Group(blocks=1, kernel=3, stride=1, expand=6, width=320),
)


class EfficientNetB0(nn.Module):
    """Images (B, 3, height, width) -> (B, 1280), the mean over the last map."""

    dim = 1280

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, STEM_WIDTH, kernel=3, stride=2)
        self._bn0 = _batch_norm(STEM_WIDTH)
        widths = [STEM_WIDTH, *(group.width for group in GROUPS)]
        self._blocks = nn.ModuleList(
            Block(width if i else before, group, group.stride if i == 0 else 1)
            for (before, width), group in zip(pairwise(widths), GROUPS, strict=True)
            for i in range(group.blocks)
        )
        self._conv_head = PointwiseConv2d(widths[-1], self.dim, bias=False)
        self._bn1 = _batch_norm(self.dim)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """No classifier."""
        image = image.contiguous(memory_format=torch.channels_last)
        x = F.silu(self._bn0(self._conv_stem(image)))
        for block in self._blocks:
            x = block(x)
        maps: Tensor = F.silu(self._bn1(self._conv_head(x)))
        return maps.mean(dim=(2, 3))


class SameConv2d(nn.Conv2d):
    """A convolution without bias, padded as "same" comes out for an image of even sides.

    At stride 2 that is one less before than after, whatever the real size: the original computed
    its padding once, for 224 x 224.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        self.before = (kernel - stride) // 2
        self.after = kernel - stride - self.before
        super().__init__(
            inputs, outputs, kernel, stride, padding=self.before, groups=groups, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, height, width) -> (B, outputs, each side / stride, rounded down)."""
        if self.before == self.after:
            return super().forward(x)
        x = F.pad(x, (self.before, self.after, self.before, self.after))
        return F.conv2d(x, self.weight, stride=self.stride, groups=self.groups)


class PointwiseConv2d(nn.Conv2d):
    """A 1 x 1 convolution, computed as a matrix product over channels."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool):
        super().__init__(inputs, outputs, kernel_size=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, height, width) -> (B, outputs, height, width)."""
        pixels = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return pixels.permute(0, 3, 1, 2)


class Block(nn.Module):
    """Inverted bottleneck: expand, depthwise, squeeze and excite, project; added where it fits."""

    def __init__(self, inputs: int, group: Group, stride: int):
        super().__init__()
        inner, squeezed = inputs * group.expand, max(1, inputs // SQUEEZE)
        self.expands = group.expand > 1
        self.adds = stride == 1 and inputs == group.width
        if self.expands:
            self._expand_conv = PointwiseConv2d(inputs, inner, bias=False)
            self._bn0 = _batch_norm(inner)
        self._depthwise_conv = SameConv2d(inner, inner, group.kernel, stride, groups=inner)
        self._bn1 = _batch_norm(inner)
        self._se_reduce = PointwiseConv2d(inner, squeezed, bias=True)
        self._se_expand = PointwiseConv2d(squeezed, inner, bias=True)
        self._project_conv = PointwiseConv2d(inner, group.width, bias=False)
        self._bn2 = _batch_norm(group.width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, height, width) -> (B, width of the group, ...)."""
        y = F.silu(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.silu(self._bn1(self._depthwise_conv(y)))
        gate = self._se_expand(F.silu(self._se_reduce(y.mean(dim=(2, 3), keepdim=True))))
        out: Tensor = self._bn2(self._project_conv(y * torch.sigmoid(gate)))
        return x + out if self.adds else out


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
