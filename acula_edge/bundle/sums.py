"""`SHA256SUMS`: the list of a bundle's files and their hashes, as `sha256sum -c` reads it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from acula_edge.bundle.rules import is_plain
from acula_edge.errors import BundleError

SUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.minisig"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S+)")


def sha256(data: bytes) -> str:
    """64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def write_sums(files: Mapping[str, bytes]) -> bytes:
    """The list for these files, sorted by name."""
    return "".join(f"{sha256(files[name])}  {name}\n" for name in sorted(files)).encode()


def parse_sums(data: bytes) -> dict[str, str]:
    """File name -> hash; BundleError for a line of another form, a folder or a name twice."""
    try:
        lines = data.decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise BundleError(f"{SUMS} is not plain text") from None
    sums: dict[str, str] = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None or not is_plain(match[2]) or match[2] in (SUMS, SIGNATURE):
            raise BundleError(f"{SUMS} has a line that is no hash and file name: {line[:100]!r}")
        if match[2] in sums:
            raise BundleError(f"{SUMS} lists {match[2]} twice")
        sums[match[2]] = match[1]
    return sums


def check_sums(files: Mapping[str, bytes]) -> dict[str, str]:
    """The parsed list, once every file is listed, present and unchanged; else BundleError."""
    if SUMS not in files:
        raise BundleError(f"{SUMS} is missing")
    sums = parse_sums(files[SUMS])
    if missing := sorted(sums.keys() - files.keys()):
        raise BundleError(f"{missing[0]} is listed in {SUMS} but missing")
    if unlisted := sorted(files.keys() - sums.keys() - {SUMS, SIGNATURE}):
        raise BundleError(f"{unlisted[0]} is not listed in {SUMS}")
    for name, digest in sums.items():
        if sha256(files[name]) != digest:
            raise BundleError(f"{name} does not match its hash in {SUMS}")
    return sums
