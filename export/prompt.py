"""Zero-shot findings: texts that nobody trained on, put into a bundle's text space offline.

The device needs no language model: a prompt is one vector in the manifest. How well a prompt tells
sounds apart is unknown until somebody measures it on labelled recordings, so it has no threshold.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from acula_edge.bundle import Bundle, Passage, Prompt, TextSpace, load_bundle, write_bundle
from acula_edge.bundle.load import CARD
from acula_edge.bundle.manifest import FILE_NAME
from acula_edge.bundle.rules import is_plain, is_text
from acula_edge.bundle.sums import SIGNATURE, SUMS
from acula_edge.text import project, text_space
from align.errors import AlignError, one_sentence
from align.teacher import Teacher, TeacherConfig, embed_texts
from align.teacher.table import Embeds
from export.text_space import Vectors, passage

SAME_PLACE = 0.98  # least cosine of the reference text as embedded here and when the space was made
LONGEST_NAME = 60
CARD_HEADING = "## Text prompts"
CARD_NOTE = (
    "Added by `acula-edge model prompt`: research. A score is a cosine similarity in the text"
    " space; nobody measured how well these texts tell sounds apart, and no threshold is known."
)


class PromptError(AlignError):
    """A prompt that cannot be added to this bundle."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Prompts to add: one name per text, or none to make names of the texts.

    `against` is the contrast of every text; `site` is `heart`, `lung`, or None for both.
    """

    texts: Sequence[str]
    names: Sequence[str] = ()
    site: str | None = None
    against: str | None = None


def add_prompts(
    bundle: Bundle,
    wanted: Wanted,
    target: Path,
    *,
    teacher: str | None = None,
    teacher_factory: Callable[[TeacherConfig], Embeds] = Teacher,
) -> Bundle:
    """Write `bundle` with more prompts to the folder `target`, unsigned, and return it.

    `teacher` is a folder with a copy of the bundle's language model; None takes the one it names.

    Raises:
        UsageError: the bundle has no text space.
        PromptError: an empty text, a name that is taken, or another language model.
        TeacherError: the language model cannot be had.
        BundleError: `target` holds something else than a bundle.
    """
    space = text_space(bundle)
    names = _names(bundle, space, wanted)
    embed = _Embedder(bundle, space, teacher, teacher_factory)
    contrast = [] if wanted.against is None else [wanted.against]
    places = embed([*wanted.texts, *contrast])
    against = passage(contrast[0], places[-1]) if contrast else None
    added = []
    for name, text, place in zip(names, wanted.texts, places, strict=False):
        own = passage(text, place)
        added.append(
            Prompt(name=name, site=wanted.site, text=text, vector=own.vector, against=against)
        )
    _write(bundle, replace(space, prompts=(*space.prompts, *added)), added, target)
    return load_bundle(target)


def run(bundle: Bundle, wanted: Wanted, target: Path, teacher: str | None) -> Bundle:
    """`add_prompts` for the command line: its errors are sentences with an exit code."""
    with one_sentence():
        return add_prompts(bundle, wanted, target, teacher=teacher)


def _names(bundle: Bundle, space: TextSpace, wanted: Wanted) -> list[str]:
    """A free name for each text."""
    for text in [*wanted.texts, *([] if wanted.against is None else [wanted.against])]:
        if not is_text(text):
            raise PromptError(f"a prompt must be printable text on one line, not {text[:60]!r}")
    if not wanted.texts:
        raise PromptError("no prompt was given")
    if wanted.site not in (None, "heart", "lung"):
        raise PromptError(f"unknown site {wanted.site!r}: choose heart or lung, or leave it out")
    names = list(wanted.names) or [_slug(text) for text in wanted.texts]
    if len(names) != len(wanted.texts):
        raise PromptError(f"{len(names)} names for {len(wanted.texts)} texts: give one for each")
    taken = {*bundle.manifest.labels, *(prompt.name for prompt in space.prompts)}
    for name in names:
        if not is_plain(name):
            raise PromptError(f"{name!r} is no plain name; give another with --name")
        if name in taken:
            raise PromptError(f"the name {name!r} is taken; give another with --name")
        taken.add(name)
    return names


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST_NAME].strip("-")


class _Embedder:
    """Texts to places (n, size), by a teacher that is checked to be the bundle's."""

    def __init__(
        self,
        bundle: Bundle,
        space: TextSpace,
        teacher: str | None,
        factory: Callable[[TeacherConfig], Embeds],
    ):
        self._bundle, self._space, self._factory = bundle, space, factory
        self._config = self._teacher_config(teacher or space.teacher)

    def __call__(self, texts: Sequence[str]) -> Vectors:
        reference = self._space.reference
        asked = list(dict.fromkeys([*([reference.text] if reference else []), *texts]))
        with tempfile.TemporaryDirectory() as cache:
            table = embed_texts(asked, self._config, Path(cache), teacher_factory=self._factory)
        vectors = table.vectors.float().numpy()
        if vectors.shape[1] != self._space.teacher_size:
            raise PromptError(
                f"{self._config.model} gives vectors of {vectors.shape[1]}, the bundle's text space"
                f" is of {self._space.teacher}, which gives {self._space.teacher_size}"
            )
        places = project(self._bundle, vectors).astype(np.float32)
        if reference is not None:
            self._check(reference, places[0])
        return places[[asked.index(text) for text in texts]]

    def _teacher_config(self, model: str) -> TeacherConfig:
        space = self._space
        if model != space.teacher:
            if not Path(model).expanduser().is_dir():
                raise PromptError(
                    f"the bundle's text space is of {space.teacher}, not of {model}: their vectors"
                    " cannot be compared"
                )
            if space.reference is None:
                raise PromptError(
                    f"the bundle has no reference text to recognise {space.teacher} in {model} by"
                )
        own = {"model": model, "pooling": space.pooling, "layer": space.layer}
        revision = space.revision if model == space.teacher else None
        return TeacherConfig(**own, revision=revision)  # type: ignore[arg-type]

    def _check(self, reference: Passage, place: Vectors) -> None:
        found = np.asarray(passage(reference.text, place).vector)
        wanted = np.asarray(reference.vector)
        cosine = float(found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted))
        if cosine < SAME_PLACE:
            raise PromptError(
                f"{self._config.model} is not the {self._space.teacher} that the bundle was aligned"
                f" with: its reference text lies elsewhere (cosine {cosine:.2f})"
            )


def _write(bundle: Bundle, space: TextSpace, added: Sequence[Prompt], target: Path) -> None:
    manifest = replace(bundle.manifest, text=space)
    used = {
        graph.file for v in manifest.variants.values() for graph in (v.stream, v.window) if graph
    }
    graphs = {name: data for name, data in bundle.files.items() if name in used}
    own = {*used, FILE_NAME, CARD, SUMS, SIGNATURE}
    extra = {name: data for name, data in bundle.files.items() if name not in own}
    write_bundle(target, manifest, graphs, _card(bundle.card(), added), extra)


def _card(card: str, added: Sequence[Prompt]) -> str:
    lines = [f"* `{prompt.name}`: {_told(prompt)}" for prompt in added]
    if CARD_HEADING not in card:
        lines = [CARD_HEADING, "", CARD_NOTE, "", *lines]
        card = card.rstrip("\n") + "\n\n"
    return card + "\n".join(lines) + "\n"


def _told(prompt: Prompt) -> str:
    contrast = "" if prompt.against is None else f", against “{prompt.against.text}”"
    return f"“{prompt.text}”{contrast}"
