"""Deterministic weights and sound of the OPERA fixtures, after tests/data/opera/README.md."""

import json
import math
import zlib
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import numpy as np
import torch

FIXTURES = Path(__file__).parents[1] / "data" / "opera"
GAIN = {"ct": 2.5, "ce": 2.7, "gt": 4.0}
PATCH_GAIN = {"ct": 4.0, "gt": 8.0}  # of patch_embed.proj.weight
CHIRPS = (  # amplitude, start Hz, end Hz, period in samples
    (0.25, 60.0, 1500.0, 2311),
    (0.18, 7600.0, 900.0, 3137),
    (0.20, 120.0, 520.0, 27211),
    (0.14, 5200.0, 1800.0, 36809),
    (0.08, 3000.0, 7000.0, 49603),
)


def fixture_arrays(model):
    """The stored arrays of `ct`, `ce` or `gt`."""
    with np.load(FIXTURES / f"{model}.npz") as stored:
        return dict(stored)


def fixture_keys(model):
    """Rows of the checkpoint's key list: key, shape, dtype, role, fill, first, last, sum."""
    return json.loads((FIXTURES / f"{model}.keys.json").read_text())["keys"]


def signed_unit(name, size):
    """`size` numbers in (-1, 1) from an integer hash of the name and the index."""
    low = np.uint64(0xFFFFFFFF)
    seed = np.uint64(zlib.crc32(name.encode())) * np.uint64(2654435761)
    x = (np.arange(size, dtype=np.uint64) + seed) & low
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x ^= x >> np.uint64(shift)
        x = (x * np.uint64(factor)) & low
    x ^= x >> np.uint64(16)
    return (x.astype(np.float64) + 0.5) / 2147483648.0 - 1.0


def filled_value(model, row):
    """float32 value of one row of the key list, None for a computed constant."""
    name, shape, kind = row["key"], row["shape"], row["fill"]
    if kind == "constant":
        return None
    s = signed_unit(name, math.prod(shape)).reshape(shape)
    if kind == "weight":
        patch = name.endswith("patch_embed.proj.weight")
        gain = PATCH_GAIN.get(model, GAIN[model]) if patch else GAIN[model]
        s = gain / math.sqrt(math.prod(shape[1:])) * s
    elif kind == "norm_weight":
        s = 1.0 + 0.1 * s
    elif kind == "running_var":
        s = 1.0 + 0.1 * s * s
    elif kind == "rel_bias":
        s = 0.5 * s
    else:
        s = 0.02 * s
    return s.astype(np.float32)


def filled_state(model):
    """The filled checkpoint without its computed constants: key -> float32 tensor."""
    values = {row["key"]: filled_value(model, row) for row in fixture_keys(model)}
    return {key: torch.from_numpy(v) for key, v in values.items() if v is not None}


def waveform(samples):
    """The fixtures' sound, float32 (samples,) at 16 kHz: repeated chirps under a slow envelope."""
    n = np.arange(samples, dtype=np.int64)
    x = np.zeros(samples, dtype=np.float64)
    for amplitude, start, end, period in CHIRPS:
        u = (n % period) / 16000.0
        slope = (end - start) / (period / 16000.0)
        x += amplitude * np.sin(2 * np.pi * (start * u + 0.5 * slope * u * u))
    envelope = 0.1 + 0.9 * np.sin(np.pi * n / 59207.0) ** 2
    return (x * envelope).astype(np.float32)


def relative_error(found, expected):
    """Relative L2 error of two arrays or tensors, in float64."""
    found = np.asarray(torch.as_tensor(found).detach().double().cpu())
    expected = np.asarray(expected, dtype=np.float64)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def filled(encoder, model):
    """`encoder` in eval mode with the filled weights; every key is checked."""
    ignored = encoder.checkpoint_keys_ignored
    state = {
        key: value
        for key, value in filled_state(model).items()
        if not any(fnmatch(key, pattern) for pattern in ignored)
    }
    answer = encoder.load_state_dict(state, strict=False)
    assert not answer.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in answer.missing_keys)
    return encoder.eval()


def probe_error(root, arrays, run):
    """Largest error of the stored probes of `root`'s submodules while `run` embeds `mel_8s2`.

    Of each module: mean, deviation, extremes and 16 values, relative to the largest of them.
    """
    seen, hooks = {}, []
    for name in arrays["probe_names"]:
        hook = partial(lambda key, *call: seen.update({key: call[-1]}), str(name))
        hooks.append(root.get_submodule(str(name)).register_forward_hook(hook))
    run()
    for hook in hooks:
        hook.remove()
    worst = 0.0
    for name, expected in zip(arrays["probe_names"], arrays["probe_values"], strict=True):
        flat = seen[str(name)].detach().double().flatten()
        picked = flat[torch.arange(16) * (len(flat) - 1) // 15]
        summary = [flat.mean(), flat.std(correction=0), flat.min(), flat.max()]
        found = np.array([*summary, *picked])
        worst = max(worst, float(np.abs(found - expected).max() / np.abs(expected).max()))
    return worst
