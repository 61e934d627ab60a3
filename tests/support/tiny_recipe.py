"""A recipe whose student trains in seconds on the corpora of `tiny_corpora`, and a tiny teacher."""

import json

import torch

from align.encoders import build_encoder
from align.encoders.checkpoints import save_encoder
from export.recipe import recipe_from_table

RECIPE = {
    "name": "tiny",
    "version": "0.0.1",
    "student": {
        "findings": ["murmur", "crackle", "wheeze"],
        "auxiliary": ["abnormal"],
        "phases": True,
        "window": 768 * 10,
        "width": 16,
        "blocks": [{"kernel": 3}, {"kernel": 4, "stride": 2}, {"kernel": 3, "dilation": 4}],
        "front_end": {"bands": 24, "short_frame": 64},
    },
    "training": {
        "corpora": ["circor", "sprsound", "physionet2016"],
        "epochs": 4,
        "steps": 12,
        "clips": [8, 8, 4],
        "crop": 768 * 20,
        "learning_rate": 1e-2,
        "ema": 0.8,
    },
    "distillation": {"embedding_epochs": 1},
    "pooling": {
        "murmur": {"kind": "mean"},
        "abnormal": {"kind": "mean"},
        "crackle": {"kind": "logmeanexp"},
        "wheeze": {"kind": "logmeanexp"},
    },
}
ENCODER = {"width": 16, "seconds": 1.024, "blocks": 1}


def tiny_recipe(student=None, distillation=None, **training):
    """The recipe, with fields of its sections changed."""
    changes = {
        "student": RECIPE["student"] | (student or {}),
        "distillation": RECIPE["distillation"] | (distillation or {}),
        "training": RECIPE["training"] | training,
    }
    return recipe_from_table(RECIPE | changes)


def write_teacher(folder, seed=0):
    """An encoder as `acula-edge align run` leaves it; random weights."""
    torch.manual_seed(seed)
    save_encoder(build_encoder("conv", ENCODER), "conv", ENCODER, folder)
    corpora = [{"name": name} for name in ("circor", "physionet2016")]
    (folder / "run.json").write_text(json.dumps({"recipe": {"corpora": corpora}, "holdout": "b"}))
    return folder
