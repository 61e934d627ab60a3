"""`acula-edge firmware`: the model as C, its proof, and the link to a stethoscope."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from firmware_bridge.example.cli import example
from firmware_bridge.link.cli import simulate
from firmware_bridge.verify.cli import verify

app = typer.Typer(
    help="The model as C for microcontrollers, its proof, and the link to a stethoscope.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command()
def export(
    bundle: Annotated[str, typer.Argument(help="Shipped bundle, or a path: heart-lung-xs.")],
    out: Annotated[Path, typer.Argument(help="Folder; an earlier export in it is replaced.")],
    target: Annotated[str, typer.Option(help="generic, zephyr, arduino or esp-idf.")] = "generic",
    variant: Annotated[str, typer.Option(help="The bundle's integer artefact.")] = "mcu-int8",
) -> None:
    """Write the folder that a firmware team compiles: C99, tables, golden vectors, card, hashes."""
    from acula_edge.bundle import load_bundle  # noqa: PLC0415 - numpy
    from firmware_bridge.emit.core import export_firmware  # noqa: PLC0415 - numpy and onnx

    written = export_firmware(load_bundle(bundle), out, target, variant)
    typer.echo(f"{written.folder}: {len(written.files)} files for {target}")
    for reason in written.left_out:
        typer.echo(f"left out: {reason}", err=True)


app.command()(verify)
app.command()(simulate)
app.command()(example)
