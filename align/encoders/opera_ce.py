"""OPERA-CE: EfficientNet-B0 on the log-mel of a whole recording (arXiv 2406.16148)."""

from __future__ import annotations

from torch import Tensor, nn

from align.encoders.cola_head import ColaEncoder
from align.encoders.efficientnet import EfficientNetB0


class SpectrogramNet(nn.Module):
    """(B, frames, bands) -> (B, 1280): a 3 x 3 convolution makes the three channels of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn1 = nn.Conv2d(1, 3, kernel_size=3)
        self.efficientnet = EfficientNetB0()

    def forward(self, features: Tensor) -> Tensor:
        """The image is frames - 2 high and bands - 2 wide."""
        out: Tensor = self.efficientnet(self.cnn1(features[:, None]))
        return out


class OperaCE(ColaEncoder):
    """A 1280-dimensional embedding, 4.0 M parameters; names and shapes of OPERA's checkpoint.

    `minimum_seconds` is the length that short recordings are padded to (OPERA: 8 for most tasks, 2
    or 1 for some). A recording must have 34 frames (1.056 s), else the last map is empty.
    """

    least_frames = 34

    def __init__(self, minimum_seconds: float = 8.0):
        super().__init__(EfficientNetB0.dim, minimum_seconds)
        self.encoder = SpectrogramNet()

    def embed(self, features: Tensor) -> Tensor:
        """(B, frames, 64), at least 34 frames and no upper limit -> (B, 1280).

        Raises:
            EncoderError: too few frames, or another shape.
        """
        self._check_features(features)
        out: Tensor = self.encoder(features)
        return out
