"""`acula-edge firmware simulate`: a recording, played as a stethoscope behind a link plays it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acula_edge.errors import UsageError

if TYPE_CHECKING:
    from firmware_bridge.link.simulate import Port


class CodecName(StrEnum):
    """How the sound is coded."""

    PCM16 = "pcm16"
    ADPCM = "adpcm"


def simulate(
    recording: Annotated[Path, typer.Argument(help="What the device hears.")],
    *,
    serial: Annotated[
        bool, typer.Option("--serial", help="A pseudo-terminal, whose path is printed.")
    ] = False,
    tcp: Annotated[
        int | None, typer.Option(min=0, max=65535, help="A TCP port of this computer; 0: any.")
    ] = None,
    udp: Annotated[str | None, typer.Option(help="HOST:PORT to send datagrams to.")] = None,
    out: Annotated[Path | None, typer.Option(help="A file to replay, written at once.")] = None,
    codec: Annotated[CodecName, typer.Option(help="How the sound is coded.")] = CodecName.PCM16,
    loss: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of packets that never arrive.")
    ] = 0.0,
    corrupt: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of packets that arrive damaged.")
    ] = 0.0,
    jitter_ms: Annotated[float, typer.Option(min=0.0, help="Longest delay of a packet.")] = 0.0,
    drift_ppm: Annotated[
        float, typer.Option(min=-500_000.0, help="How much too fast the device samples.")
    ] = 0.0,
    speed: Annotated[float, typer.Option(min=0.01, help="1 is real time.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 0,
) -> None:
    """Play RECORDING as a device on a link, for `acula-edge listen --input ...`."""
    from firmware_bridge.link.packet import Codec  # noqa: PLC0415 - `--help` stays fast
    from firmware_bridge.link.simulate import Channel, Device, play, read_recording  # noqa: PLC0415

    if sum((serial, tcp is not None, udp is not None, out is not None)) != 1:
        raise UsageError("Choose one of --serial, --tcp PORT, --udp HOST:PORT and --out FILE.")
    pcm, rate = read_recording(recording)
    device = Device(pcm, rate, codec=Codec[codec.name], drift_ppm=drift_ppm)
    channel = Channel(
        loss=loss,
        corrupt=corrupt,
        jitter_ms=jitter_ms,
        reorders=udp is not None,
        seed=seed,
    )
    port, address = _port(serial=serial, tcp=tcp, udp=udp, out=out)
    try:
        typer.echo(f"acula-edge listen --input {address}")
        port.wait()
        frames = channel.carry(device.frames())
        heard = play(frames, port, speed=float("inf") if out is not None else speed)
    finally:
        port.close()
    sent = channel.sent
    typer.echo(
        f"{'Sent' if heard else 'The host left after'} {sent.packets} packets, "
        f"{sent.samples} samples at {rate} Hz; {sent.dropped} packets ({sent.samples_dropped} "
        f"samples) dropped, {sent.corrupted} damaged."
    )


def _port(*, serial: bool, tcp: int | None, udp: str | None, out: Path | None) -> tuple[Port, str]:
    """Where to send, and what to listen to."""
    from firmware_bridge.link import ports  # noqa: PLC0415
    from firmware_bridge.link.transports.base import host_and_port  # noqa: PLC0415

    if serial:
        pty = ports.PtyPort()
        return pty, f"serial:{pty.path}"
    if tcp is not None:
        server = ports.TcpPort(tcp)
        return server, f"tcp:127.0.0.1:{server.number}"
    if udp is not None:
        return ports.UdpPort(*host_and_port("udp", udp)), f"udp:{udp}"
    if out is None:
        raise UsageError("There is nowhere to send.")
    return ports.FilePort(out), f"replay:{out}"
