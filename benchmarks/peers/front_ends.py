"""Front ends alone: log-mel of the default bundle's geometry, over a whole clip at once.

Ours is causal, normalised and inside the graph; these compute less, and their clip is not a stream.
"""

from __future__ import annotations

import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers.originals import INSTALL, torch_peer
from benchmarks.peers.spec import FRONT_END, Loaded, PeerSpec, Sound, require

if TYPE_CHECKING:
    from torch import Tensor

RATE, SECONDS = 4000, 8.192
FRAME, HOP, BANDS, LOW_HZ, HIGH_HZ = 256, 64, 64, 25.0, 2000.0
SPEECH_RATE = 16_000  # that openSMILE's descriptors are defined for
FLOOR = 1e-10

SMILE_CONFIG = Path(__file__).with_name("opensmile_log_mel.conf")


def _librosa() -> Loaded:
    library = require("librosa", "librosa")
    # Built once: librosa's own convenience function makes the filters anew for every clip.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bands narrower than a bin are empty
        filters = library.filters.mel(sr=RATE, n_fft=FRAME, n_mels=BANDS, fmin=LOW_HZ, fmax=HIGH_HZ)

    def run(sound: Sound) -> None:
        spectrum = library.stft(sound, n_fft=FRAME, hop_length=HOP)
        library.power_to_db(filters @ abs(spectrum) ** 2)

    return Loaded(run, RATE, SECONDS, version("librosa"))


def _torchaudio() -> Loaded:
    library = require("torchaudio", INSTALL)
    mel = torch_log_mel(library, RATE, FRAME, HOP, BANDS, LOW_HZ, HIGH_HZ)
    return torch_peer_without_weights(mel, RATE, SECONDS, version("torchaudio"))


def torch_log_mel(
    library: Any, rate: int, frame: int, hop: int, bands: int, low_hz: float, high_hz: float
) -> Any:
    """torchaudio's log-mel: (n,) -> (bands, frames)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bands narrower than a bin are empty
        mel = library.transforms.MelSpectrogram(
            rate, n_fft=frame, hop_length=hop, n_mels=bands, f_min=low_hz, f_max=high_hz
        )

    def features(wave: Tensor) -> Tensor:
        energies: Tensor = mel(wave)
        return energies.clamp_(min=FLOOR).log_()

    return features


def torch_peer_without_weights(run: Any, rate: int, seconds: float, version_: str) -> Loaded:
    """A front end in torch: it has tables, but no parameters."""
    import torch  # noqa: PLC0415

    loaded = torch_peer(torch.nn.Identity(), run, rate, seconds, version_)
    return Loaded(loaded.run, rate, seconds, version_)


def _smile_log_mel() -> Loaded:
    library = require("opensmile", "opensmile")
    smile = library.Smile(feature_set=str(SMILE_CONFIG), feature_level="lld")

    def run(sound: Sound) -> None:
        smile.process_signal(sound, RATE)

    return Loaded(run, RATE, SECONDS, version("opensmile"))


def _smile_functionals() -> Loaded:
    library = require("opensmile", "opensmile")
    smile = library.Smile(
        feature_set=library.FeatureSet.eGeMAPSv02, feature_level=library.FeatureLevel.Functionals
    )

    def run(sound: Sound) -> None:
        smile.process_signal(sound, SPEECH_RATE)

    return Loaded(run, SPEECH_RATE, SECONDS, version("opensmile"))


_SMILE_LICENCE = "audEERING research licence: not in products"
FRONT_END_PEERS = (
    PeerSpec(
        "librosa", FRONT_END, "ISC", _librosa,
        "log-mel, 64 bands every 16 ms at 4 kHz, its filters made beforehand",
    ),
    PeerSpec(
        "torchaudio", FRONT_END, "BSD-2-Clause", _torchaudio,
        "log-mel, 64 bands every 16 ms at 4 kHz",
    ),
    PeerSpec(
        "opensmile", FRONT_END, _SMILE_LICENCE, _smile_log_mel,
        "log-mel, 64 bands every 16 ms at 4 kHz; its licence bars commercial products",
    ),
    PeerSpec(
        "opensmile eGeMAPS", FRONT_END, _SMILE_LICENCE, _smile_functionals,
        "88 functionals at 16 kHz; its licence bars commercial products",
    ),
)  # fmt: skip
