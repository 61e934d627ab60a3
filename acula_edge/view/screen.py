"""Paints frames onto a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import COLOR_SYSTEMS, Console
from rich.segment import Segment
from rich.style import Style

from acula_edge.view.parts import PLAIN, Line

NARROWEST = 60


class Screen:
    """Paints frames over each other at the bottom of a terminal, and keeps its history intact."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._height = 0
        self._codes: dict[int, tuple[str, str, Style]] = {}
        console.show_cursor(False)

    def draw(self, lines: Sequence[Line]) -> None:
        """Replace the frame; what does not fit the terminal is cut."""
        width, height = self._console.size
        shown = lines[: max(1, height - 1)]
        if width < NARROWEST:
            shown = [Segment.adjust_line_length(line, width) for line in shown]
        back = f"\x1b[{self._height}A" if self._height else ""
        rows = "".join(self._paint(line) + "\x1b[K\n" for line in shown)
        self._console.file.write(f"\r{back}{rows}\x1b[J")
        self._console.file.flush()
        self._height = len(shown)

    def close(self) -> None:
        """Leave the last frame, and the cursor below it."""
        self._console.show_cursor(True)

    def _paint(self, line: Line) -> str:
        parts: list[str] = []
        for text, style, _ in line:
            code = self._codes.get(id(style)) or self._code(style or PLAIN)
            parts += (code[0], text, code[1])
        return "".join(parts)

    def _code(self, style: Style) -> tuple[str, str, Style]:
        """Escapes around text, kept by identity, as hashing styles costs more; so is the style."""
        system = COLOR_SYSTEMS.get(self._console.color_system or "")
        look = style.without_color if self._console.no_color else style
        before, after = look.render("\0", color_system=system).split("\0")
        code = self._codes[id(style)] = (before, after, style)
        return code
