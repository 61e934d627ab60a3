from __future__ import annotations

import builtins
import json
import sys
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from acula_edge.errors import DeviceError, MissingDependencyError
from acula_edge.sources.devices import find_device, list_devices, load_portaudio, refresh_devices


class PortAudioError(Exception):
    pass


def row(name: str, host: int = 0, channels: int = 2, rate: float = 44100.0) -> dict[str, object]:
    return {
        "name": name,
        "hostapi": host,
        "max_input_channels": channels,
        "default_samplerate": rate,
    }


class FakeSoundDevice(SimpleNamespace):
    """The part of `sounddevice` that lists devices."""

    PortAudioError = PortAudioError

    def __init__(self, *rows: dict[str, object], default: int = -1) -> None:
        super().__init__(rows=list(rows), default=default, _initialized=1, calls=[])

    def query_devices(self, kind: str | None = None) -> object:
        if kind is None:
            return self.rows
        if self.default < 0:
            raise PortAudioError("Error querying device -1")
        return {"index": self.default}

    def query_hostapis(self) -> list[dict[str, str]]:
        return [{"name": "ALSA"}, {"name": "Windows WASAPI"}]

    def _terminate(self) -> None:
        self.calls.append("terminate")
        self._initialized -= 1

    def _initialize(self) -> None:
        self.calls.append("initialize")
        self._initialized += 1


ROWS = (
    row("HDA Intel PCH: ALC257 (hw:0,0)"),
    row("HDA Intel PCH: HDMI 0 (hw:0,3)", channels=0),
    row("Littmann CORE: USB Audio (hw:2,0)", channels=1, rate=4000.0),
    row("Littmann CORE: USB Audio (hw:3,0)", channels=1, rate=4000.0),
    row("Mikrofon (Größe)", host=1),
)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeSoundDevice:
    fake = FakeSoundDevice(*ROWS, default=2)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


def test_only_inputs_are_listed(machine: FakeSoundDevice) -> None:
    devices = list_devices()
    assert [device.index for device in devices] == [0, 2, 3, 4]
    assert [device.is_default for device in devices] == [False, True, False, False]
    assert (devices[1].default_rate, devices[1].channels) == (4000, 1)
    assert devices[3].host_api == "Windows WASAPI"


def test_ids_are_unique_and_readable(machine: FakeSoundDevice) -> None:
    assert [device.id for device in list_devices()] == [
        "alsa:hda-intel-pch-alc257",
        "alsa:littmann-core-usb-audio",
        "alsa:littmann-core-usb-audio#2",
        "windows-wasapi:mikrofon-größe",
    ]


def test_an_id_survives_another_card_number_and_index(machine: FakeSoundDevice) -> None:
    before = find_device("alsa:littmann-core-usb-audio")
    machine.rows = [row("Littmann CORE: USB Audio (hw:0,0)", channels=1), ROWS[0]]
    after = find_device(before.id)
    assert (before.index, after.index) == (2, 0)


@pytest.mark.parametrize(
    ("selector", "index"),
    [
        (None, 2),
        ("0", 0),
        ("3", 3),
        ("alsa:littmann-core-usb-audio#2", 3),
        ("alc257", 0),
        ("MIKRO", 4),
        ("hw:3,0", 3),
    ],
)
def test_selectors(machine: FakeSoundDevice, selector: str | None, index: int) -> None:
    assert find_device(selector).index == index


def test_an_ambiguous_name_lists_the_candidates(machine: FakeSoundDevice) -> None:
    with pytest.raises(DeviceError) as caught:
        find_device("littmann")
    text = str(caught.value)
    assert "More than one" in text
    assert "alsa:littmann-core-usb-audio)" in text
    assert "alsa:littmann-core-usb-audio#2)" in text
    assert "alc257" not in text


@pytest.mark.parametrize("selector", ["stethoscope", "1", ""])
def test_an_unknown_name_lists_what_there_is(machine: FakeSoundDevice, selector: str) -> None:
    with pytest.raises(DeviceError, match=r"alc257.*littmann.*mikrofon"):
        find_device(selector)


def test_without_a_default_the_first_input_is_taken(machine: FakeSoundDevice) -> None:
    machine.default = -1
    assert find_device().index == 0


def test_no_device_at_all(machine: FakeSoundDevice) -> None:
    machine.rows = []
    assert list_devices() == ()
    with pytest.raises(DeviceError, match="No audio input device"):
        find_device()


def test_refreshing_restarts_portaudio(machine: FakeSoundDevice) -> None:
    refresh_devices()
    assert machine.calls == ["terminate", "initialize"]
    machine._initialized = 0
    refresh_devices()
    assert machine.calls[2:] == ["initialize"]


def test_a_failed_restart_is_a_device_error(
    machine: FakeSoundDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise PortAudioError("Error initializing PortAudio: Host error [PaErrorCode -9999]", -9999)

    monkeypatch.setattr(machine, "_initialize", fail, raising=False)
    with pytest.raises(DeviceError, match=r"did not restart: Host error\.$"):
        refresh_devices()


@pytest.mark.parametrize(
    ("error", "platform", "advice"),
    [
        (OSError("PortAudio library not found"), "linux", "sudo apt-get install libportaudio2"),
        (OSError("PortAudio library not found"), "win32", "pip install --force-reinstall"),
        (ModuleNotFoundError("sounddevice"), "linux", "pip install sounddevice"),
    ],
)
def test_portaudio_missing(
    monkeypatch: pytest.MonkeyPatch, error: Exception, platform: str, advice: str
) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: object, **options: object) -> object:
        if name == "sounddevice":
            raise error
        return real(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(MissingDependencyError, match=advice) as caught:
        load_portaudio()
    assert "\n" not in str(caught.value)


@pytest.fixture
def command() -> typer.Typer:
    from acula_edge.cli.devices import devices

    app = typer.Typer()
    app.command()(devices)
    return app


def test_the_command_prints_a_table(machine: FakeSoundDevice, command: typer.Typer) -> None:
    result = CliRunner().invoke(command, [], env={"COLUMNS": "160"})
    assert result.exit_code == 0
    marked = [line for line in result.output.splitlines() if "*" in line]
    assert len(marked) == 1
    assert "alsa:littmann-core-usb-audio" in marked[0]
    assert "4000 Hz" in marked[0]


def test_the_command_prints_json_lines(machine: FakeSoundDevice, command: typer.Typer) -> None:
    result = CliRunner().invoke(command, ["--json"])
    rows = [json.loads(line) for line in result.output.splitlines()]
    assert [entry["index"] for entry in rows] == [0, 2, 3, 4]
    assert rows[3]["name"] == "Mikrofon (Größe)"
    assert set(rows[0]) == {
        "index", "id", "name", "host_api", "channels", "default_rate", "is_default",
    }  # fmt: skip


def test_the_command_fails_without_a_device(machine: FakeSoundDevice, command: typer.Typer) -> None:
    machine.rows = []
    assert isinstance(CliRunner().invoke(command, []).exception, DeviceError)
