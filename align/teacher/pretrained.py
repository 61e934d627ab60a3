"""What goes wrong when a Hugging Face model is loaded, in one sentence with its remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from logging import ERROR
from pathlib import Path

import torch
from huggingface_hub import errors as hub
from huggingface_hub.utils.tqdm import enable_progress_bars
from transformers.utils import logging as library_log

LOCAL_PREFIXES = (".", "/", "~")
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "offload")


def locate(model: str) -> str:
    """A hub id unchanged, or the path of a local folder.

    Raises:
        FileNotFoundError: it is written as a path but no model is there.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        if model.startswith(LOCAL_PREFIXES) or model.count("/") > 1:
            raise FileNotFoundError(f"no model folder at {model}")
        return model
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{model} holds no config.json: not a saved transformers model")
    return str(folder)


@contextmanager
def enough_memory(model: str, error: type[Exception], advice: str) -> Iterator[None]:
    """Turns an allocation failure into `error`, which says what to lower."""
    try:
        yield
    except (RuntimeError, MemoryError, ValueError) as failure:
        if not _is_out_of_memory(failure):
            raise
        raise error(f"not enough memory for {model}: {advice}") from None


@contextmanager
def explained(model: str, error: type[Exception], advice: str) -> Iterator[None]:
    """Turns whatever loading `model` raises into `error` with one sentence.

    transformers' own report of unused weights is not shown: callers check for missing ones.
    """
    try:
        with _quiet(), enough_memory(model, error, advice):
            yield
    except error:
        raise
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as failure:
        raise error(_explanation(failure, model)) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers without its report and its bar of loaded weights; the hub's downloads show."""
    verbosity, bar = library_log.get_verbosity(), library_log.is_progress_bar_enabled()
    library_log.set_verbosity(ERROR)
    if bar:
        # turns the hub's off too
        library_log.disable_progress_bar()  # type: ignore[no-untyped-call]
        enable_progress_bars()
    try:
        yield
    finally:
        library_log.set_verbosity(verbosity)
        if bar:
            library_log.enable_progress_bar()  # type: ignore[no-untyped-call]


def _explanation(failure: BaseException, model: str) -> str:
    kinds = tuple(type(link) for link in _chain(failure))

    def met(*wanted: type[BaseException]) -> bool:
        return any(issubclass(kind, wanted) for kind in kinds)

    if met(hub.GatedRepoError):  # also a RepositoryNotFoundError: asked first
        return (
            f"{model} is gated: accept its terms on its hub page and set HF_TOKEN to a token of "
            "that account"
        )
    if met(hub.RevisionNotFoundError):
        return f"{model} has no such revision on the hub: check `revision`"
    if met(hub.RepositoryNotFoundError):
        return f"the hub has no model {model}, or it is private: check the id, or set HF_TOKEN"
    if met(hub.HFValidationError):
        return f"{model!r} is neither a hub id (owner/name) nor a folder that exists"
    if met(hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, ConnectionError):
        return (
            f"{model} is not in the local cache and the hub cannot be reached: connect once, or "
            "give the path of a local folder"
        )
    first_line = str(failure).strip().split("\n")[0]
    return first_line if model in first_line else f"cannot load {model}: {first_line}"


def _chain(failure: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = failure
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _is_out_of_memory(failure: BaseException) -> bool:
    if isinstance(failure, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(sign in str(failure).lower() for sign in OUT_OF_MEMORY)
