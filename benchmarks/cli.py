"""`acula-edge bench`: latency against accuracy, and cost side by side with peers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from acula_edge.errors import DeviceError, MissingDependencyError
from benchmarks.accuracy.cli import accuracy
from benchmarks.cost import compare_cost
from benchmarks.latency.cli import latency
from benchmarks.peers.cli import peers
from benchmarks.report.cli import compare, render
from benchmarks.report_cli import report
from benchmarks.startup import measure_start
from benchmarks.virtual_stethoscope import capture_ramp, missing_tools, pulse_server

app = typer.Typer(
    help="Latency against accuracy in one report; cost and capture beside peers, in one run.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
RECIPE = Path(__file__).parents[1] / "align" / "recipes" / "conv-cpu.toml"
Model = Annotated[str, typer.Option(help="Shipped bundle, or a path to one.")]
app.command()(report)
app.command()(latency)
app.command()(accuracy)
app.command()(peers)
app.command()(compare)
app.command()(render)


@app.command()
def cost(
    model: Model = "heart-lung",
    variant: Annotated[str, typer.Option()] = "cpu-int8",
    pairs: Annotated[int, typer.Option(help="Pairs of measurements.")] = 20,
    seconds: Annotated[float, typer.Option(help="Sound per measurement.")] = 5.0,
) -> None:
    """CPU per second of audio of the whole path beside Silero VAD, flat out and paced."""
    for paced in (False, True):
        result = compare_cost(model, variant=variant, paced=paced, pairs=pairs, seconds=seconds)
        typer.echo(
            f"{result.mode}: ours {result.ours_ms:.2f} ms, Silero VAD {result.peer_ms:.2f} ms CPU"
            f" per second of audio; ratio {result.ratio} of {seconds:g} s"
        )


@app.command()
def floor(
    model: Model = "heart-lung",
    variant: Annotated[str, typer.Option()] = "cpu-int8",
    pairs: Annotated[int, typer.Option(min=2, help="Pairs of measurements.")] = 20,
) -> None:
    """CPU per second of audio of the stream graph, beside Silero VAD and a bare matrix product."""
    from acula_edge.bundle import load_bundle  # noqa: PLC0415
    from benchmarks.floor import measure_floor  # noqa: PLC0415

    bundle = load_bundle(model)
    hop_seconds = bundle.manifest.hop / bundle.manifest.rate
    result = measure_floor(bundle.graph(variant, "stream"), hop_seconds, pairs=pairs)
    typer.echo(
        f"{result.nodes} nodes, {result.macs.int8} int8 and {result.macs.float32} float32"
        f" multiply-accumulates a hop; {result.graph_ms:.2f} ms CPU per second of audio, its"
        f" int8 layers alone {result.layers_ms:.2f} ms; to Silero VAD {result.to_silero}; to the"
        f" machine's matrix product {result.to_floor}"
    )


@app.command()
def start(
    model: Model = "heart-lung",
    runs: Annotated[int, typer.Option(help="Processes started, after two to warm up.")] = 15,
) -> None:
    """Cold start to the first event, `--help`, and memory."""
    for result in measure_start(model, runs):
        typer.echo(
            f"{result.what}: median {result.median:.2f} s ({result.fastest:.2f} to"
            f" {result.slowest:.2f}, {result.runs} runs), peak RSS {result.rss_mib:.0f} MiB"
        )


@app.command()
def capture(
    seconds: Annotated[float, typer.Option(help="Length of the run.")] = 60.0,
) -> None:
    """Count lost and misplaced samples, and lag, on a virtual microphone (PulseAudio)."""
    missing = missing_tools()
    if missing:
        raise DeviceError(f"a virtual microphone needs {missing}: apt-get install pulseaudio")
    with pulse_server() as server:
        result = capture_ramp(server, seconds)
    typer.echo(
        f"{result.samples} samples: {result.lost} lost, {result.misplaced} misplaced,"
        f" {result.overflow_faults} overflows; lag median {result.median_lag:.3f} s, largest"
        f" {result.largest_lag:.3f} s; {100 * result.cpu_share:.1f} % of a core"
    )


@app.command()
def throughput(
    recipe: Annotated[Path, typer.Option(help="Alignment recipe: batch, heads, loss.")] = RECIPE,
    encoder: Annotated[
        str | None, typer.Option(help="Another encoder, such as vit-ti-mae; default: the recipe's.")
    ] = None,
    teacher: Annotated[str, typer.Option(help="minilm, a hub id, or a local folder.")] = "minilm",
    data: Annotated[Path | None, typer.Option(help="The corpora; default: noise.")] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of measurements.")] = 10,
    steps: Annotated[int, typer.Option(min=1, help="Training steps per measurement.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Clips per second of training: our loop beside the released AcuLa design."""
    try:
        from align.errors import one_sentence  # noqa: PLC0415
        from align.training.recipe import load_recipe  # noqa: PLC0415
        from benchmarks.throughput import compare_throughput  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            f"'acula-edge bench throughput' needs {error.name}:"
            " pip install 'acula-edge[align,bench]'"
        ) from None
    with one_sentence():
        result = compare_throughput(
            load_recipe(recipe), encoder=encoder, teacher=teacher, data=data, pairs=pairs,
            steps=steps,
        )  # fmt: skip
    typer.echo(json.dumps(result.to_dict(), indent=2) if as_json else "\n".join(result.lines()))
