"""What a listener sees: a live view for terminals, plain lines elsewhere, and the exam's summary.

`picture` draws sound, `words` says events, `parts` has bars and fitted text, `screen` paints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from acula_edge.listening import Sink


def view_for(console: Console, *, credit: str = "") -> Sink:
    """The live view where the console can draw it, else plain lines.

    `credit` is what the recording's licence asks to be said; it ends the exam's summary.
    """
    drawable = console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows
    if drawable and console.encoding.lower().startswith("utf"):
        from acula_edge.view.live import LiveView  # noqa: PLC0415 - only the view in use loads

        return LiveView(console, credit=credit)
    from acula_edge.view.plain import PlainView  # noqa: PLC0415

    return PlainView(console, credit=credit)
