"""Draw docs/listen.svg: the live view at the end of the demo recording.

python docs/draw_listen.py
"""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from acula_edge.demo import default_demo
from acula_edge.listening import Run
from acula_edge.session import Session
from acula_edge.sources.base import Block
from acula_edge.sources.open import open_source
from acula_edge.view.live import LiveView

WIDTH, HEIGHT = 110, 32
TARGET = Path(__file__).with_name("listen.svg")


def draw() -> None:
    """Hear the demo through the real session and view, and save the last frame."""
    demo = default_demo("heart")
    console = Console(
        file=io.StringIO(),
        record=True,
        width=WIDTH,
        height=HEIGHT,
        force_terminal=True,
        color_system="truecolor",
    )
    with (
        open_source(str(demo.path)) as source,
        Session(site="heart", source_rate=source.rate) as session,
    ):
        source.name = demo.title
        view = LiveView(console)
        view.start(Run.of(source, session))
        for item in source.blocks():
            if isinstance(item, Block):
                view.block(item)
                view.events(session.push(item.pcm, item.lost))
        view.close()
        console._record_buffer.clear()  # the frames painted so far
        console.print(view)
        TARGET.write_text(console.export_svg(title="acula-edge listen --site heart"))


if __name__ == "__main__":
    draw()
