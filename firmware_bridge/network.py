"""The integer layers with their histories, one hop at a time: codes in, logits out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.arithmetic import Rounding, add, logit_factors, mean, requantise
from firmware_bridge.model import Block, Floats, Head, Int8s, McuModel


@dataclass(frozen=True, eq=False)
class Logits:
    """What the heads say of one hop: K findings, S steps, P phases (maybe 0), E dimensions."""

    scores: Floats  # (K,)
    steps: Floats  # (K, S)
    phases: Floats  # (P, S)
    embedding: Floats  # (E,)


class Network:
    """Streaming trunk and heads of one model in one rounding."""

    def __init__(self, model: McuModel, rounding: Rounding = "float"):
        self._model, self._rounding = model, rounding
        self.reset()

    def reset(self) -> None:
        """Zero state: every history holds the code of 0."""
        self._histories: list[Int8s] = [
            np.full((block.history, block.inputs), block.source.zero, np.int8)
            for block in self._model.blocks
        ]

    def push(self, codes: Int8s) -> Logits:
        """`codes` (frames, channels) of one hop."""
        return self._heads(self.trunk(codes)[-1])

    def trunk(self, codes: Int8s) -> list[Int8s]:
        """Codes (frames, channels) that each block gives, in order; advances the histories."""
        outputs = []
        for index, block in enumerate(self._model.blocks):
            joined = np.concatenate([self._histories[index], codes])
            self._histories[index] = joined[len(joined) - block.history :]
            codes = self._block(block, joined, codes)
            outputs.append(codes)
        return outputs

    def _block(self, block: Block, joined: Int8s, newest: Int8s) -> Int8s:
        relu = requantise(accumulate(block, joined), block, self._rounding)
        return add(newest, relu, block, self._rounding) if block.residual else relu

    def _heads(self, codes: Int8s) -> Logits:
        model = self._model
        steps = linear(model.findings, codes)
        total = np.zeros(len(steps), np.float32)
        for column in steps.T:
            total = total + column
        phases = np.zeros((0, len(codes)), np.float32)
        if model.phases is not None:
            phases = linear(model.phases, codes)
        pooled = mean(codes, model.findings.source.zero, self._rounding)
        if model.text is not None:
            embedding = linear(model.text, pooled[None])[:, 0]
        else:
            source = model.findings.source
            centred = codes.astype(np.int64).sum(axis=0) - len(codes) * source.zero
            embedding = centred.astype(np.float32) * np.float32(source.scale / len(codes))
        return Logits(total / np.float32(len(codes)), steps, phases, embedding)


def accumulate(block: Block, joined: Int8s) -> NDArray[np.int64]:
    """Accumulators (frames, outputs), bias included, of (history + frames, inputs) codes.

    Added up in float64, which holds every integer on the way exactly.
    """
    centred = joined.astype(np.float64) - block.source.zero
    reach = (block.kernel - 1) * block.dilation + 1
    starts = np.arange(0, len(joined) - reach + 1, block.stride)
    taps = starts[:, None] + np.arange(block.kernel) * block.dilation
    rows = centred[taps].reshape(len(starts), -1)
    weights = block.weight.transpose(2, 1, 0).reshape(-1, block.outputs).astype(np.float64)
    return np.asarray(rows @ weights, np.int64) + block.bias


def linear(head: Head, codes: Int8s) -> Floats:
    """Logits (outputs, steps) of a head for codes (steps, channels)."""
    centred = codes.astype(np.int64) - head.source.zero
    acc = centred @ head.weight.T.astype(np.int64) + head.bias
    logits: Floats = (acc.astype(np.float32) * logit_factors(head)).T
    return logits
