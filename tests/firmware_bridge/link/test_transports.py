"""Each transport against the real thing where there is one: a pty, sockets, a file; fake bleak."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scripted_link import RATE, Sender

from acula_edge.errors import DeviceError, MissingDependencyError, UsageError
from acula_edge.events import Fault, FaultKind
from acula_edge.sources.base import Block
from firmware_bridge.link import ports
from firmware_bridge.link.connection import host_frame
from firmware_bridge.link.open import TRANSPORTS, open_link
from firmware_bridge.link.payload import EventCode
from firmware_bridge.link.simulate import Channel, Device, play
from firmware_bridge.link.transports import ble

PCM = np.random.default_rng(0).integers(-3000, 3000, 4 * RATE).astype(np.int16)
SPEED = 8.0
needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def heard_from(port: Any, spec: str, channel: Channel | None = None):
    """Play PCM into `port` while a source listens: source, blocks and faults."""
    channel = channel or Channel()

    def device() -> None:
        port.wait()
        play(channel.carry(Device(PCM, RATE).frames()), port, speed=SPEED)
        port.close()

    thread = in_background(device)
    scheme, rest = spec.split(":", 1)
    with open_link(scheme, rest) as source:
        heard = list(source.blocks())
    thread.join(5)
    return source, heard


def check_clean(heard: list[Block | Fault]) -> None:
    assert all(isinstance(item, Block) for item in heard)
    assert np.array_equal(np.concatenate([block.pcm for block in heard]) * 32768, PCM)


@needs_pty
def test_a_serial_port() -> None:
    port = ports.PtyPort()
    source, heard = heard_from(port, f"serial:{port.path}")
    check_clean(heard)
    assert source.rate == RATE
    assert source.counters.broken == 0


@needs_pty
def test_a_serial_port_with_loss() -> None:
    port = ports.PtyPort()
    channel = Channel(loss=0.05, jitter_ms=5.0, seed=2)
    source, heard = heard_from(port, f"serial:{port.path}", channel)
    assert channel.sent.samples_dropped > 0
    assert source.lost_samples == channel.sent.samples_dropped
    assert sum(item.lost for item in heard if isinstance(item, Block)) == source.lost_samples


def test_tcp() -> None:
    port = ports.TcpPort(0)
    _, heard = heard_from(port, f"tcp:127.0.0.1:{port.number}")
    check_clean(heard)


def test_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    port = ports.UdpPort("127.0.0.1", number)
    waited = threading.Event()
    port.wait = lambda: waited.wait(5)  # type: ignore[method-assign]
    threading.Timer(0.3, waited.set).start()
    _, heard = heard_from(port, f"udp:127.0.0.1:{number}", Channel(jitter_ms=60.0, reorders=True))
    blocks = [item for item in heard if isinstance(item, Block)]
    received = sum(len(block.pcm) for block in blocks)
    assert received + sum(block.lost for block in blocks) == len(PCM)
    assert received > 0.95 * len(PCM)


def test_a_replay(tmp_path: Path) -> None:
    port = ports.FilePort(tmp_path / "capture.bin")
    play(Device(PCM, RATE).frames(), port, speed=float("inf"))
    port.close()
    with open_link("replay", str(tmp_path / "capture.bin")) as source:
        check_clean(list(source.blocks()))
        assert (source.ppm, source.lag_seconds) == (None, 0.0)


@needs_pty
def test_a_serial_port_that_vanishes_and_comes_back(tmp_path: Path) -> None:
    """A link in place of the device node, as udev makes one: unplugged, then another node."""
    node = tmp_path / "ttyACM0"
    send = Sender()
    first, second = ports.PtyPort(), ports.PtyPort()
    node.symlink_to(first.path)

    def device() -> None:
        first.wait()
        first.send(send.info() + send.audio(0) + send.audio(100))
        time.sleep(0.2)
        first.close()
        node.unlink()
        time.sleep(0.3)
        node.symlink_to(second.path)
        second.wait()
        second.send(send.audio(1000) + send.event(1100, EventCode.STOP))
        time.sleep(0.5)
        second.close()

    thread = in_background(device)
    with open_link("serial", str(node)) as source:
        heard = list(source.blocks())
    thread.join(5)
    kinds = [item.kind for item in heard if isinstance(item, Fault)]
    assert kinds == [FaultKind.DEVICE_LOST, FaultKind.DEVICE_BACK]
    assert [(b.first_sample, b.lost) for b in heard if isinstance(b, Block)] == [
        *((0, 0), (100, 0), (1000, 800))
    ]
    assert source.lost_samples == 800


@needs_pty
def test_a_serial_port_in_use_is_busy() -> None:
    import serial

    port = ports.PtyPort()
    with (
        serial.Serial(port.path, exclusive=True),
        pytest.raises(DeviceError, match="cannot be opened: it is busy; close the program"),
    ):
        open_link("serial", port.path).__enter__()
    port.close()


def test_a_tcp_device_that_hangs_up_is_connected_to_again() -> None:
    send = Sender()
    server = socket.create_server(("127.0.0.1", 0))

    def device() -> None:
        with server.accept()[0] as host:
            host.sendall(send.info() + send.audio(0))
        with server.accept()[0] as host:
            host.sendall(send.audio(300) + send.event(400, EventCode.STOP))
            time.sleep(0.3)

    in_background(device)
    with open_link("tcp", f"127.0.0.1:{server.getsockname()[1]}") as source:
        heard = list(source.blocks())
    server.close()
    assert [item.kind for item in heard if isinstance(item, Fault)] == [
        *(FaultKind.DEVICE_LOST, FaultKind.DEVICE_BACK)
    ]
    assert source.lost_samples == 200


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("serial:/dev/no-such-port", r"serial:/dev/no-such-port cannot be opened: No such file"),
        ("serial:/dev/null", r"serial:/dev/null cannot be opened: Inappropriate ioctl"),
        ("tcp:127.0.0.1:1", r"tcp:127.0.0.1:1 does not answer: Connection refused"),
        ("udp:203.0.113.1:5000", r"udp:203.0.113.1:5000 cannot be listened at"),
        ("replay:no/such/file", r"replay:no/such/file cannot be opened: No such file"),
        ("replay:" + os.devnull, r"sent no INFO packet of an AcuLa link \(0 other"),
    ],
)
def test_what_cannot_be_opened_is_one_sentence(spec: str, sentence: str) -> None:
    scheme, rest = spec.split(":", 1)
    with pytest.raises(DeviceError, match=sentence) as caught, open_link(scheme, rest):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "spec",
    [
        *("tcp:", "tcp:host", "tcp:host:", "tcp:host:0", "tcp:host:65536", "udp::5", "tcp:h:²"),
        *("serial:", "serial:@9600", "serial:/dev/x@", "serial:/dev/x@fast", "ble:"),
    ],
)
def test_addresses_that_are_none(spec: str) -> None:
    scheme, rest = spec.split(":", 1)
    with pytest.raises(UsageError, match="should be"):
        TRANSPORTS[scheme](rest)


def test_addresses_of_every_form() -> None:
    from firmware_bridge.link.transports.base import host_and_port
    from firmware_bridge.link.transports.serial_port import _port_and_baud

    assert host_and_port("tcp", "[::1]:7000") == ("::1", 7000)
    assert _port_and_baud("COM3") == ("COM3", 115_200)
    assert _port_and_baud("/dev/ttyUSB0@921600") == ("/dev/ttyUSB0", 921_600)


@pytest.mark.parametrize(("spec", "library"), [("serial:/dev/x", "serial"), ("ble:x", "bleak")])
def test_a_library_that_is_missing_is_named(
    spec: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    scheme, rest = spec.split(":", 1)
    with (
        pytest.raises(MissingDependencyError, match=r"pip install 'acula-edge\[firmware\]'"),
        open_link(scheme, rest),
    ):
        pass


class FakeBleak(ModuleType):
    """One device in the air that notifies `steps`: bytes, or None where it goes out of range."""

    def __init__(self, name: str, steps: list[bytes | None], service: str = ble.SERVICE) -> None:
        super().__init__("bleak")
        self.written: list[tuple[str, bytes, bool]] = []
        self.connections = 0
        air = self

        class BleakScanner:
            @staticmethod
            async def find_device_by_filter(filterfunc: Any, timeout: float) -> Any:
                device = SimpleNamespace(name=name, address="AA:BB:CC:DD:EE:FF")
                return device if filterfunc(device, SimpleNamespace(local_name=name)) else None

        class BleakClient:
            def __init__(self, device: Any, disconnected_callback: Any, timeout: float) -> None:
                self.gone = disconnected_callback
                self.services = SimpleNamespace(
                    get_service=lambda uuid: uuid if uuid == service else None
                )

            async def connect(self) -> None:
                air.connections += 1

            async def disconnect(self) -> None: ...

            async def start_notify(self, uuid: str, heard: Any) -> None:
                assert uuid == ble.NOTIFY
                while steps:
                    step = steps.pop(0)
                    if step is None:
                        self.gone(self)
                        return
                    heard(None, bytearray(step))

            async def write_gatt_char(self, uuid: str, data: bytes, response: bool) -> None:
                air.written.append((uuid, data, response))

        self.BleakScanner, self.BleakClient = BleakScanner, BleakClient


@pytest.mark.parametrize("name", ["Stetho", "stetho", "aa:bb:cc:dd:ee:ff"])
def test_ble_in_notifications_of_any_length(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = b"".join(timed.frame for timed in Device(PCM, RATE).frames())
    cuts = [stream[start : start + 20] for start in range(0, len(stream), 20)]
    fake = FakeBleak("Stetho", list(cuts))
    monkeypatch.setitem(sys.modules, "bleak", fake)
    with open_link("ble", name) as source:
        check_clean(list(source.blocks()))
    assert fake.written == [
        (ble.WRITE, host_frame(EventCode.START), True),
        (ble.WRITE, host_frame(EventCode.STOP), True),
    ]


def test_ble_out_of_range_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    send = Sender()
    steps = [send.info(), send.audio(0), None, send.audio(700), send.event(800, EventCode.STOP)]
    fake = FakeBleak("Stetho", steps)
    monkeypatch.setitem(sys.modules, "bleak", fake)
    with open_link("ble", "Stetho") as source:
        heard = list(source.blocks())
    assert fake.connections == 2
    assert [item.kind for item in heard if isinstance(item, Fault)] == [
        *(FaultKind.DEVICE_LOST, FaultKind.DEVICE_BACK)
    ]
    assert source.lost_samples == 600


def test_ble_that_is_not_there_or_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bleak", FakeBleak("Stetho", []))
    with pytest.raises(DeviceError, match="No Bluetooth device called 'Other' is in range"):
        open_link("ble", "Other").__enter__()
    other = "0000180d-0000-1000-8000-00805f9b34fb"
    monkeypatch.setitem(sys.modules, "bleak", FakeBleak("Band", [], service=other))
    with pytest.raises(DeviceError, match="ble:Band has no AcuLa link service"):
        open_link("ble", "Band").__enter__()


def test_a_computer_without_bluetooth_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeBleak("Stetho", [])

    async def broken(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(fake.BleakScanner, "find_device_by_filter", staticmethod(broken))
    monkeypatch.setitem(sys.modules, "bleak", fake)
    before = threading.active_count()
    with pytest.raises(DeviceError, match="this computer has no Bluetooth service"):
        open_link("ble", "Stetho").__enter__()
    time.sleep(0.1)
    assert threading.active_count() <= before  # the loop's thread has ended


def test_the_fake_has_what_bleak_has() -> None:
    bleak = pytest.importorskip("bleak")
    import inspect

    scan = inspect.signature(bleak.BleakScanner.find_device_by_filter).parameters
    assert {"filterfunc", "timeout"} <= set(scan)
    client = inspect.signature(bleak.BleakClient.__init__).parameters
    assert {"disconnected_callback", "timeout"} <= set(client)
    write = inspect.signature(bleak.BleakClient.write_gatt_char).parameters
    assert "response" in write
