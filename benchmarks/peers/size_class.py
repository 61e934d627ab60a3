"""Convolutional nets of the size that phones run, on log-mel pictures of sound."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from benchmarks.peers import front_ends
from benchmarks.peers.originals import INSTALL, drawn, torch_peer
from benchmarks.peers.spec import RANDOM_WEIGHTS, SIZE_CLASS, Loaded, PeerSpec, require

if TYPE_CHECKING:
    from torch import Tensor

FINDINGS = 3
# EfficientAT's mn10 (Schmid et al. 2023, arXiv 2211.04772), AudioSet's labels.
MN_RATE, MN_SECONDS, MN_FRAME, MN_HOP, MN_BANDS, MN_LABELS = 32_000, 10.0, 1024, 320, 128, 527


def _small() -> Loaded:
    return _mobilenet(
        "mobilenetv3_small_100", FINDINGS, front_ends.RATE, front_ends.SECONDS,
        front_ends.FRAME, front_ends.HOP, front_ends.BANDS, front_ends.HIGH_HZ,
    )  # fmt: skip


def _efficient_at() -> Loaded:
    return _mobilenet(
        "mobilenetv3_large_100", MN_LABELS, MN_RATE, MN_SECONDS,
        MN_FRAME, MN_HOP, MN_BANDS, MN_RATE / 2,
    )  # fmt: skip


def _mobilenet(
    name: str,
    labels: int,
    rate: int,
    seconds: float,
    frame: int,
    hop: int,
    bands: int,
    high_hz: float,
) -> Loaded:
    audio, timm = require("torchaudio", INSTALL), require("timm", INSTALL)
    features = front_ends.torch_log_mel(audio, rate, frame, hop, bands, 0.0, high_hz)
    model = drawn(partial(timm.create_model, name, num_classes=labels, in_chans=1))

    def run(wave: Tensor) -> None:
        model(features(wave)[None, None])

    return torch_peer(model, run, rate, seconds, f"timm {version('timm')}")


SIZE_CLASS_PEERS = (
    PeerSpec(
        "mobilenetv3-small", SIZE_CLASS, "Apache-2.0", _small,
        f"timm, on log-mel of our geometry at 4 kHz, a window whole; {RANDOM_WEIGHTS}",
    ),
    PeerSpec(
        "efficientat mn10", SIZE_CLASS, "Apache-2.0", _efficient_at,
        "timm's MobileNetV3-large in EfficientAT's geometry: 32 kHz, 128 bands, 527 labels,"
        f" a window of 10 s whole; {RANDOM_WEIGHTS}",
    ),
)  # fmt: skip
