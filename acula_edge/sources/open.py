"""From what the user typed to a source: a microphone, a pipe, a link or a file."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

from acula_edge.errors import MissingDependencyError, UsageError
from acula_edge.sources.base import Source

LinkFactory = Callable[[str, str], Source]
"""Takes the scheme and what follows its colon."""

LINKS: Final = ("serial", "ble", "tcp", "udp", "replay")
# Found by name: the runtime imports no other package of the toolkit, and a device does without it.
_LINK_MODULE: Final = "firmware_bridge.link.open"
# Two letters at least, so that the drive of a Windows path is no scheme.
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)


def open_source(
    spec: str | None,
    *,
    device: str | None = None,
    channel: int = 0,
    realtime: bool = False,
    rate: int | None = None,
    channels: int = 1,
    sample_format: str = "s16le",
) -> Source:
    """The source for `spec`, not yet entered.

    None is the microphone `device` (None: the default input); `-` is raw PCM on stdin, described by
    `rate`, `channels` and `sample_format`; `scheme:rest` is a link of the firmware extra; all else
    is a file, read in `realtime` if asked. UsageError for what does not fit together.
    """
    if spec is None:
        return _microphone(device, channel)
    if device is not None:
        raise UsageError(f"Choose either the device '{device}' or the input '{spec}', not both.")
    if spec == "-":
        return _stdin(rate, channels, channel, sample_format)
    scheme = _SCHEME.fullmatch(spec)
    if scheme and not Path(spec).exists():
        return _link(scheme[1].lower(), scheme[2])
    return _file(spec, channel, realtime)


def _microphone(device: str | None, channel: int) -> Source:
    from acula_edge.sources.microphone import Microphone  # noqa: PLC0415 - loads numpy

    return Microphone(device, channel=channel)


def _file(path: str, channel: int, realtime: bool) -> Source:
    from acula_edge.sources.files import FileSource  # noqa: PLC0415 - loads soundfile

    return FileSource(path, channel=channel, realtime=realtime)


def _stdin(rate: int | None, channels: int, channel: int, sample_format: str) -> Source:
    from acula_edge.sources.stdin import PcmSource  # noqa: PLC0415 - loads numpy

    if rate is None:
        raise UsageError("Raw sound on stdin does not tell its sample rate; give --rate.")
    return PcmSource(
        sys.stdin.buffer, rate=rate, channels=channels, channel=channel, sample_format=sample_format
    )


def _link(scheme: str, rest: str) -> Source:
    if scheme not in LINKS:
        names = ", ".join(f"{name}:" for name in LINKS)
        raise UsageError(f"No input is called '{scheme}:'; there are the links {names} and files.")
    try:
        factory: LinkFactory = import_module(_LINK_MODULE).open_link
    except ImportError as error:
        raise MissingDependencyError(
            f"{scheme}: needs the firmware extra: pip install 'acula-edge[firmware]'"
        ) from error
    return factory(scheme, rest)
