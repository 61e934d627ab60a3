"""Encoder weights on disk: PyTorch checkpoints converted once, safetensors everywhere else.

A pickle can run code when it is read, so a checkpoint is only ever read as plain tensors.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from huggingface_hub import errors as hub
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from align.encoders import build_encoder
from align.encoders.base import Encoder, EncoderError

OPERA_HUB = "evelyn0414/OPERA"
OPERA_FILES = {
    "opera-ct": "encoder-operaCT.ckpt",
    "opera-ce": "encoder-operaCE.ckpt",
    "opera-gt": "encoder-operaGT.ckpt",
}
OPERA_LICENCE = "MIT, Copyright (c) 2024 OPERA"
WEIGHTS, DESCRIPTION = "encoder.safetensors", "encoder.json"
NAMED = 3  # keys that an error lists


def convert_checkpoint(path_ckpt: Path, encoder_name: str, out_safetensors: Path) -> None:
    """Turns a Lightning `.ckpt` or a `.pt` of tensors into safetensors for `load_weights`.

    Keys and shapes must be exactly those of the encoder, but for the keys that its class lists in
    `checkpoint_keys_ignored` (fnmatch patterns). The file records the source's hash and licence.

    Raises:
        EncoderError: the file is missing, damaged, holds more than tensors, or does not fit.
    """
    encoder = build_encoder(encoder_name)
    ignored: tuple[str, ...] = getattr(encoder, "checkpoint_keys_ignored", ())
    state = {
        key: value.contiguous().clone()
        for key, value in _read_checkpoint(path_ckpt).items()
        if not any(fnmatch(key, pattern) for pattern in ignored)
    }
    _check_fit(encoder, state, path_ckpt)
    metadata = {
        "encoder": encoder_name,
        "source": path_ckpt.name,
        "source_sha256": _sha256(path_ckpt),
        "licence": OPERA_LICENCE if encoder_name in OPERA_FILES else "that of the source",
    }
    _save(state, out_safetensors, metadata)


def load_weights(encoder: nn.Module, path: Path) -> None:
    """Loads safetensors whose keys and shapes are exactly the encoder's.

    Raises:
        EncoderError: the file is missing, damaged, or does not fit.
    """
    try:
        state = load_file(path)
    except FileNotFoundError:
        raise EncoderError(f"no weights at {path}") from None
    except (SafetensorError, OSError) as error:
        raise EncoderError(
            f"{path} is truncated or no safetensors file: write or fetch it again ({error})"
        ) from None
    _check_fit(encoder, state, path)
    encoder.load_state_dict(state)


def fetch_opera(name: str, cache: Path) -> Path:
    """Weights of `opera-ct`, `opera-ce` or `opera-gt` as safetensors in `cache`.

    Downloaded from the authors' hub repository and converted the first time; afterwards the cached
    file is checked and returned, or replaced if it is damaged.

    Raises:
        EncoderError: unknown name, the hub does not answer or refuses, or the file does not fit.
    """
    if name not in OPERA_FILES:
        raise EncoderError(f"no OPERA encoder {name!r}; known: {', '.join(OPERA_FILES)}")
    weights = cache / f"{name}.safetensors"
    try:
        load_weights(build_encoder(name), weights)
    except EncoderError:
        convert_checkpoint(_download(OPERA_FILES[name]), name, weights)
    return weights


def save_encoder(
    encoder: Encoder, name: str, options: Mapping[str, Any], folder: Path, **record: Any
) -> None:
    """Writes what `load_encoder` needs into `folder`, and `record` (JSON values) beside it.

    `name` and `options` are those of `build_encoder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {key: value.contiguous().clone() for key, value in encoder.state_dict().items()}
    _save(state, folder / WEIGHTS, {"encoder": name})
    description = {
        "name": name,
        "options": dict(options),
        "rate": encoder.rate,
        "dim": encoder.dim,
        "sha256": _sha256(folder / WEIGHTS),
        "record": record,
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")


def load_encoder(folder: Path) -> Encoder:
    """The encoder of a folder that `save_encoder` wrote, in eval mode, on the CPU.

    Raises:
        EncoderError: a file is missing or damaged, or the two do not belong together.
    """
    description = _read_description(folder / DESCRIPTION)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise EncoderError(f"no weights at {weights}")
    if _sha256(weights) != description["sha256"]:
        raise EncoderError(f"{weights} is damaged or not the file that {DESCRIPTION} describes")
    encoder = build_encoder(description["name"], description["options"])
    for field in ("rate", "dim"):
        if getattr(encoder, field) != description[field]:
            raise EncoderError(
                f"{folder / DESCRIPTION} says {field} {description[field]}, but its encoder has "
                f"{getattr(encoder, field)}"
            )
    load_weights(encoder, weights)
    return encoder.eval()


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise EncoderError(f"no checkpoint at {path}") from None
    except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        if "GLOBAL" not in str(error):
            raise EncoderError(
                f"{path} is truncated or no PyTorch checkpoint of plain tensors: fetch it again"
            ) from None
        raise EncoderError(
            f"{path} is refused: it holds more than plain tensors{_foreign_names(path)}, and "
            "reading that could run code; ask its author for safetensors"
        ) from None
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise EncoderError(f"{path} has no state_dict of tensors")
    return state


def _foreign_names(path: Path) -> str:
    """What else a checkpoint names, e.g. " (os.system)"; nothing where that cannot be told."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (RuntimeError, ValueError, UnpicklingError, OSError):
        return ""
    return f" ({_listed(sorted(names))})" if names else ""


def _check_fit(encoder: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    wanted = encoder.state_dict()
    complaints = []
    missing, unexpected = sorted(wanted.keys() - state), sorted(state.keys() - wanted)
    if missing:
        complaints.append(f"{len(missing)} missing ({_listed(missing)})")
    if unexpected:
        complaints.append(f"{len(unexpected)} unexpected ({_listed(unexpected)})")
    wrong = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in sorted(wanted.keys() & state)
        if state[key].shape != wanted[key].shape
    ]
    if wrong:
        complaints.append(f"{len(wrong)} of another shape ({_listed(wrong)})")
    if complaints:
        kind = type(encoder).__name__
        raise EncoderError(f"the weights in {path} do not fit {kind}: {'; '.join(complaints)}")


def _listed(names: list[str]) -> str:
    return ", ".join([*names[:NAMED], "..."] if len(names) > NAMED else names)


def _download(file: str) -> Path:
    try:
        return Path(hf_hub_download(OPERA_HUB, file))
    except hub.GatedRepoError:
        reason = "it is gated: accept its terms on its hub page and set HF_TOKEN"
    except (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, ConnectionError):
        reason = "the hub cannot be reached and no copy is cached: connect once"
    except (hub.RepositoryNotFoundError, hub.EntryNotFoundError):
        reason = "it is not there any more, or not public"
    except OSError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise EncoderError(
        f"cannot fetch {file} of {OPERA_HUB}: {reason}; or convert a copy with convert_checkpoint"
    )


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text())
    except OSError:
        raise EncoderError(f"no encoder description at {path}") from None
    except ValueError as error:
        raise EncoderError(f"{path} is not JSON: {error}") from None
    fields = {"name": str, "options": dict, "rate": int, "dim": int, "sha256": str}
    for field, kind in fields.items():
        if not isinstance(description, dict) or not isinstance(description.get(field), kind):
            raise EncoderError(f"{path} has no {field!r} of type {kind.__name__}")
    return dict(description)


def _save(state: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """A kill in the middle leaves the file as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    save_file(dict(state), part, metadata=dict(metadata))
    part.replace(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
