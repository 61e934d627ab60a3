"""What the released AcuLa design does in a training step, as a variant of our own step.

24 clips; for each, librosa features on the processor; the frozen language model reads the reports,
padded to 128 tokens, in every step; plain mean over all positions. Encoder, heads, loss and
optimiser are ours, so that a comparison measures these choices and no other. In the design's
favour, clips lie decoded in memory and reports are tokenised beforehand. Against it, the optimiser
steps after each batch (released: after two) and the weight average of our step is kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acula_edge.errors import MissingDependencyError
from align.encoders import Encoder, EncoderError, opera_audio
from align.encoders.cola_head import ColaEncoder
from align.encoders.logmel import LogMel
from align.encoders.opera_gt import OperaGT
from align.teacher import Teacher
from align.training.model import AlignModel, Output
from align.training.recipe import ObjectiveConfig
from align.training.store import WaveStore

BATCH = 24
POSITIONS = 128  # tokens of every report, padding included
FEATURES, LANGUAGE_MODEL = "features", "language model"


def require_librosa() -> None:
    """Refuse before anything is loaded.

    Raises:
        MissingDependencyError: librosa is not installed.
    """
    try:
        import librosa  # noqa: F401, PLC0415
    except ImportError:
        raise MissingDependencyError(
            "the released design's features need librosa: pip install 'acula-edge[bench]'"
        ) from None


def synchronise(device: torch.device) -> None:
    """Wait for what an accelerator has still to do; processors are never behind."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Stopwatch:
    """Seconds spent in named parts of a step.

    An accelerator computes behind the program's back: its part of the work is only told apart while
    `exact`, which makes the program wait for it and so slows the step.
    """

    def __init__(self, device: torch.device):
        self.seconds = dict.fromkeys((FEATURES, LANGUAGE_MODEL), 0.0)
        self.exact = False
        self._device = device

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds what happens inside to `name`."""
        self._settle()
        started = time.perf_counter()
        yield
        self._settle()
        self.seconds[name] += time.perf_counter() - started

    def _settle(self) -> None:
        if self.exact:
            synchronise(self._device)


@dataclass(frozen=True)
class Mel:
    """An encoder's spectrogram: samples per frame and hop, bands, and the shape of its features."""

    rate: int
    frame: int
    hop: int
    bands: int
    shape: tuple[int, int]

    def features(self, wave: NDArray[np.float32]) -> Tensor:
        """One clip (n,) through librosa: mel power, dB below the maximum, min-max to [0, 1].

        In the shape of the encoder's features; the values differ a little from its own (edges of
        the scale, centring, normalisation), the work does not.
        """
        import librosa  # noqa: PLC0415

        power = librosa.feature.melspectrogram(
            y=wave, sr=self.rate, n_fft=self.frame, hop_length=self.hop, n_mels=self.bands
        )
        decibels = librosa.power_to_db(power, ref=np.max)
        low, high = decibels.min(), decibels.max()
        scaled = torch.from_numpy(np.asarray((decibels - low) / max(high - low, 1e-9), np.float32))
        oriented = scaled if self.shape[0] == self.bands else scaled.T
        return oriented[: self.shape[0], : self.shape[1]]


def mel_of(encoder: Encoder) -> Mel:
    """What librosa must compute for an encoder.

    Raises:
        EncoderError: a hub model, whose features are not librosa's.
    """
    first, second = encoder.inputs(torch.zeros(1, encoder.crop)).shape[1:3]
    front = getattr(encoder, "features", None)
    if isinstance(front, LogMel):
        bands = front.get_buffer("filters").shape[1]
        return Mel(encoder.rate, front.frame, front.hop, bands, (first, second))
    if isinstance(encoder, (ColaEncoder, OperaGT)):
        sizes = (opera_audio.RATE, opera_audio.FRAME, opera_audio.HOP, opera_audio.BANDS)
        return Mel(*sizes, (first, second))
    raise EncoderError("a hub model has no mel features to compare with: name another encoder")


@dataclass(frozen=True)
class LibrosaStore(WaveStore):
    """A store that gives features where ours gives crops; `memory` holds the sound on the host."""

    memory: WaveStore
    mel: Mel
    clock: Stopwatch

    def crops(self, rows: Tensor, places: Tensor, samples: int) -> Tensor:
        """Features (B, ...) of the same crops, computed clip by clip on the processor."""
        with self.clock.part(FEATURES):
            waves = self.memory.crops(rows.cpu(), places.cpu(), samples).numpy()
            features = torch.stack([self.mel.features(wave) for wave in waves])
        return features.to(self.pcm.device)


def on_host(store: WaveStore) -> WaveStore:
    """The store in the processor's memory."""
    return replace(
        store, pcm=store.pcm.cpu(), starts=store.starts.cpu(), lengths=store.lengths.cpu()
    )


class PaddedTeacher(Teacher):
    """A teacher that reads padding too."""

    @property
    def parameters(self) -> int:
        """How many it has."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    def tokens(self, reports: Sequence[str]) -> Tensor:
        """(n, 2 x positions): the ids of each report, padded or cut, and beside them the mask."""
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        length = min(POSITIONS, self.window)
        encoded = self._tokenizer(
            list(reports),
            padding="max_length",
            truncation=True,
            max_length=length,
            return_tensors="pt",
        )
        return torch.cat([encoded["input_ids"], encoded["attention_mask"]], dim=1)

    @torch.no_grad()
    def plain_mean(self, tokens: Tensor) -> Tensor:
        """Float32 (B, d), over all positions, of `tokens` (B, 2 x positions)."""
        device = self._model.get_input_embeddings().weight.device
        ids, mask = tokens.to(device).chunk(2, dim=1)
        hidden: Tensor = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        return hidden.mean(dim=1).float().to(tokens.device)


class ReleasedModel(AlignModel):
    """Our model, but it is handed features and tokens, and reads the reports anew in each step."""

    def __init__(
        self, encoder: Encoder, teacher: PaddedTeacher, config: ObjectiveConfig, clock: Stopwatch
    ):
        super().__init__(encoder, teacher.dim, config)
        self.teacher, self.clock = teacher, clock

    def forward(self, wave: Tensor, text: Tensor, generator: torch.Generator) -> Output:
        """`wave` are features of a `LibrosaStore`, `text` (B, 2 x positions) tokens."""
        with self.clock.part(LANGUAGE_MODEL):
            meaning = self.teacher.plain_mean(text)
        embedding, ssl = self.encoder.embed_and_ssl(wave, generator)
        return Output(
            embedding,
            self.audio_head(embedding),
            self.text_head(meaning),
            self.classifier(embedding),
            ssl,
        )
