"""`acula-edge listen`: hear a microphone, a file, a pipe or a link live."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acula_edge.errors import DeviceError, MissingDependencyError, UsageError

if TYPE_CHECKING:
    from acula_edge.listening import Listener, Sink
    from acula_edge.sources.base import Source


class Site(StrEnum):
    """Where the chestpiece is."""

    HEART = "heart"
    LUNG = "lung"


@dataclass(frozen=True)
class Options:
    """What was asked for; kept with a recording, so that the run can be repeated."""

    input: str | None
    device: str | None
    channel: int
    site: str | None
    model: str
    variant: str
    provider: str
    duration: float | None
    fast: bool
    rate: int | None
    channels: int
    sample_format: str


@dataclass(frozen=True)
class Input:
    """An open source, the site it is heard at, and what its licence asks to be said."""

    source: Source
    site: str | None
    credit: str = ""


def listen(
    *,
    spec: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="File, '-' (raw PCM on stdin), or a link: serial:PORT, ble:NAME, tcp:HOST:PORT, "
            "udp:HOST:PORT, replay:FILE; default: microphone.",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Microphone: id, part of the name, or index.")
    ] = None,
    channel: Annotated[int, typer.Option(min=0, help="Channel to hear; 0 is the first.")] = 0,
    site: Annotated[
        Site | None, typer.Option(help="Score this site's findings only; default: both.")
    ] = None,
    model: Annotated[str, typer.Option(help="Model bundle: name or path.")] = "heart-lung",
    variant: Annotated[str, typer.Option(help="Which artefact of the bundle.")] = "cpu-int8",
    provider: Annotated[
        str, typer.Option(help="cpu, tensorrt-ep, tensorrt or tensorrt-fp16.")
    ] = "cpu",
    key: Annotated[
        str | None, typer.Option(help="Public key that must have signed the bundle.")
    ] = None,
    json_lines: Annotated[
        bool, typer.Option("--json", help="One event per line on stdout, nothing else there.")
    ] = False,
    record: Annotated[
        Path | None, typer.Option(help="Keep sound, events and exam in a folder in here.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option(min=0.0, help="Stop after so many seconds of sound.")
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Read a file as fast as possible, not in real time.")
    ] = False,
    rate: Annotated[int | None, typer.Option(min=1, help="Sample rate on stdin.")] = None,
    channels: Annotated[int, typer.Option(min=1, help="Channels on stdin.")] = 1,
    sample_format: Annotated[
        str, typer.Option("--format", help="Samples on stdin: u8, s16le, s24le, s32le, f32le.")
    ] = "s16le",
    or_demo: Annotated[
        bool, typer.Option("--or-demo", help="Without a microphone, play the bundled recording.")
    ] = False,
) -> None:
    """Listen live; Ctrl-C ends with the exam. Research use only."""
    from acula_edge.listening import listen as run  # noqa: PLC0415 - `--help` stays fast
    from acula_edge.session import Session  # noqa: PLC0415 - loads onnxruntime

    if fast and spec is None:
        raise UsageError("--fast is for files: give one with --input FILE.")
    options = Options(
        *(spec, device, channel, site.value if site else None, model, variant, provider),
        *(duration, fast, rate, channels, sample_format),
    )
    with ExitStack() as stack:
        heard = _enter_input(stack, options, or_demo=or_demo)
        source = heard.source
        session = stack.enter_context(
            Session(
                model,
                site=heard.site,
                source_rate=source.rate,
                variant=variant,
                provider=provider,
                device=source.name if spec is None else "",
                trusted_key=key,
            )
        )
        sinks: list[Sink] = [_view(heard.credit, json_lines=json_lines)]
        if record is not None:
            sinks.append(_recording(record, source, session, options))
        outcome = run(source, session, sinks, duration=duration)
    if outcome.problems:
        raise outcome.problems[0]


def _enter_input(stack: ExitStack, options: Options, *, or_demo: bool) -> Input:
    """The source asked for, or the demo where there is no microphone and that was allowed."""
    from acula_edge.sources.open import open_source  # noqa: PLC0415 - loads numpy

    try:
        source = open_source(
            options.input,
            device=options.device,
            channel=options.channel,
            realtime=not options.fast,
            rate=options.rate,
            channels=options.channels,
            sample_format=options.sample_format,
        )
        return Input(stack.enter_context(source), options.site)
    except (DeviceError, MissingDependencyError) as error:
        if options.input is not None:
            raise
        reason = str(error).rstrip(".")
        if not or_demo:
            raise DeviceError(
                f"{reason}; without a microphone, hear a recording with --input FILE, "
                "or the bundled one with --or-demo."
            ) from error
        demo = _demo(reason, options.site)
        stack.enter_context(demo.source)
        return demo


def _demo(reason: str, site: str | None) -> Input:
    """The demo of a site; where none was asked for, it is heard at its own."""
    from acula_edge.demo import default_demo  # noqa: PLC0415 - loads only when needed
    from acula_edge.sources.open import open_source  # noqa: PLC0415

    demo = default_demo(site)
    typer.echo(f"{reason}. Playing the demo instead: {demo.title}.", err=True)
    source = open_source(str(demo.path), realtime=True)
    source.name = f"demo: {demo.title}"
    return Input(source, demo.site, f"Demo recording: {demo.attribution} {demo.licence}.")


def _view(credit: str, *, json_lines: bool) -> Sink:
    """What shows the run on stdout."""
    if json_lines:
        from acula_edge.listening import JsonSink  # noqa: PLC0415

        return JsonSink(sys.stdout, sys.stderr)
    from rich.console import Console  # noqa: PLC0415

    from acula_edge.view import view_for  # noqa: PLC0415

    return view_for(Console(), credit=credit)


def _recording(folder: Path, source: Source, session: Listener, options: Options) -> Sink:
    """What keeps the run in a folder."""
    from acula_edge.listening import RecordSink  # noqa: PLC0415
    from acula_edge.recorder import Recorder  # noqa: PLC0415

    parameters = _parameters(source, session, options)
    return RecordSink(Recorder(folder, rate=source.rate, parameters=parameters))


def _parameters(source: Source, session: Listener, options: Options) -> dict[str, object]:
    manifest = session.bundle.manifest
    return {
        "model": manifest.name,
        "model_version": manifest.version,
        "model_digest": session.bundle.digest,
        "site": session.site,
        "variant": options.variant,
        "provider": options.provider,
        "source": source.name,
        "options": asdict(options),
    }
