"""Audio encoders from the Hugging Face hub: AST, CLAP, wav2vec2 and its kin, Whisper, others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, ClapAudioModelWithProjection

from align.encoders.base import Encoder, EncoderError
from align.encoders.cola_head import random_crop
from align.encoders.crops import overlapping_windows
from align.encoders.hub_features import ClapMel, front_end
from align.objectives.ssl import cola_loss
from align.teacher.pretrained import explained, locate

CONTRAST = 256  # dimensions of the COLA head
MASK_EMBEDDING = "masked_spec_embed"  # used in wav2vec2's own pre-training only
UNUSED = (MASK_EMBEDDING, "fusion_model", "mel_conv2d")  # CLAP fuses clips longer than it takes


class HubEncoder(Encoder):
    """A pre-trained audio model as an encoder.

    `model` is a hub id or a local folder with its feature extractor; recordings are embedded in
    windows of `seconds`, half overlapping. `layer` indexes the hidden states, -1 being the final
    output (CLAP gives its own pooled output, so only that). The embedding is the mean of the
    hidden states that heard sound, not padding.

    Dropout, layer drop and SpecAugment are off: two passes over one batch must agree for gradient
    caching. Self-supervision is COLA (Saeed et al. 2021, arXiv 2010.10915), not the objective that
    the model was pre-trained with. Training wants layer -1: the layers above another get no
    gradient.

    Raises:
        EncoderError: the model is missing, gated or incomplete, is no audio encoder, or does not
            take `seconds` of sound or has no such `layer`.
    """

    def __init__(
        self, model: str, revision: str | None = None, layer: int = -1, seconds: float = 8.0
    ):
        super().__init__()
        with explained(model, EncoderError, "name a smaller model"):
            source = locate(model)
            config: Any = AutoConfig.from_pretrained(source, revision=revision)
            extractor = _extractor(source, model, revision)
            config, self.tower = _audio_tower(source, model, revision, config)
        self.model, self.layer = model, layer
        self.rate, self.crop = (
            int(extractor.sampling_rate),
            round(seconds * extractor.sampling_rate),
        )
        self.front_end = front_end(extractor, config)
        self.eval()
        self.dim = self._measured_dim()
        self.contrast = nn.Sequential(nn.Linear(self.dim, CONTRAST), nn.LayerNorm(CONTRAST))
        self.bilinear = nn.Linear(CONTRAST, CONTRAST, bias=False)

    def windows(self, wave: Tensor) -> Tensor:
        """Windows (w, crop) of a recording (n,); a shorter one is repeated to fill one.

        Raises:
            EncoderError: no samples.
        """
        if not len(wave):
            raise EncoderError("a recording without samples has no windows")
        return overlapping_windows(wave, self.crop)

    @torch.no_grad()
    def inputs(self, wave: Tensor) -> Tensor:
        """Features (B, frames, ...) of waves (B, n), in float32 whatever the autocast.

        Raises:
            EncoderError: longer than the model takes.
        """
        longest = self.front_end.longest
        if longest is not None and wave.shape[1] > longest:
            raise EncoderError(
                f"{self.model} hears {longest / self.rate:.2f} s at a time, not "
                f"{wave.shape[1] / self.rate:.2f} s: lower `seconds`"
            )
        with torch.autocast(wave.device.type, enabled=False):
            features: Tensor = self.front_end(wave.float())
        return features

    def embed(self, features: Tensor) -> Tensor:
        """Embeddings (B, dim) of `inputs`, or of crops of them in time."""
        inner = self.layer != -1
        output: Any = self.tower(**self.front_end.padded(features), output_hidden_states=inner)
        hidden = output.hidden_states[self.layer] if inner else output.last_hidden_state
        return self.front_end.pool(output, hidden, features.shape[1])

    def ssl_loss(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """COLA: two random halves of each row's features must find each other in the batch.

        Raises:
            EncoderError: the model's features have no known time axis.
        """
        if not self.front_end.croppable:
            raise EncoderError(
                f"{self.model} has no self-supervised loss here: align it with an SSL weight of 0"
            )
        flat = features if features.ndim == 3 else features[..., None]
        length = flat.shape[1] // 2
        pair = torch.cat([random_crop(flat, length, generator) for _ in range(2)])
        embedding = self.embed(pair.view(-1, length, *features.shape[2:]))
        first, second = torch.tanh(self.contrast(embedding)).chunk(2)
        return cola_loss(self.bilinear(first), second)

    @torch.no_grad()
    def _measured_dim(self) -> int:
        """Asks the model itself: every way in which it does not fit shows here, not in training."""
        if isinstance(self.front_end, ClapMel) and self.layer != -1:
            raise EncoderError(f"{self.model} gives its pooled output only: layer is -1")
        try:
            return self.embed(self.inputs(torch.zeros(1, self.crop))).shape[1]
        except (RuntimeError, ValueError, IndexError, AttributeError, TypeError) as error:
            raise EncoderError(
                f"{self.model} cannot embed {self.crop / self.rate:g} s of sound at layer "
                f"{self.layer}: {str(error).splitlines()[0]}"
            ) from None


def _extractor(source: str, model: str, revision: str | None) -> Any:
    library: Any = AutoFeatureExtractor
    try:
        extractor = library.from_pretrained(source, revision=revision)
    except (OSError, ValueError):
        extractor = None
    if getattr(extractor, "sampling_rate", None) is None:
        raise EncoderError(f"{model} has no audio feature extractor: is it an audio encoder?")
    return extractor


def _audio_tower(source: str, model: str, revision: str | None, config: Any) -> tuple[Any, Any]:
    """The part of a model that hears, in float32, and its own configuration.

    Raises:
        EncoderError: weights are missing; transformers would fill in random ones.
    """
    kind: Any = AutoModel
    if config.model_type == "clap":
        kind, config = ClapAudioModelWithProjection, config.audio_config
    _silence_randomness(config)
    whole, report = kind.from_pretrained(
        source, revision=revision, config=config, dtype=torch.float32, output_loading_info=True
    )
    absent = sorted(name for name in report["missing_keys"] if MASK_EMBEDDING not in name)
    if absent:
        raise EncoderError(f"{model} lacks {len(absent)} of its weights, among them {absent[0]}")
    for name, weight in whole.named_parameters():
        if any(part in name for part in UNUSED):  # distributed training waits for its gradient
            weight.requires_grad_(False)
    if kind is ClapAudioModelWithProjection:
        return config, whole.audio_model
    if config.is_encoder_decoder:
        return config, whole.get_encoder()
    return config, whole.get_encoder(modality="audio")


def _silence_randomness(config: Any) -> None:
    for name, value in config.to_dict().items():
        if "drop" in name and isinstance(value, float):
            setattr(config, name, 0.0)
    if hasattr(config, "apply_spec_augment"):
        config.apply_spec_augment = False
