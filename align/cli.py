"""`acula-edge align`: a thin shell over the public functions of this package.

Each command imports what it needs: torch and transformers take seconds, and `--help` needs neither.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from align.errors import one_sentence
from align.reports_cli import app as reports_app

app = typer.Typer(
    help="Align an audio encoder to a language model, and measure what it gained.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.add_typer(reports_app, name="reports", help="Write, verify and audit clinical reports.")

RecipePath = Annotated[Path, typer.Argument(help="A recipe, such as align/recipes/conv-cpu.toml.")]
Data = Annotated[Path, typer.Option(help="Folder that holds the corpora.")]
Folder = Annotated[
    # Not --run, which torchrun takes for its own --run-path.
    Path | None, typer.Option("--folder", help="Folder of the run; default runs/<recipe name>.")
]
Cache = Annotated[Path, typer.Option(help="Folder of the teacher's embeddings.")]
CACHE = Path("runs/teacher")


@app.command("run")
def run_command(
    recipe: RecipePath, data: Data, seed: int = 0, folder: Folder = None, cache: Cache = CACHE
) -> None:
    """Pre-train and align an encoder; called again, it continues where it stopped."""
    from align.training.recipe import load_recipe  # noqa: PLC0415
    from align.training.run import open_runner  # noqa: PLC0415

    with one_sentence():
        settings = load_recipe(recipe)
        place = folder or Path("runs") / settings.name / f"seed-{seed}"
        runner = open_runner(settings, data, cache)
        typer.echo(runner.certify(settings, seed).to_json())
        runner.run(settings, place, seed)
        typer.echo(f"encoder, record and model card: {place}")


@app.command("probe")
def probe_command(
    encoder: Annotated[str, typer.Argument(help="A run's folder, an encoder's name, or hub:ID.")],
    data: Data,
    tasks: Annotated[str, typer.Option(help="all, or names with commas between them.")] = "all",
    probe: Annotated[str, typer.Option(help="ridge, logistic, or opera (its protocol).")] = "ridge",
    weights: Annotated[Path | None, typer.Option(help="Weights of a named encoder.")] = None,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Probe random weights, as a baseline.")
    ] = False,
    retrieval: Annotated[
        bool, typer.Option("--retrieval", help="Report retrieval and zero-shot classes too.")
    ] = False,
    teacher: Annotated[
        str | None, typer.Option(help="Text model of --retrieval; default: the run's own.")
    ] = None,
    cache: Cache = CACHE,
    out: Annotated[Path | None, typer.Option(help="A JSON file for everything found.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print that JSON.")] = False,
) -> None:
    """Linear probes on frozen embeddings, with patient-bootstrap intervals and baselines."""
    from align.probe.render import render, write_json  # noqa: PLC0415
    from align.probe.report import probe_encoder  # noqa: PLC0415

    with one_sentence():
        report = probe_encoder(
            encoder,
            data,
            tasks,
            probe,
            weights,
            untrained=untrained,
            retrieval=retrieval,
            teacher=teacher,
            cache=cache,
        )
        typer.echo(render(report, as_json=as_json))
        if out is not None:
            write_json(report, out)


@app.command("controls")
def controls_command(
    recipe: RecipePath,
    data: Data,
    folder: Folder = None,
    cache: Cache = CACHE,
    rows: Annotated[str, typer.Option(help="Only these rows, with commas between them.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for the table; default: none.")] = None,
) -> None:
    """Run every control at the recipe's budget; with --out, write the table of what is done.

    Several processes may run the same recipe at once and share the work.
    """
    from align.experiment.report import publish  # noqa: PLC0415
    from align.experiment.run import run_rows  # noqa: PLC0415
    from align.training.recipe import load_recipe  # noqa: PLC0415
    from align.training.run import open_runner  # noqa: PLC0415

    with one_sentence():
        settings = load_recipe(recipe)
        place = folder or Path("runs") / settings.name
        runner = open_runner(settings, data, cache)
        only = [name for name in rows.split(",") if name]
        run_rows(settings, runner, place, only=only)
        if out is not None:
            typer.echo(publish(settings, runner, place, out))


@app.command("certificate")
def certificate_command(recipe: RecipePath, data: Data, seed: int = 0) -> None:
    """Print the proof that a run's training shares no patient with its evaluation."""
    from align.training.recipe import load_recipe  # noqa: PLC0415
    from align.training.run import open_runner  # noqa: PLC0415

    with one_sentence():
        settings = load_recipe(recipe)
        runner = open_runner(settings, data, CACHE)
        typer.echo(runner.certify(settings, seed).to_json())


@app.command("convert")
def convert_command(
    encoder: Annotated[str, typer.Argument(help="opera-ct, opera-ce or opera-gt.")],
    out: Annotated[Path, typer.Argument(help="The safetensors file to write.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="The original .ckpt; default: from the hub.")
    ] = None,
) -> None:
    """Turn an original OPERA checkpoint into safetensors, checking every key and shape."""
    from align.encoders.checkpoints import convert_checkpoint, fetch_opera  # noqa: PLC0415

    with one_sentence():
        if checkpoint is None:
            typer.echo(str(fetch_opera(encoder, out.parent)))
        else:
            convert_checkpoint(checkpoint, encoder, out)
            typer.echo(str(out))
