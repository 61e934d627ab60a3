"""What a run leaves beside its encoder: a JSON record and a model card made from it."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined

from align.corpora import Recording
from align.corpora.catalogue import CATALOGUE
from align.leakage import Certificate
from align.training.material import Material
from align.training.recipe import Recipe, to_table

SCHEMA = 1


def write_record(
    recipe: Recipe,
    seed: int,
    material: Material,
    certificate: Certificate,
    folder: Path,
    seconds: float,
) -> None:
    """Write `run.json` and `MODEL_CARD.md` into the run's folder."""
    record = {
        "schema": SCHEMA,
        "recipe": to_table(recipe),
        "seed": seed,
        "holdout": recipe.holdout(seed),
        "training": _training(material),
        "reports": {
            "unique": len(material.texts.reports),
            "truncated": material.texts.truncated,
            "without_one_in_the_file": material.texts.fallbacks,
        },
        "skipped": [f"{item.name}: {item.reason}" for item in material.store.skipped],
        "certificate": json.loads(certificate.to_json()),
        "machine": machine(),
        "seconds": round(seconds, 1),
    }
    (folder / "run.json").write_text(json.dumps(record, indent=2) + "\n")
    (folder / "MODEL_CARD.md").write_text(model_card(record))


def machine() -> dict[str, Any]:
    """Software and hardware of this process, as far as they change numbers."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "acula_edge": version("acula-edge"),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
    }


def model_card(record: Mapping[str, Any]) -> str:
    """The run's card as markdown; what the run does not know is "not reported"."""
    environment = Environment(
        loader=PackageLoader("align.training", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    licences = {name: CATALOGUE[name].licence for name in record["training"]}
    return environment.get_template("MODEL_CARD.md.j2").render(licences=licences, **record) + "\n"


def _training(material: Material) -> dict[str, dict[str, int | float]]:
    usable = material.sampler.usable
    return {
        name: _counts([material.store.rows[index] for index in usable], name, material)
        for name, _ in material.sampler.shares
    }


def _counts(rows: Sequence[Recording], corpus: str, material: Material) -> dict[str, int | float]:
    mine = [row for row in rows if row.corpus == corpus]
    held = {id(row) for row in mine}
    samples = sum(
        int(length)
        for row, length in zip(material.store.rows, material.store.lengths, strict=True)
        if id(row) in held
    )
    return {
        "recordings": len(mine),
        "patients": len({row.patient for row in mine}),
        "hours": round(samples / material.store.rate / 3600, 2),
    }
