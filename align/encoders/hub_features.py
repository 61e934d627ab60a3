"""What audio models of the Hugging Face hub hear: their extractors' features, batched in torch."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.audio_utils import mel_filter_bank

log = logging.getLogger(__name__)


class FrontEnd(nn.Module):
    """Waves (B, n) -> features (B, frames, ...) of the sound alone -> what the model wants.

    Padding to the model's fixed length is left to `padded`, so that a crop of features is a clip
    in its own right, and so that `pool` knows which of the model's outputs have heard sound.
    """

    longest: int | None = None  # samples that the model takes
    croppable = True  # dimension 1 of the features is time

    def __init__(self, extractor: Any, config: Any):
        super().__init__()
        del extractor, config

    def padded(self, features: Tensor) -> dict[str, Tensor]:
        """The model's keyword arguments."""
        return {"input_values": features}

    def pool(self, output: Any, hidden: Tensor, frames: int) -> Tensor:
        """The embedding (B, dim), of the hidden states (B, L, dim) that `frames` frames reached."""
        del output, frames
        return hidden.mean(dim=1)


class RawWave(FrontEnd):
    """wav2vec2, HuBERT, WavLM: the wave itself, at zero mean and unit variance if they ask it."""

    def __init__(self, extractor: Any, config: Any):
        super().__init__(extractor, config)
        self.normalise = bool(extractor.do_normalize)

    def forward(self, wave: Tensor) -> Tensor:
        """(B, n) as it is or normalised clip by clip."""
        if not self.normalise:
            return wave
        centred = wave - wave.mean(dim=1, keepdim=True)
        return centred / (centred.square().mean(dim=1, keepdim=True) + 1e-7).sqrt()


