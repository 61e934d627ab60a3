"""Two processes train as one: torchrun, gloo, the command that users call."""

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import replace

import pytest
import torch
from tiny_corpora import write_corpora

from align.encoders.checkpoints import load_encoder
from align.training.recipe import recipe_from_table
from align.training.run import open_runner

RECIPE = """
name = "two"
holdouts = ["a"]
[encoder]
name = "vit-ti-mae"
options = { seconds = 1.024 }
[[corpora]]
name = "circor"
batch = 8
[[corpora]]
name = "sprsound"
batch = 8
[teacher]
model = "minilm"
[objective]
ssl_weight = 0.0
dropout = 0.0
hidden = 32
width = 32
[align]
steps = 2
learning_rate = 1e-4
log_every = 1
"""


def weights(encoder):
    return torch.cat([parameter.detach().flatten() for parameter in encoder.parameters()])


@pytest.mark.slow
def test_two_processes_end_where_one_does(tmp_path):
    """No batch norm, dropout or masking: what is left must be the same to rounding."""
    write_corpora(tmp_path / "data", patients=20)
    recipe = tmp_path / "two.toml"
    recipe.write_text(RECIPE)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", "29517", "-m", "acula_edge", "align", "run", str(recipe)]
    command += ["--data", str(tmp_path / "data"), "--folder", str(tmp_path / "both")]
    command += ["--cache", str(tmp_path / "cache")]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]

    settings = recipe_from_table(tomllib.loads(RECIPE))
    runner = open_runner(settings, tmp_path / "data", tmp_path / "cache", quiet=True)
    alone = runner.run(settings, tmp_path / "one", seed=0)
    both = load_encoder(tmp_path / "both")
    start = runner.run(replace(settings, stage="none"), tmp_path / "start", seed=0)
    moved, apart = (weights(alone) - weights(other) for other in (start, both))
    # Adam turns a gradient of rounding errors into a step of either sign: few weights, not none.
    assert apart.norm() < 0.05 * moved.norm()
    logs = [
        [json.loads(line)["align"] for line in (tmp_path / run / "log.jsonl").open()]
        for run in ("one", "both")
    ]
    assert logs[0] == pytest.approx(logs[1], abs=1e-4)
    assert len(logs[1]) == 2  # one process writes the log
