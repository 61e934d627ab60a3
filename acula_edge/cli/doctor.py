"""`acula-edge doctor`: is this machine, its microphone and its model fit to listen?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from acula_edge.errors import AculaError, DeviceError, MissingDependencyError

if TYPE_CHECKING:
    from acula_edge.bundle import Bundle
    from acula_edge.doctor import Check, Pace
    from acula_edge.sources.base import Pcm

PACKAGES = ("acula-edge", "numpy", "onnxruntime", "sounddevice", "soundfile", "soxr")
MARKS = {"OK": "✓ OK  ", "WARN": "! WARN", "FAIL": "✕ FAIL"}


def doctor(
    *,
    device: Annotated[
        str | None, typer.Option(help="Microphone: id, part of the name, or index.")
    ] = None,
    model: Annotated[str, typer.Option(help="Model bundle: name or path.")] = "heart-lung",
    seconds: Annotated[float, typer.Option(min=0.5, help="How long to hear the input.")] = 3.0,
    json_lines: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check packages, microphone, sound, model and speed. Exit code 1 if anything fails."""
    from acula_edge.doctor import Status  # noqa: PLC0415 - `--help` stays fast

    checks = []
    for check in _checks(device, model, seconds):
        checks.append(check)
        if not json_lines:
            typer.echo(_text(check))
    if json_lines:
        record = {"schema": 1, "type": "doctor", "checks": [asdict(check) for check in checks]}
        typer.echo(json.dumps(record))
    if any(check.status is Status.FAIL for check in checks):
        raise typer.Exit(1)


def _text(check: Check) -> str:
    advice = f"\n{'':25}→ {check.advice}" if check.advice else ""
    text = f"{MARKS[check.status]}  {check.name:<17}{check.detail}{advice}"
    encoding = sys.stdout.encoding or "ascii"
    return text.encode(encoding, errors="replace").decode(encoding)


def _checks(device: str | None, model: str, seconds: float) -> Iterator[Check]:
    yield _packages()
    yield from _sound(device, seconds)
    yield from _model(model)


def _packages() -> Check:
    from importlib import metadata  # noqa: PLC0415 - 22 ms that `--help` does not need

    from acula_edge.doctor import Check, Status  # noqa: PLC0415

    found, missing = [f"Python {sys.version.split()[0]}"], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        advice = f"Install them: pip install {' '.join(missing)}"
        return Check("packages", Status.FAIL, f"missing: {', '.join(missing)}", advice)
    return Check("packages", Status.OK, ", ".join(found))


def _sound(device: str | None, seconds: float) -> Iterator[Check]:
    """PortAudio, the devices, and what the chosen one delivers; no microphone is no failure."""
    from acula_edge.doctor import Check, Status, check_capture  # noqa: PLC0415
    from acula_edge.sources.devices import (  # noqa: PLC0415
        find_device,
        list_devices,
        load_portaudio,
    )

    name = "PortAudio"
    without = "Files, stdin and links work without a microphone."
    try:
        yield Check(name, Status.OK, str(load_portaudio().get_portaudio_version()[1]))
        name = "input devices"
        listed = ", ".join(item.name for item in list_devices()) or "none"
        chosen = find_device(device)
        yield Check(name, Status.OK, f"{listed}; using {chosen.name} ({chosen.id})")
        name = "capture"
        pcm, rate, lost = _capture(device, seconds)
    except (DeviceError, MissingDependencyError) as error:
        yield Check(name, Status.WARN, str(error), without)
        return
    detail = f"{len(pcm) / rate:.1f} s at the device's own {rate} Hz, {lost} samples lost"
    if len(pcm) == 0 or lost:
        advice = "Close other programs that use sound, or choose another port."
        yield Check(name, Status.WARN, detail, advice)
    else:
        yield Check(name, Status.OK, detail)
    if len(pcm):
        yield from check_capture(pcm, rate)


def _capture(device: str | None, seconds: float) -> tuple[Pcm, int, int]:
    """Sound (n,) of the microphone, its rate, and the samples lost meanwhile."""
    import numpy as np  # noqa: PLC0415

    from acula_edge.sources.base import Block  # noqa: PLC0415
    from acula_edge.sources.open import open_source  # noqa: PLC0415

    heard = [np.zeros(0, np.float32)]
    with open_source(None, device=device) as source:
        for item in source.blocks():
            if not isinstance(item, Block):
                raise DeviceError(f"The input failed while it was heard ({item.kind.value}).")
            heard.append(item.pcm)
            if sum(map(len, heard)) >= seconds * source.rate:
                break
        return np.concatenate(heard), source.rate, source.lost_samples


def _model(model: str) -> Iterator[Check]:
    """The bundle, then its pace on the demo."""
    from acula_edge.bundle import load_bundle  # noqa: PLC0415
    from acula_edge.doctor import Check, Status, check_pace  # noqa: PLC0415

    name, advice = "model", "Give a good bundle with --model, or reinstall acula-edge."
    try:
        bundle = load_bundle(model)
        bundle.verify()
        manifest = bundle.manifest
        detail = f"{manifest.name} {manifest.version}, hashes match, {bundle.digest[:12]}"
        yield Check(name, Status.OK, detail)
        name, advice = "pace", "Reinstall acula-edge."
        yield check_pace(_pace(bundle))
    except AculaError as error:
        yield Check(name, Status.FAIL, str(error), advice)


def _pace(bundle: Bundle) -> Pace:
    """The bundled demo through a session, hop by hop at its own pace."""
    import numpy as np  # noqa: PLC0415

    from acula_edge.demo import default_demo  # noqa: PLC0415
    from acula_edge.doctor import PACED_SECONDS, run_paced  # noqa: PLC0415
    from acula_edge.session import Session  # noqa: PLC0415
    from acula_edge.sources.base import Block  # noqa: PLC0415
    from acula_edge.sources.open import open_source  # noqa: PLC0415

    manifest = bundle.manifest
    with open_source(str(default_demo(None).path), realtime=False) as source:
        blocks = [item.pcm for item in source.blocks() if isinstance(item, Block)]
        rate = source.rate
    pcm = np.concatenate(blocks)[: round(PACED_SECONDS * rate)]
    with Session(bundle, source_rate=rate) as session:
        return run_paced(session.push, pcm, round(manifest.hop * rate / manifest.rate), rate)
