"""From recordings to rows of the text table, with the shuffles that serve as controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from align.corpora import Recording
from align.reports import Report, Source, texts_for
from align.teacher import TeacherConfig, embed_texts
from align.training.recipe import Recipe

NO_TEXT = -1


@dataclass(frozen=True)
class Texts:
    """Report of each recording, as a row of `vectors` (unique, k); NO_TEXT where there is none.

    `truncated` reports were longer than the teacher's window; `fallbacks` had no report in the
    recipe's file and carry the template's.
    """

    vectors: Tensor
    index: Tensor
    reports: tuple[str, ...]
    truncated: int
    fallbacks: int

    def on(self, device: torch.device, index: Tensor) -> Texts:
        """The same reports on `device`, looked up by another index."""
        return replace(self, vectors=self.vectors.to(device), index=index.to(device))


def build_texts(
    recipe: Recipe, rows: Sequence[Recording], data_root: Path, cache: Path, seed: int
) -> Texts:
    """Write (or read) the reports of `rows`, embed each unique one once, and shuffle if asked."""
    wanted = {corpus.name for corpus in recipe.corpora if corpus.text}
    spoken = [position for position, row in enumerate(rows) if row.corpus in wanted]
    reports, fallbacks = _reports(recipe, [rows[position] for position in spoken], data_root, seed)
    index = torch.full((len(rows),), NO_TEXT, dtype=torch.long)
    if not spoken:
        return Texts(torch.zeros(1, 1), index, (), 0, 0)
    table = embed_texts(reports, teacher_config(recipe), cache)
    order = _shuffled([rows[position].corpus for position in spoken], recipe.text.shuffle, seed)
    index[torch.tensor(spoken)] = table.index[torch.from_numpy(order)]
    unique = [""] * len(table.vectors)
    for position, report in zip(table.index.tolist(), reports, strict=True):
        unique[position] = report
    return Texts(table.vectors.float(), index, tuple(unique), table.truncated, fallbacks)


def teacher_config(recipe: Recipe) -> TeacherConfig:
    """The recipe's teacher as the teacher package wants it."""
    teacher = recipe.teacher
    return TeacherConfig(
        model=teacher.model,
        revision=teacher.revision,
        pooling=teacher.pooling,
        layer=teacher.layer,
    )


def _reports(
    recipe: Recipe, rows: Sequence[Recording], data_root: Path, seed: int
) -> tuple[list[str], int]:
    text = recipe.text
    reports: dict[int, str] = {}
    fallbacks = 0
    for corpus in dict.fromkeys(row.corpus for row in rows):
        places = [place for place, row in enumerate(rows) if row.corpus == corpus]
        mine = [rows[place] for place in places]
        file = text.files.get(corpus)
        source: Source = "file" if file else text.source
        path = data_root / file if file else None
        written = texts_for(mine, source, text.labels, path, seed)
        told = [report or Report(corpus, "set-name") for report in written]
        fallbacks += sum(report.source == "template" for report in told) if file else 0
        reports.update(zip(places, (report.text for report in told), strict=True))
    return [reports[place] for place in range(len(rows))], fallbacks


def _shuffled(corpora: Sequence[str], shuffle: str, seed: int) -> np.ndarray:
    """Whose report each recording gets: its own, another's of its corpus, or anyone's."""
    order = np.arange(len(corpora))
    random = np.random.default_rng((seed, 7919))
    if shuffle == "global":
        return random.permutation(order)
    if shuffle == "within":
        names = np.asarray(corpora)
        for name in np.unique(names):
            members = np.flatnonzero(names == name)
            order[members] = random.permutation(members)
    return order
