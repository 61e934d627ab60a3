"""The encoders that AcuLa starts from, and the one that this toolkit aligned: what they cost.

OPERA's are our own implementations (align.encoders), AST is transformers'. Their weights are drawn
at random, since only their cost is measured. Nothing here streams: a window is handed over whole.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers.spec import (
    FLOAT_BYTES,
    ORIGINAL,
    RANDOM_WEIGHTS,
    Loaded,
    PeerSpec,
    Sound,
    require,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from align.encoders import Encoder

ALIGNED = "aligned encoder"
INSTALL = "'acula-edge[align]'"
# Names of parameters of self-supervision: OPERA-GT's and ViT's decoder, COLA's heads.
TRAINING_ONLY = ("decoder_", "mask_token", "g.", "layer_norm.", "linear.", "contrast.", "bilinear.")
CLIP_SECONDS = 8.2  # of OPERA's tasks; two windows of OPERA-GT, as on any longer recording
AST_RATE, AST_SECONDS, AST_LABELS = 16_000, 10.24, 527  # AudioSet's labels


def aligned_encoder(folder: Path) -> PeerSpec:
    """The encoder of a finished `acula-edge align run`, as a peer named `ALIGNED`."""
    note = "the encoder that `align` trained, its own preprocessing included; one window, whole"
    return PeerSpec(ALIGNED, ORIGINAL, "Apache-2.0", partial(_aligned, folder), note)


def torch_peer(
    model: nn.Module, run: Callable[[Tensor], object], rate: int, seconds: float, version_: str
) -> Loaded:
    """A peer that computes with torch, without gradients.

    Its weights count as float32, without the heads of `align`'s encoders that only training uses.
    """
    import torch  # noqa: PLC0415

    def infer(sound: Sound) -> None:
        with torch.inference_mode():
            run(torch.from_numpy(sound))

    count = sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not name.startswith(TRAINING_ONLY)
    )
    return Loaded(infer, rate, seconds, version_, count, count * FLOAT_BYTES)


def drawn(build: Callable[[], Any]) -> Any:
    """What `build` makes, in eval mode, its random weights the same in every run."""
    import torch  # noqa: PLC0415

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().eval()


def _opera(name: str) -> Loaded:
    encoder: Encoder = drawn(_builder(name))
    run = encoder.embed_recording
    return torch_peer(encoder, run, encoder.rate, CLIP_SECONDS, _ours())


def _opera_gt_once() -> Loaded:
    encoder: Encoder = drawn(_builder("opera-gt"))

    def run(wave: Tensor) -> None:
        encoder.embed(encoder.inputs(wave[None]))

    return torch_peer(encoder, run, encoder.rate, encoder.crop / encoder.rate, _ours())


def _aligned(folder: Path) -> Loaded:
    from align.encoders.checkpoints import load_encoder  # noqa: PLC0415

    encoder = load_encoder(folder)
    seconds = encoder.crop / encoder.rate
    return torch_peer(encoder, encoder.embed_recording, encoder.rate, seconds, _ours())


def _ast() -> Loaded:
    require("torchaudio", INSTALL)
    library = require("transformers", INSTALL)
    extract = library.ASTFeatureExtractor()
    config = library.ASTConfig(num_labels=AST_LABELS)
    model = drawn(lambda: library.ASTForAudioClassification(config))

    def run(wave: Tensor) -> None:
        inputs = extract(wave.numpy(), sampling_rate=AST_RATE, return_tensors="pt")
        model(**inputs)

    of = f"transformers {version('transformers')}"
    return torch_peer(model, run, AST_RATE, AST_SECONDS, of)


def _builder(name: str) -> Callable[[], Encoder]:
    require("torch", INSTALL)
    return partial(require("align.encoders", INSTALL).build_encoder, name)


def _ours() -> str:
    return f"acula-edge {version('acula-edge')}, torch {version('torch')}"


_OPERA_LICENCE = "Apache-2.0 (our code); the authors' weights: MIT"
ORIGINAL_PEERS = (
    PeerSpec(
        "opera-gt", ORIGINAL, _OPERA_LICENCE, partial(_opera, "opera-gt"),
        f"AcuLa's encoder as its authors run it: half-overlapping windows; {RANDOM_WEIGHTS}",
    ),
    PeerSpec(
        "opera-gt, one window", ORIGINAL, _OPERA_LICENCE, _opera_gt_once,
        f"the same without overlap or trimming: half its work; {RANDOM_WEIGHTS}",
    ),
    PeerSpec(
        "opera-ct", ORIGINAL, _OPERA_LICENCE, partial(_opera, "opera-ct"),
        f"HTS-AT on the whole clip; {RANDOM_WEIGHTS}",
    ),
    PeerSpec(
        "opera-ce", ORIGINAL, _OPERA_LICENCE, partial(_opera, "opera-ce"),
        f"EfficientNet-B0 on the whole clip; {RANDOM_WEIGHTS}",
    ),
    PeerSpec(
        "ast", ORIGINAL, "Apache-2.0 (transformers); the authors' weights: BSD-3-Clause", _ast,
        f"audio spectrogram transformer, AudioSet geometry, features included; {RANDOM_WEIGHTS}",
    ),
)  # fmt: skip
