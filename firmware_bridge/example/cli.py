"""`acula-edge firmware example`: a thin shell over `run_example`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def example(
    folder: Annotated[
        Path, typer.Argument(help="What `firmware export` wrote; its C is run here.")
    ],
    recording: Annotated[Path, typer.Argument(help="What the stethoscope hears.")],
    on: Annotated[str, typer.Option(help="m4 or m7.")] = "m4",
) -> None:
    """Run the example stethoscope in QEMU and print the results that its UART sends."""
    from firmware_bridge.example.run import run_example  # noqa: PLC0415 - numpy and cobs
    from firmware_bridge.link.payload import Info  # noqa: PLC0415
    from firmware_bridge.verify.case import sound_of  # noqa: PLC0415
    from firmware_bridge.verify.folder import read_folder  # noqa: PLC0415

    firmware = read_folder(folder)
    about = firmware.about
    for sent in run_example(firmware, sound_of(recording, about.rate).pcm, core=on):
        if isinstance(sent, Info):
            typer.echo(f"{sent.name}: model {sent.model.hex()[:12]}, {sent.rate} Hz")
            continue
        end = (sent.hop + 1) * about.hop / about.rate
        pairs = zip(about.findings, sent.probabilities, strict=True)
        shown = "  ".join(f"{name} {value:.3f}" for name, value in pairs)
        typer.echo(f"{end:8.2f} s  {sent.quality.value:6}  {shown}")
