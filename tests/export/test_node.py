"""The bundle's graphs run unchanged in onnxruntime-web (WebAssembly) under Node.

The package lies outside the repository: in $ACULA_NODE, or the user's cache. With ACULA_NPM=1 the
test installs it there; without it and without the package, it skips.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from acula_edge.bundle import load_bundle

HERE = Path(__file__).parents[1] / "node"
VARIANTS = ("cpu-int8", "fp32")


@pytest.fixture(scope="module")
def modules():
    """The `node_modules` that holds the version of onnxruntime-web that package.json names."""
    if shutil.which("node") is None:
        pytest.skip("not installed: node")
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]["onnxruntime-web"]
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("ACULA_NODE") or Path(cache) / "acula-edge" / "node")
    found = folder / "node_modules"
    if _version(found) != wanted:
        if os.environ.get("ACULA_NPM") != "1":
            pytest.skip(f"onnxruntime-web {wanted} is not in {folder}; ACULA_NPM=1 installs it")
        _install(folder)
    assert _version(found) == wanted
    return found


def _version(modules):
    try:
        return json.loads((modules / "onnxruntime-web" / "package.json").read_text())["version"]
    except OSError:
        return None


def _install(folder):
    if shutil.which("npm") is None:
        pytest.skip("not installed: npm")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "package.json", folder)
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--silent")
    done = subprocess.run(
        ["npm", "install", *quiet], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_shipped_graphs_give_the_golden_scores_in_webassembly(modules):
    bundle = load_bundle("heart-lung")
    command = ["node", HERE / "run_bundle.mjs", modules, bundle.origin, *VARIANTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["scores"]
    for variant in VARIANTS:
        ours, golden = np.array(scores[variant]), np.array(bundle.manifest.golden.scores[variant])
        assert ours.shape == golden.shape
        worst = np.abs(ours - golden).max()
        print(f"{variant}: largest difference {worst:.2g}")
        assert worst <= bundle.manifest.parity.golden_tolerance
