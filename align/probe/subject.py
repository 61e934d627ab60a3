"""What is probed: a run, an encoder with its weights, a hub model, or one that nobody trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from align.corpora import Recording
from align.encoders import FACTORIES, Encoder, EncoderError, build_encoder
from align.encoders.checkpoints import DESCRIPTION, OPERA_FILES, load_encoder, load_weights
from align.leakage import Certificate, certify, require
from align.probe.problem import ProbeError
from align.settings import RecipeError
from align.training.recipe import Recipe, recipe_from_table
from align.training.selection import trains

RECORD = "run.json"
HUB = "hub:"
UNTRAINED_SEED = 0


@dataclass(frozen=True)
class Training:
    """What a run's record says that it learnt from; `skipped` could not be read ("corpus/name")."""

    recipe: Recipe
    seed: int
    holdout: str
    skipped: frozenset[str]
    patients_sha256: str

    def heard(self, row: Recording) -> bool:
        """Whether the run may have learnt from a recording."""
        names = {corpus.name for corpus in self.recipe.corpora}
        return row.corpus in names and trains(row, self.holdout)


@dataclass(frozen=True)
class Subject:
    """An encoder and where it comes from; `unknown` says why its training cannot be told."""

    title: str
    name: str
    options: Mapping[str, Any]
    encoder: Encoder
    training: Training | None = None
    unknown: str = ""

    def prepared(self, options: Mapping[str, Any]) -> Encoder:
        """The encoder with some options of `build_encoder` changed, and the same weights.

        Raises:
            EncoderError: it has no such option.
        """
        merged = {**self.options, **options}
        if merged == self.options:
            return self.encoder
        encoder = build_encoder(self.name, merged)
        encoder.load_state_dict(self.encoder.state_dict())
        return encoder.eval()


def open_subject(encoder: str, weights: Path | None = None, *, untrained: bool = False) -> Subject:
    """The encoder that a user names.

    `encoder` is the folder of a run, `hub:ID`, or a name of `build_encoder`, which takes `weights`
    (safetensors) or, as an honest baseline, stays `untrained`.

    Raises:
        EncoderError: there is no such encoder, or its files are damaged.
        ProbeError: weights are asked for or given where they make no sense, or a run's record is
            damaged.
    """
    folder = Path(encoder)
    if weights is not None and untrained:
        raise ProbeError("--weights and --untrained exclude each other")
    if (folder / DESCRIPTION).is_file() or encoder.startswith(HUB):
        if weights is not None or untrained:
            raise ProbeError(f"{encoder} has its own weights: leave out --weights and --untrained")
        return _hub(encoder) if encoder.startswith(HUB) else _run(folder)
    if encoder in FACTORIES and encoder != "hub":
        return _by_name(encoder, weights, untrained)
    if folder.is_dir():
        raise EncoderError(f"{folder} has no {DESCRIPTION}: is it the folder of a finished run?")
    names = ", ".join(name for name in FACTORIES if name != "hub")
    raise EncoderError(f"no run at {encoder}, nor an encoder of that name; known: {names}, hub:ID")


def _run(folder: Path) -> Subject:
    encoder = load_encoder(folder)
    description = json.loads((folder / DESCRIPTION).read_text())
    path = folder / RECORD
    training = _training(path) if path.is_file() else None
    unknown = "" if training else f"{folder} has no {RECORD}"
    return Subject(
        str(folder), description["name"], description["options"], encoder, training, unknown
    )


def _hub(encoder: str) -> Subject:
    model = encoder.removeprefix(HUB)
    if not model:
        raise EncoderError("hub: needs the id of a model, such as hub:owner/name")
    options = {"model": model}
    built = build_encoder("hub", options).eval()
    return Subject(encoder, "hub", options, built, unknown=f"no record comes with {encoder}")


def _by_name(name: str, weights: Path | None, untrained: bool) -> Subject:
    if weights is None and not untrained:
        how = f" (`acula-edge align convert {name} FILE` writes it)" if name in OPERA_FILES else ""
        raise ProbeError(
            f"{name} needs its weights: give --weights FILE{how}, or --untrained for the baseline"
        )
    torch.manual_seed(UNTRAINED_SEED)
    encoder = build_encoder(name).eval()
    if weights is None:
        return Subject(f"{name}, untrained", name, {}, encoder, unknown="it was not trained")
    load_weights(encoder, weights)
    return Subject(
        f"{name} with {weights}", name, {}, encoder, unknown=f"no record comes with {weights}"
    )


def _training(path: Path) -> Training:
    try:
        record = json.loads(path.read_text())
        table = {key: value for key, value in record["recipe"].items() if value is not None}
        return Training(
            recipe=recipe_from_table(table),
            seed=int(record["seed"]),
            holdout=str(record["holdout"]),
            skipped=frozenset(item.split(": ")[0] for item in record["skipped"]),
            patients_sha256=str(record["certificate"]["training_patients_sha256"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecipeError) as error:
        raise ProbeError(
            f"{path} is no record of a run ({type(error).__name__}: {error}): without it nothing"
            " tells which recordings are unheard"
        ) from None


@dataclass(frozen=True)
class Unseen:
    """Proof that an encoder never learnt from a tested patient, or in `note` why there is none.

    `reproduced`: the patients of the record's own certificate are exactly those that its rule
    gives for the corpora here.
    """

    certificate: Certificate | None
    reproduced: bool
    note: str


def certify_subject(
    subject: Subject, trained: Sequence[Recording], tested: Sequence[Recording]
) -> Unseen:
    """Compare the patients that a run learnt from with those that it is tested on.

    Of `trained`, any recordings of its corpora, those count that its record's rule trains on.
    What the encoder started from, if not from nothing, is beyond the certificate, and said so.

    Raises:
        LeakageError: a patient is on both sides.
    """
    training = subject.training
    if training is None:
        return Unseen(None, False, f"not certified: {subject.unknown}")
    heard = [row for row in trained if training.heard(row)]
    heard = [row for row in heard if f"{row.corpus}/{row.name}" not in training.skipped]
    if not heard or not tested:
        return Unseen(None, False, "not certified: nothing that it trained on, or nothing to test")
    certificate = certify(heard, tested, labels=training.recipe.text.labels)
    require(certificate)
    reproduced = certificate.training_patients_sha256 == training.patients_sha256
    notes = []
    if not reproduced:
        notes.append("the corpora here do not give the training patients of the run's record")
    if training.recipe.encoder.weights:
        started = training.recipe.encoder.weights
        notes.append(f"not certified: what its starting weights, {started}, were trained on")
    return Unseen(certificate, reproduced, "; ".join(notes))
