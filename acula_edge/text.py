"""What an exam's sound lies near to in the bundle's text space: prompts and reports, by cosine.

Research: a similarity is no probability, no threshold is known for it, and it decides nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from acula_edge.bundle import Bundle, Prompt, TextSpace
from acula_edge.bundle.text_files import read_projection, read_reports
from acula_edge.errors import UsageError
from acula_edge.events import Exam, SimilarReport

Vectors = NDArray[np.float64]


class TextEvidence:
    """The mean of an exam's embeddings, and what it is similar to.

    `prompts` are scored by name; `explain` is how many of the nearest `index` entries are told.
    """

    def __init__(
        self,
        size: int,
        prompts: tuple[Prompt, ...] = (),
        index: ReportIndex | None = None,
        explain: int = 0,
    ):
        self._sum = np.zeros(size)
        self._prompts, self._index, self._explain = prompts, index, explain

    def add(self, embedding: NDArray[np.float32]) -> None:
        """Take the embedding (size,) of one usable hop."""
        self._sum += embedding

    @property
    def embedding(self) -> Vectors | None:
        """Direction (size,) of the mean embedding, of length 1; None where nothing gave one."""
        length = float(np.linalg.norm(self._sum))
        return self._sum / length if 0 < length < np.inf else None

    def tell(self, exam: Exam) -> Exam:
        """The exam with its similarities; one that abstains stays as it is."""
        place = self.embedding
        if exam.abstained or place is None:
            return exam
        scores = {prompt.name: prompt_similarity(place, prompt) for prompt in self._prompts}
        near = () if self._index is None else self._index.nearest(place, self._explain)
        return replace(exam, similarities=scores, similar=near)


class ReportIndex:
    """The bundle's reports, ready to be searched."""

    def __init__(self, texts: tuple[str, ...], vectors: Vectors):
        self.texts, self._vectors = texts, _unit(vectors)

    def nearest(self, place: Vectors, count: int) -> tuple[SimilarReport, ...]:
        """The `count` reports nearest to `place` (size,), nearest first; equal ones in file order.

        Similarity is the cosine, -1 to 1.
        """
        cosines = self._vectors @ _unit(place)
        order = np.argsort(-cosines, kind="stable")[:count]
        return tuple(SimilarReport(self.texts[i], float(cosines[i])) for i in order)


def text_evidence(bundle: Bundle, site: str | None, explain: int = 0) -> TextEvidence | None:
    """What collects an exam's embeddings; None where the bundle has no text space.

    Raises:
        UsageError: reports are to be told, but the bundle has no text space or no reports.
    """
    index = report_index(bundle) if explain > 0 else None
    space = bundle.manifest.text
    if space is None:
        return None
    prompts = tuple(p for p in space.prompts if site is None or p.site in (None, site))
    return TextEvidence(space.size, prompts, index, explain)


def report_index(bundle: Bundle) -> ReportIndex:
    """The bundle's report index.

    Raises:
        UsageError: the bundle has no text space, or no reports.
    """
    space = text_space(bundle)
    if space.reports is None:
        raise UsageError(f"model {bundle.manifest.name!r} has no report index to explain with")
    reports = read_reports(bundle.files[space.reports], space)
    vectors = np.asarray([report.vector for report in reports])
    return ReportIndex(tuple(report.text for report in reports), vectors)


def text_space(bundle: Bundle) -> TextSpace:
    """The bundle's text space.

    Raises:
        UsageError: it has none.
    """
    if bundle.manifest.text is None:
        name = bundle.manifest.name
        raise UsageError(f"model {name!r} has no text space: it was not aligned with reports")
    return bundle.manifest.text


def project(bundle: Bundle, vectors: NDArray[np.floating]) -> Vectors:
    """Places (n, size) in the text space of the teacher's vectors (n, teacher_size) of texts.

    Raises:
        UsageError: the bundle has no text space, or the vectors are of another size.
    """
    space = text_space(bundle)
    if vectors.ndim != 2 or vectors.shape[1] != space.teacher_size:
        raise UsageError(
            f"the teacher's vectors have shape {vectors.shape}, not (n, {space.teacher_size})"
        )
    values = np.asarray(read_projection(bundle.files[space.projection], space), np.float64)
    mean, basis = values[: space.teacher_size], values[space.teacher_size :]
    return np.asarray((vectors - mean) @ basis.reshape(space.teacher_size, space.size))


def prompt_similarity(place: Vectors, prompt: Prompt) -> float:
    """Cosine of `place` (size,) and the prompt, less that of its contrast: -2 to 2."""
    score = _cosine(place, prompt.vector)
    return score if prompt.against is None else score - _cosine(place, prompt.against.vector)


def _cosine(place: Vectors, vector: tuple[float, ...]) -> float:
    return float(_unit(place) @ _unit(np.asarray(vector)))


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
