"""The files of a bundle's text space: the projection of the teacher's vectors and the reports."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Mapping
from typing import Any

from acula_edge.bundle.manifest import Manifest, Passage, TextSpace
from acula_edge.bundle.rules import LONGEST_TEXT, is_direction, is_text
from acula_edge.bundle.strict import decode, parse_object
from acula_edge.errors import BundleError

MOST_REPORTS = 10_000
_FLOAT_BYTES = 4


def check_text_files(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """BundleError naming the file of the text space that is missing, damaged or of another size."""
    space = manifest.text
    if space is None:
        return
    for name, role in ((space.projection, "projection"), (space.reports, "reports")):
        if name is not None and name not in files:
            raise BundleError(f"{name} ({role} of the text space) is missing")
    read_projection(files[space.projection], space)
    if space.reports is not None:
        read_reports(files[space.reports], space)


def read_projection(data: bytes, space: TextSpace) -> array[float]:
    """`mean` (teacher_size,), then `basis` (teacher_size, size) row by row, as float32.

    Raises:
        BundleError: another size, or a value that is not finite.
    """
    wanted = space.teacher_size * (1 + space.size) * _FLOAT_BYTES
    if len(data) != wanted:
        raise BundleError(f"{space.projection} has {len(data)} bytes, not {wanted}")
    values = array("f", data)
    if sys.byteorder == "big":
        values.byteswap()
    # float32 values cannot overflow a double sum: it is finite if every one of them is
    if not math.isfinite(sum(values)):
        raise BundleError(f"{space.projection} holds a value that is not finite")
    return values


def read_reports(data: bytes, space: TextSpace) -> tuple[Passage, ...]:
    """The report index, in file order.

    Raises:
        BundleError: no report or too many, or a line (which is named) that is no report.
    """
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    if not 0 < len(lines) <= MOST_REPORTS:
        raise BundleError(f"{space.reports} has {len(lines)} reports, not 1 to {MOST_REPORTS}")
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            passage = _passage(parse_object(line))
        except BundleError as error:
            raise BundleError(f"{space.reports}: line {number}: {error}") from None
        at = f"{space.reports}: line {number}"
        if not is_text(passage.text):
            raise BundleError(f"{at}: 'text' must be 1 to {LONGEST_TEXT} printable characters")
        if not is_direction(passage.vector, space.size):
            raise BundleError(f"{at}: 'vector' must be a direction of {space.size} numbers")
        found.append(passage)
    return tuple(found)


def _passage(value: dict[str, Any]) -> Passage:
    text, vector = value.get("text"), value.get("vector")
    # decoding a report number by number takes longer than all other checks of it together
    numbers = isinstance(vector, list) and set(map(type, vector)) == {float}
    if isinstance(text, str) and isinstance(vector, list) and numbers and len(value) == 2:
        return Passage(text, tuple(vector))
    decoded: Passage = decode(Passage, value)
    return decoded
