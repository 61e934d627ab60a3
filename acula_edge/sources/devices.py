"""Input devices under names that survive a reboot, and the one way to load PortAudio."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from acula_edge.errors import DeviceError, MissingDependencyError


@dataclass(frozen=True)
class InputDevice:
    """An input of this machine. `index` may change at every start; `id` does not."""

    index: int
    id: str
    name: str
    host_api: str
    channels: int
    default_rate: int
    is_default: bool


def load_portaudio() -> ModuleType:
    """The `sounddevice` module; MissingDependencyError where it or PortAudio is absent."""
    try:
        import sounddevice  # noqa: PLC0415 - files and stdin must work without PortAudio
    except OSError as error:
        raise MissingDependencyError(_portaudio_advice()) from error
    except ImportError as error:
        raise MissingDependencyError(
            "Microphones need the sounddevice package: pip install sounddevice"
        ) from error
    module: ModuleType = sounddevice
    return module


def list_devices() -> tuple[InputDevice, ...]:
    """All input devices in PortAudio's order, possibly none, as they were at its last start."""
    sounddevice = load_portaudio()
    try:
        rows = list(sounddevice.query_devices())
        hosts = [str(host["name"]) for host in sounddevice.query_hostapis()]
    except sounddevice.PortAudioError as error:
        raise DeviceError(f"The audio devices cannot be listed: {reason(error)}.") from error
    return _describe(rows, hosts, _default_index(sounddevice))


def find_device(selector: str | None = None) -> InputDevice:
    """The device with this index, id, or part of a name in any case; None is the default input.

    DeviceError where there is none, or where more than one name contains `selector`.
    """
    devices = list_devices()
    if not devices:
        raise DeviceError("No audio input device was found; connect one, or give a file or '-'.")
    if selector is None:
        return next((device for device in devices if device.is_default), devices[0])
    for device in devices:
        if selector in (device.id, str(device.index)):
            return device
    return _by_name(selector, devices)


def refresh_devices() -> None:
    """Restart PortAudio, which freezes its device list; every open stream of the process dies.

    DeviceError where it does not come up again.
    """
    sounddevice = load_portaudio()
    try:
        if sounddevice._initialized:
            sounddevice._terminate()
        sounddevice._initialize()
    except sounddevice.PortAudioError as error:
        raise DeviceError(f"The audio system did not restart: {reason(error)}.") from error


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Silence what ALSA and PortAudio print from C; their errors reach the user as sentences."""
    try:
        saved = os.dup(2)
    except OSError:
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, not a path of ours
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def reason(error: BaseException) -> str:
    """PortAudio's own words without its numbers: 'Device unavailable'."""
    text = str(error.args[0]) if error.args else type(error).__name__
    return re.sub(r"\s*\[PaErrorCode[^]]*\]", "", text).rsplit(": ", 1)[-1].rstrip(".")


def _describe(
    rows: list[Mapping[str, Any]], hosts: list[str], default: int
) -> tuple[InputDevice, ...]:
    seen: dict[str, int] = {}
    devices = []
    for index, row in enumerate(rows):
        if int(row["max_input_channels"]) < 1:
            continue
        host = hosts[int(row["hostapi"])]
        stem = _stable_id(host, str(row["name"]))
        seen[stem] = seen.get(stem, 0) + 1
        devices.append(
            InputDevice(
                index=index,
                id=stem if seen[stem] == 1 else f"{stem}#{seen[stem]}",
                name=str(row["name"]),
                host_api=host,
                channels=int(row["max_input_channels"]),
                default_rate=round(float(row["default_samplerate"])),
                is_default=index == default,
            )
        )
    return tuple(devices)


def _stable_id(host: str, name: str) -> str:
    """`alsa:core-usb-audio` for 'CORE: USB Audio (hw:1,0)': ALSA numbers cards as they arrive."""
    bare = re.sub(r"\s*\(hw:\d+,(\d+)\)", lambda m: "" if m[1] == "0" else f" {m[1]}", name)
    return f"{_slug(host)}:{_slug(bare)}"


def _slug(text: str) -> str:
    return re.sub(r"[\W_]+", "-", text.lower()).strip("-")


def _default_index(sounddevice: ModuleType) -> int:
    try:
        return int(sounddevice.query_devices(kind="input")["index"])
    except (sounddevice.PortAudioError, ValueError):
        return -1


def _by_name(selector: str, devices: tuple[InputDevice, ...]) -> InputDevice:
    wanted = selector.casefold()
    found = [device for device in devices if wanted and wanted in device.name.casefold()]
    if len(found) == 1:
        return found[0]
    candidates = ", ".join(f"{d.name} ({d.id})" for d in found or devices)
    if found:
        raise DeviceError(f"More than one input device matches '{selector}': {candidates}.")
    raise DeviceError(f"No input device matches '{selector}'; there are: {candidates}.")


def _portaudio_advice() -> str:
    if sys.platform.startswith("linux"):
        return "Microphones need PortAudio: sudo apt-get install libportaudio2"
    return "Microphones need PortAudio: pip install --force-reinstall sounddevice"
