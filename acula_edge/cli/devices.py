"""`acula-edge devices`: which inputs there are, and by which id to choose one."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from acula_edge.sources.devices import InputDevice


def devices(
    json_lines: Annotated[
        bool, typer.Option("--json", help="One JSON object per device and line.")
    ] = False,
) -> None:
    """List the audio inputs. Choose one by its id, by part of its name, or by its index."""
    from acula_edge.errors import DeviceError  # noqa: PLC0415 - `--help` stays fast
    from acula_edge.sources.devices import list_devices  # noqa: PLC0415 - loads PortAudio

    found = list_devices()
    if not found:
        raise DeviceError("No audio input device was found; connect one and try again.")
    if json_lines:
        for device in found:
            typer.echo(json.dumps(dataclasses.asdict(device)))
        return
    _print_table(found)


def _print_table(found: tuple[InputDevice, ...]) -> None:
    from rich.console import Console  # noqa: PLC0415 - `--help` stays fast
    from rich.table import Table  # noqa: PLC0415

    table = Table("", "id", "name", "channels", "rate")
    for device in found:
        mark = "*" if device.is_default else ""
        rate = f"{device.default_rate} Hz"
        table.add_row(mark, device.id, device.name, str(device.channels), rate)
    Console().print(table)
