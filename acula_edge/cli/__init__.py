"""The `acula-edge` command: a thin shell over public functions.

Command modules import only typer at the top; what is heavy (numpy, onnxruntime) loads inside the
command, so that `--help` answers at once.
"""

from __future__ import annotations

import sys

import typer

from acula_edge.cli import classify, devices, doctor, listen, model, toolkit
from acula_edge.errors import AculaError

app = typer.Typer(
    name="acula-edge",
    help="Hear murmurs, crackles and wheezes live, on the device. Research use only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # rich takes 0.1 s to draw a help page
)
app.command()(listen.listen)
app.command()(classify.classify)
app.command()(devices.devices)
app.command()(doctor.doctor)
app.add_typer(model.app, name="model")
toolkit.register(app)


def main() -> None:
    """Entry point: an error the user can act on is one sentence and an exit code."""
    try:
        app()
    except AculaError as error:
        print(f"acula-edge: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