class KaldiBank(FrontEnd):
    """AST: Kaldi's log filter bank (compute-fbank-feats) of 25 ms Hann frames every 10 ms.

    Each frame loses its mean, is pre-emphasised by 0.97 and filled to a power of two; 20 Hz to
    half the rate. Zeros fill up to the model's length before normalisation.
    """

    def __init__(self, extractor: Any, config: Any):
        super().__init__(extractor, config)
        rate = extractor.sampling_rate
        self.frame, self.hop = rate * 25 // 1000, rate * 10 // 1000
        self.fft = 1 << (self.frame - 1).bit_length()
        self.total = extractor.max_length
        self.longest = (self.total - 1) * self.hop + self.frame + self.hop - 1
        normalise = extractor.do_normalize
        self.mean = float(extractor.mean) if normalise else 0.0
        self.scale = 2 * float(extractor.std) if normalise else 1.0
        self.patch, self.stride = config.patch_size, config.time_stride
        self.columns = (config.max_length - self.patch) // self.stride + 1
        with warnings.catch_warnings():  # the lowest of 128 bands fit between two bins, as Kaldi's
            warnings.simplefilter("ignore")
            filters = mel_filter_bank(
                self.fft // 2 + 1, extractor.num_mel_bins, 20.0, rate / 2, rate,
                mel_scale="kaldi", triangularize_in_mel_space=True,
            )  # fmt: skip
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)
        window = torch.hann_window(self.frame, periodic=False)
        self.register_buffer("window", window, persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """(B, frames, bands); only frames that lie wholly in the wave."""
        frames = wave.unfold(1, self.frame, self.hop)
        frames = frames - frames.mean(dim=2, keepdim=True)
        previous = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
        shaped = (frames - 0.97 * previous) * self.get_buffer("window")
        energies = _power(torch.fft.rfft(shaped, self.fft)) @ self.get_buffer("filters")
        logs = energies.clamp(min=torch.finfo(torch.float32).eps).log()
        return (logs - self.mean) / self.scale

    def padded(self, features: Tensor) -> dict[str, Tensor]:
        """Up to the model's length with what zeros become under normalisation."""
        fill = (0.0 - self.mean) / self.scale
        missing = self.total - features.shape[1]
        return {"input_values": F.pad(features, (0, 0, 0, missing), value=fill)}

    def pool(self, output: Any, hidden: Tensor, frames: int) -> Tensor:
        """Mean over the patches that lie wholly in the sound; two class tokens come first."""
        del output
        heard = max(1, (frames - self.patch) // self.stride + 1)
        patches = hidden[:, 2:].reshape(len(hidden), -1, self.columns, hidden.shape[2])
        return patches[:, :, :heard].mean(dim=(1, 2))


class MelSpectrum(FrontEnd):
    """Centred, reflected short-time spectra through the extractor's own mel filters."""

    def __init__(self, extractor: Any, config: Any, fft: int, filters: Any):
        super().__init__(extractor, config)
        self.fft, self.hop = fft, extractor.hop_length
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)
        self.register_buffer("window", torch.hann_window(fft), persistent=False)

    def energies(self, wave: Tensor, total: int) -> Tensor:
        """(B, frames, bands) of every frame, of `total`, that touches the sound."""
        samples = wave.shape[1]
        silence = min(self.fft, (self.longest or samples) - samples)
        window = self.get_buffer("window")
        spectrum = torch.stft(
            F.pad(wave, (0, silence)), self.fft, self.hop, window=window, return_complex=True
        )
        heard = min(total, -(-(samples + self.fft // 2) // self.hop))
        return _power(spectrum[..., :heard]).transpose(1, 2) @ self.get_buffer("filters")


class WhisperMel(MelSpectrum):
    """Whisper: log10, 8 decades below the clip's loudest at most; silence up to 30 s."""

    def __init__(self, extractor: Any, config: Any):
        super().__init__(extractor, config, extractor.n_fft, extractor.mel_filters)
        self.longest, self.total = extractor.n_samples, extractor.nb_max_frames

    def forward(self, wave: Tensor) -> Tensor:
        """(B, frames, bands)."""
        logs = self.energies(wave, self.total).clamp(min=1e-10).log10()
        return (logs.maximum(logs.amax(dim=(1, 2), keepdim=True) - 8.0) + 4.0) / 4.0

    def padded(self, features: Tensor) -> dict[str, Tensor]:
        """Up to the model's length with the level that silence has beside this clip."""
        silence = (features.amax(dim=(1, 2), keepdim=True) - 2.0).clamp(min=-1.5)
        missing = self.total - features.shape[1]
        rest = silence.expand(-1, missing, features.shape[2])
        return {"input_features": torch.cat([features, rest], dim=1).transpose(1, 2)}

    def pool(self, output: Any, hidden: Tensor, frames: int) -> Tensor:
        """Mean over the first outputs, those of the sound."""
        del output
        return hidden[:, : -(-frames * hidden.shape[1] // self.total)].mean(dim=1)


class ClapMel(MelSpectrum):
    """CLAP: decibels, short clips repeated whole and then silence, up to 10 s.

    The embedding is the audio tower's own pooled output. A model with feature fusion gets its clip
    in all four channels and is told that none is longer than it takes, where its extractor would
    declare a random one of each batch longer: the fusion layers stay unused.
    """

    def __init__(self, extractor: Any, config: Any):
        fused = extractor.truncation == "fusion"
        filters = extractor.mel_filters if fused else extractor.mel_filters_slaney
        super().__init__(extractor, config, extractor.fft_window_size, filters)
        self.channels = 4 if fused else 1
        self.longest = self.samples = int(extractor.nb_max_samples)
        self.total = self.samples // self.hop + 1
        self.padding = extractor.padding

    def forward(self, wave: Tensor) -> Tensor:
        """(B, frames, bands) in decibels."""
        copies = self.samples // wave.shape[1]
        if self.padding == "repeat":
            wave = wave.repeat(1, copies + 1)[:, : self.samples]
        elif self.padding == "repeatpad":
            wave = wave.repeat(1, copies)
        return 10.0 * self.energies(wave, self.total).clamp(min=1e-10).log10()

    def padded(self, features: Tensor) -> dict[str, Tensor]:
        """Up to the model's length: a crop is repeated whole, then silence."""
        whole = features.repeat(1, self.total // features.shape[1], 1)
        image = F.pad(whole, (0, 0, 0, self.total - whole.shape[1]), value=-100.0)
        longer = torch.zeros(len(features), 1, dtype=torch.bool, device=features.device)
        return {
            "input_features": image[:, None].expand(-1, self.channels, -1, -1),
            "is_longer": longer,
        }

    def pool(self, output: Any, hidden: Tensor, frames: int) -> Tensor:
        """The model's own."""
        del hidden, frames
        pooled: Tensor = output.pooler_output
        return pooled


class Extractor(FrontEnd):
    """Any other model: its transformers extractor, clip by clip on the processor.

    All of the model's outputs are averaged, those of padding that the extractor adds included.
    """

    croppable = False

    def __init__(self, extractor: Any, config: Any):
        super().__init__(extractor, config)
        self.extractor, self.name = extractor, extractor.model_input_names[0]
        log.warning(
            "%s has no batched features here: its %s runs on the processor, clip by clip",
            config.model_type, type(extractor).__name__,
        )  # fmt: skip

    def forward(self, wave: Tensor) -> Tensor:
        """The extractor's main features, of whatever shape."""
        clips = list(wave.cpu().numpy())
        rate = self.extractor.sampling_rate
        found = self.extractor(clips, sampling_rate=rate, return_tensors="pt")
        features: Tensor = found[self.name].float()
        return features.to(wave.device)

    def padded(self, features: Tensor) -> dict[str, Tensor]:
        """As they are."""
        return {self.name: features}


def _power(spectrum: Tensor) -> Tensor:
    return torch.view_as_real(spectrum).square().sum(dim=-1)


def front_end(extractor: Any, config: Any) -> FrontEnd:
    """The front end that equals a transformers feature extractor; `config` is the model's."""
    return FRONT_ENDS.get(type(extractor).__name__, Extractor)(extractor, config)


FRONT_ENDS: dict[str, type[FrontEnd]] = {
    "ASTFeatureExtractor": KaldiBank,
    "ClapFeatureExtractor": ClapMel,
    "Wav2Vec2FeatureExtractor": RawWave,
    "WhisperFeatureExtractor": WhisperMel,
}
