"""The simulated device: what it sends and when, what its channel does, and the command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from sounds import heartbeat
from typer.testing import CliRunner, Result

from acula_edge.errors import AudioFileError, DeviceError, UsageError
from firmware_bridge.link.cli import simulate
from firmware_bridge.link.packet import Codec, PacketType
from firmware_bridge.link.payload import Info
from firmware_bridge.link.ports import FilePort, PtyPort, TcpPort
from firmware_bridge.link.receiver import Receiver
from firmware_bridge.link.simulate import Channel, Device, Timed, play

RATE = 4000
PCM = np.arange(20 * RATE, dtype=np.int16)
needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")


def test_a_device_says_what_the_specification_asks() -> None:
    frames = list(Device(PCM, RATE, codec=Codec.ADPCM).frames())
    packets = Receiver("device").push(b"".join(timed.frame for timed in frames))
    kinds = [packet.type for packet in packets]
    assert kinds[:4] == [PacketType.EVENT, PacketType.INFO, PacketType.SYNC, PacketType.AUDIO]
    assert kinds[-3:] == [PacketType.EVENT] * 3
    assert kinds.count(PacketType.INFO) == kinds.count(PacketType.SYNC) == 20
    assert kinds.count(PacketType.AUDIO) == 20 * RATE // 128
    assert Info.of(packets[1].payload).codec is Codec.ADPCM
    assert sum(timed.samples for timed in frames) == len(PCM)


@pytest.mark.parametrize("ppm", [0.0, 200.0, -5000.0])
def test_drift_is_how_much_too_fast_packets_come(ppm: float) -> None:
    last = list(Device(PCM, RATE, drift_ppm=ppm).frames())[-1]
    assert last.at == pytest.approx(20 / (1 + ppm * 1e-6))


@pytest.mark.parametrize("rate", [500, 4000, 44_100, 384_000])
def test_packets_fit_at_every_rate(rate: int) -> None:
    pcm = np.zeros(rate // 2, np.int16)
    for codec in (Codec.PCM16, Codec.ADPCM):
        receiver = Receiver("rate")
        for timed in Device(pcm, rate, codec=codec).frames():
            assert len(receiver.push(timed.frame)) == 1


def test_a_channel_does_what_it_was_asked() -> None:
    frames = [Timed(n * 0.01, bytes([n % 256]) * 20, 128) for n in range(20_000)]
    channel = Channel(loss=0.1, corrupt=0.05, duplicate=0.02, jitter_ms=25.0, seed=1)
    arrived = list(channel.carry(frames))
    sent = channel.sent
    assert sent.packets == 20_000
    assert sent.dropped == pytest.approx(2000, abs=150)
    assert sent.samples_dropped == 128 * sent.dropped
    assert sent.corrupted == pytest.approx(900, abs=120)
    assert len(arrived) == 20_000 - sent.dropped + sent.duplicated
    times = [timed.at for timed in arrived]
    assert times == sorted(times)
    clean = Channel(jitter_ms=25.0, seed=2)
    late = [a.at - b.at for a, b in zip(clean.carry(frames), frames, strict=True)]
    assert min(late) >= 0
    assert 0.0225 < max(late) <= 0.025
    again = Channel(loss=0.1, corrupt=0.05, duplicate=0.02, jitter_ms=25.0, seed=1)
    assert list(again.carry(frames)) == arrived


def test_a_stream_keeps_its_order_and_datagrams_do_not() -> None:
    frames = [Timed(n * 0.01, n.to_bytes(4, "big")) for n in range(500)]
    stream = [timed.frame for timed in Channel(jitter_ms=50.0).carry(frames)]
    assert stream == sorted(stream)
    datagrams = [timed.frame for timed in Channel(jitter_ms=50.0, reorders=True).carry(frames)]
    assert datagrams != sorted(datagrams)
    assert sorted(datagrams) == stream


def test_options_out_of_range() -> None:
    for options in ({"loss": 1.5}, {"corrupt": -0.1}, {"jitter_ms": -1.0}):
        with pytest.raises(UsageError):
            Channel(**options)


def test_a_host_that_leaves_ends_the_play() -> None:
    class Left:
        def wait(self) -> None: ...
        def close(self) -> None: ...
        def send(self, data: bytes) -> None:
            raise BrokenPipeError

    assert not play(Device(PCM, RATE).frames(), Left(), speed=1e6)


@needs_pty
def test_a_host_that_reads_nothing_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.link.ports._PATIENCE_SECONDS", 0.2)
    port = PtyPort()
    assert not play(Device(PCM, RATE).frames(), port, speed=1e6)
    port.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk_is_one_sentence() -> None:
    with pytest.raises(DeviceError, match="/dev/full cannot be written: No space left"):
        play(Device(PCM, RATE).frames(), FilePort(Path("/dev/full")), speed=1e6)


def test_a_port_that_is_taken_is_one_sentence() -> None:
    taken = TcpPort(0)
    with pytest.raises(DeviceError, match=f"TCP port {taken.number} cannot be listened at"):
        TcpPort(taken.number)
    taken.close()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "heart.wav"
    soundfile.write(path, heartbeat(8), RATE, "PCM_16")
    return path


def command(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(simulate)
    return CliRunner().invoke(app, [str(item) for item in arguments])


def test_to_a_file_at_once(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "capture.bin"
    done = command(recording, "--out", out, "--loss", "0.2", "--codec", "adpcm", "--seed", "3")
    assert done.exit_code == 0, done.output
    assert f"--input replay:{out}" in done.output
    found = re.search(r"32000 samples at 4000 Hz; (\d+) packets", done.output)
    assert found is not None
    receiver = Receiver("file")
    packets = receiver.push(out.read_bytes())
    assert receiver.counters.missing + receiver.counters.packets <= 270
    assert {packet.codec for packet in packets} == {0, Codec.ADPCM}


@pytest.mark.parametrize("where", [(), ("--serial", "--tcp", "7000")])
def test_exactly_one_way_out(recording: Path, where: tuple[str, ...]) -> None:
    assert isinstance(command(recording, *where).exception, UsageError)


def test_a_recording_that_is_none(tmp_path: Path) -> None:
    done = command(tmp_path / "none.wav", "--out", tmp_path / "x.bin")
    assert isinstance(done.exception, AudioFileError)


PROGRAM = """
import typer
from firmware_bridge.link.cli import simulate
app = typer.Typer()
app.command()(simulate)
app()
"""


@needs_pty
def test_the_whole_way_from_a_lossy_serial_device_to_an_exam(recording: Path) -> None:
    """Two processes: the device on a pty, and `acula-edge listen` as users run it."""
    options = ["--serial", "--loss", "0.05", "--jitter-ms", "10", "--speed", "4", "--seed", "5"]
    device = subprocess.Popen(
        [sys.executable, "-u", "-c", PROGRAM, recording, *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert device.stdout is not None
    spec = device.stdout.readline().split()[-1]
    assert spec.startswith("serial:/dev/")
    host = subprocess.run(
        [sys.executable, "-m", "acula_edge", "listen", "--json", "--input", spec],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = device.stdout.read()
    assert device.wait(10) == 0
    assert host.returncode == 0, host.stderr
    events = [json.loads(line) for line in host.stdout.splitlines()]
    exam = events[-1]
    found = re.search(r"(\d+) packets \((\d+) samples\) dropped", told)
    assert found is not None
    assert int(found[1]) >= 5
    assert exam["type"] == "exam"
    assert exam["lost_seconds"] == pytest.approx(int(found[2]) / RATE, abs=1e-6)
    assert exam["heard_seconds"] + exam["lost_seconds"] == pytest.approx(8.0, abs=1e-6)
    gaps = [event for event in events if event["type"] == "fault"]
    assert {gap["kind"] for gap in gaps} == {"gap"}
    assert sum(gap["lost_seconds"] for gap in gaps) == pytest.approx(exam["lost_seconds"], abs=1e-4)
