"""The rows of the controls table: one recipe each, differing in what the row is about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from align.training.recipe import CorpusConfig, Recipe

Group = Literal["baseline", "objective", "text", "shuffle", "unseen", "labels"]
OBJECTIVES = {
    "cka-biased": "biased CKA",
    "released": "the released loss",
    "infonce": "InfoNCE, equal reports masked",
    "siglip": "SigLIP",
    "cosine": "cosine",
}


@dataclass(frozen=True)
class Row:
    """A way to train the encoder; `shared` ones start from the common pre-trained encoder."""

    name: str
    title: str
    group: Group
    recipe: Recipe
    shared: bool = True


def rows(recipe: Recipe) -> list[Row]:
    """Every row that method.md asks for, from the recipe that is the default ("cka").

    The budget, the seeds and the self-supervised pre-training are the recipe's in all of them.
    """
    return [
        *_baselines(recipe),
        *_objectives(recipe),
        *_texts(recipe),
        *_shuffles(recipe),
        *_unseen(recipe),
        *_labels(recipe),
    ]


def _baselines(recipe: Recipe) -> Iterator[Row]:
    untrained = replace(recipe, stage="none", pretrain=None)
    yield Row("untrained", "random weights", "baseline", untrained, shared=False)
    yield Row("ssl", "SSL only, same steps", "baseline", replace(recipe, stage="ssl"))


def _objectives(recipe: Recipe) -> Iterator[Row]:
    yield Row("cka", "debiased CKA, per corpus (default)", "objective", recipe)
    for name, title in OBJECTIVES.items():
        yield Row(name, title, "objective", _objective(recipe, name=name, options={}))


def _texts(recipe: Recipe) -> Iterator[Row]:
    yield Row("no-labels", "template, labels excluded", "text", _text(recipe, labels="exclude"))
    yield Row(
        "findings", "template of the findings alone", "text", _text(recipe, source="findings")
    )
    yield Row("metadata", "raw metadata (key: value)", "text", _text(recipe, source="metadata"))
    if recipe.written:
        files = _text(recipe, files=recipe.written)
        yield Row("written", "LLM reports where there are some", "text", files)
    yield Row("random-text", "random words", "text", _text(recipe, source="random"))


def _shuffles(recipe: Recipe) -> Iterator[Row]:
    mixed = _objective(recipe, per_corpus=False)
    within = _text(recipe, shuffle="within")
    yield Row("shuffled-within", "reports shuffled within each corpus", "shuffle", within)
    everywhere = _text(recipe, shuffle="global")
    yield Row("shuffled-global", "reports shuffled over all corpora", "shuffle", everywhere)
    name_only = _text(mixed, source="set-name")
    yield Row("set-name", "mixed batch, the corpus's name as text", "shuffle", name_only)


def _unseen(recipe: Recipe) -> Iterator[Row]:
    spoken = [corpus for corpus in recipe.corpora if corpus.text]
    for corpus in spoken:
        if corpus.name != "physionet2016":  # its held-out database is unseen in every row
            yield Row(
                f"unseen-{corpus.name}",
                f"no reports of {corpus.name}",
                "unseen",
                replace(recipe, corpora=_without_text(recipe, corpus)),
            )


def _labels(recipe: Recipe) -> Iterator[Row]:
    yield Row(
        "supervised",
        "supervised: the labels instead of reports",
        "labels",
        _stage(recipe, "supervised"),
    )
    yield Row("supcon", "supervised contrastive", "labels", _stage(recipe, "supcon"))


def _stage(recipe: Recipe, stage: str) -> Recipe:
    return replace(recipe, stage=stage)


def _text(recipe: Recipe, **changes: Any) -> Recipe:
    return replace(recipe, text=replace(recipe.text, **changes))


def _objective(recipe: Recipe, **changes: Any) -> Recipe:
    return replace(recipe, objective=replace(recipe.objective, **changes))


def _without_text(recipe: Recipe, silent: CorpusConfig) -> tuple[CorpusConfig, ...]:
    return tuple(
        replace(corpus, text=False) if corpus.name == silent.name else corpus
        for corpus in recipe.corpora
    )
