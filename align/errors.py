"""The base of every error that `align` raises on purpose, and how its commands show one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from acula_edge.errors import UsageError


class AlignError(Exception):
    """Its text is one clear sentence that names what is wrong and what to do."""


@contextmanager
def one_sentence() -> Iterator[None]:
    """A command's body: an `AlignError` becomes the sentence that the command line prints."""
    try:
        yield
    except AlignError as error:
        raise UsageError(str(error)) from None
