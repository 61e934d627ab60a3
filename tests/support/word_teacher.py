"""A language model for tests: the sum of one random vector per word."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
import torch

from align.teacher import Embedded, TeacherConfig

SIZE = 48


def vector(text: str, size: int = SIZE, salt: int = 0) -> np.ndarray:
    words = re.findall(r"[a-z0-9]+", text.lower())
    seeds = [[salt, zlib.crc32(word.encode())] for word in words]
    return np.sum([np.random.default_rng(seed).normal(size=size) for seed in seeds], axis=0)


def vectors(texts: Sequence[str], size: int = SIZE, salt: int = 0) -> np.ndarray:
    return np.stack([vector(text, size, salt) for text in texts]).astype(np.float32)


class WordTeacher:
    def __init__(self, config: TeacherConfig, size: int = SIZE, salt: int = 0):
        self.config, self.size, self.salt = config, size, salt

    def embed(self, texts: Sequence[str]) -> Embedded:
        return Embedded(torch.from_numpy(vectors(texts, self.size, self.salt)), ())
