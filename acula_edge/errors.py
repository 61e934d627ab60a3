"""Errors that the user can act on. The CLI prints the sentence and exits with `exit_code`."""

from __future__ import annotations

from typing import ClassVar


class AculaError(Exception):
    """Base of every error this package raises on purpose; its text is one clear sentence."""

    exit_code: ClassVar[int] = 1


class AudioFileError(AculaError):
    """A recording is missing, unreadable, empty or not audio."""


class UsageError(AculaError):
    """Options or arguments that do not fit together."""

    exit_code = 2


class DeviceError(AculaError):
    """No such device, or it is busy, gone, or refuses every rate."""

    exit_code = 3


class BundleError(AculaError):
    """A model bundle is missing, damaged, unsigned, too new, or breaks its contract."""

    exit_code = 4


class MissingDependencyError(AculaError):
    """A library or an extra is not installed; the text says how to install it."""

    exit_code = 5


class RecordingError(AculaError):
    """The recording cannot be written any further; what was written stays readable."""

    exit_code = 6
