from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from acula_edge.errors import DeviceError
from acula_edge.events import Fault, FaultKind
from acula_edge.sources import microphone as microphone_module
from acula_edge.sources.base import Block
from acula_edge.sources.capture import LagClock
from acula_edge.sources.microphone import Microphone
from benchmarks.virtual_stethoscope import RATE, PulseServer, capture_ramp


class PortAudioError(Exception):
    pass


class FakeStream:
    """An input stream that calls back when the test says so; channel c carries value + c/8."""

    def __init__(self, machine: FakeMachine, callback: Callable[..., None], **options: Any) -> None:
        self.options = options
        self.machine = machine
        self.callback = callback
        self.active = False
        self.closed = 0
        machine.streams.append(self)
        machine.refuse(options)

    def start(self) -> None:
        self.active = True
        if self.machine.first_frames:
            self.send(np.zeros(self.machine.first_frames))

    def send(self, values: np.ndarray, overflow: bool = False) -> None:
        channels = self.options["channels"]
        sound = values[:, None].astype(np.float32) + np.arange(channels, dtype=np.float32) / 8
        status = SimpleNamespace(input_overflow=True) if overflow else None
        self.callback(sound, len(sound), None, status)

    def close(self, ignore_errors: bool = True) -> None:
        self.active = False
        self.closed += 1


class FakeMachine(SimpleNamespace):
    """The part of `sounddevice` that a microphone uses, with one input."""

    PortAudioError = PortAudioError

    def __init__(self) -> None:
        super().__init__(
            streams=[], channels=2, rate=1000.0, present=True, first_frames=0, _initialized=1
        )
        self.refuse: Callable[[dict[str, Any]], None] = lambda options: None

    def query_devices(self, kind: str | None = None) -> Any:
        device = {
            "name": "Stethoscope",
            "index": 0,
            "hostapi": 0,
            "max_input_channels": self.channels,
            "default_samplerate": self.rate,
        }
        return device if kind else [device] * self.present

    def query_hostapis(self) -> list[dict[str, str]]:
        return [{"name": "ALSA"}]

    def InputStream(self, callback: Callable[..., None], **options: Any) -> FakeStream:  # noqa: N802
        return FakeStream(self, callback, **options)

    def _terminate(self) -> None:
        pass

    def _initialize(self) -> None:
        pass


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    fake = FakeMachine()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


def ramp(start: int, stop: int) -> np.ndarray:
    return np.arange(start, stop, dtype=np.float32)


def take(blocks: Iterator[Block | Fault], count: int) -> list[Any]:
    return [next(blocks) for _ in range(count)]


def test_it_opens_at_the_rate_of_the_device_with_all_channels(machine: FakeMachine) -> None:
    with Microphone() as microphone:
        assert (microphone.rate, microphone.name) == (1000, "Stethoscope")
        options = machine.streams[0].options
    assert (options["samplerate"], options["channels"], options["dtype"]) == (1000, 2, "float32")
    assert machine.streams[0].closed == 1


def test_one_channel_is_taken_never_an_average(machine: FakeMachine) -> None:
    with Microphone(channel=1) as microphone:
        machine.streams[0].send(np.zeros(100))
        block = next(microphone.blocks())
    assert block.pcm.tolist() == [0.125] * 100


def test_a_sound_server_with_many_channels_is_asked_for_two(machine: FakeMachine) -> None:
    machine.channels = 32
    with Microphone():
        assert machine.streams[0].options["channels"] == 2


@pytest.mark.parametrize("channel", [2, -1])
def test_a_channel_out_of_range(machine: FakeMachine, channel: int) -> None:
    with (
        pytest.raises(DeviceError, match=f"2 input channels.*no channel {channel}"),
        Microphone(channel=channel),
    ):
        pass
    assert machine.streams == []


def test_a_refused_rate_falls_back_to_the_usual_ones(machine: FakeMachine) -> None:
    def refuse(options: dict[str, Any]) -> None:
        if options["samplerate"] != 16000:
            raise PortAudioError("Error opening InputStream: Invalid sample rate", -9997)

    machine.refuse = refuse
    with Microphone() as microphone:
        assert microphone.rate == 16000
    tried = [stream.options["samplerate"] for stream in machine.streams]
    assert list(dict.fromkeys(tried)) == [1000, 48000, 44100, 32000, 16000]


def test_every_rate_refused(machine: FakeMachine) -> None:
    def refuse(options: dict[str, Any]) -> None:
        raise PortAudioError("Error opening InputStream: Invalid sample rate", -9997)

    machine.refuse = refuse
    expected = r"^Stethoscope cannot be opened at any usual rate: Invalid sample rate\.$"
    with pytest.raises(DeviceError, match=expected), Microphone():
        pass


def test_a_busy_device(machine: FakeMachine) -> None:
    def refuse(options: dict[str, Any]) -> None:
        raise PortAudioError("Error opening InputStream: Device unavailable", -9985)

    machine.refuse = refuse
    with pytest.raises(DeviceError, match="Stethoscope is busy"), Microphone():
        pass
    assert len(machine.streams) == 1


def test_blocks_do_not_depend_on_the_callbacks(machine: FakeMachine) -> None:
    with Microphone() as microphone:
        for start, stop in [(0, 7), (7, 160), (160, 161), (161, 300)]:
            machine.streams[0].send(ramp(start, stop))
        blocks = take(microphone.blocks(), 3)
    assert [(b.first_sample, len(b.pcm), b.lost) for b in blocks] == [
        (0, 100, 0), (100, 100, 0), (200, 100, 0),
    ]  # fmt: skip
    assert np.concatenate([b.pcm for b in blocks]).tolist() == ramp(0, 300).tolist()


def test_a_slow_consumer_loses_an_exact_number_at_an_exact_place(machine: FakeMachine) -> None:
    with Microphone(buffer_seconds=0.25) as microphone:
        machine.streams[0].send(ramp(0, 400))
        blocks = microphone.blocks()
        first = take(blocks, 2)
        machine.streams[0].send(ramp(400, 600))
        rest = take(blocks, 2)
        assert microphone.lost_samples == 150
    assert [(b.first_sample, len(b.pcm), b.lost) for b in first + rest] == [
        (0, 100, 0), (100, 100, 0), (200, 50, 0), (400, 100, 150),
    ]  # fmt: skip
    for block in first + rest:
        assert block.pcm[0] == block.first_sample


def test_an_overflow_of_unknown_size_is_a_fault_without_samples(machine: FakeMachine) -> None:
    with Microphone() as microphone:
        blocks = microphone.blocks()
        machine.streams[0].send(ramp(0, 100))
        next(blocks)
        machine.streams[0].send(ramp(100, 150), overflow=True)
        machine.streams[0].send(ramp(150, 200), overflow=True)
        fault, block = take(blocks, 2)
        assert microphone.lost_samples == 0
    assert fault == Fault(0.1, FaultKind.OVERFLOW, 0.0)
    assert (block.first_sample, block.lost) == (100, 0)


def test_lag_grows_while_the_consumer_sleeps(machine: FakeMachine) -> None:
    with Microphone() as microphone:
        assert microphone.lag_seconds == 0
        machine.streams[0].send(ramp(0, 100))
        blocks = microphone.blocks()
        next(blocks)
        assert microphone.lag_seconds < 0.05
        time.sleep(0.3)
        assert microphone.lag_seconds == pytest.approx(0.3, abs=0.1)
    assert microphone.lag_seconds == 0


def test_lag_clock_sees_a_queue_and_ignores_jitter_and_drift() -> None:
    clock, rng = LagClock(), np.random.default_rng(0)
    drift = 1 - 2e-4
    for step in range(1, 60_000):
        now = step * 0.01
        late = rng.uniform(0, 0.02)
        clock.arrived(1000 + now + late, now * drift)
    assert clock.lag(1000 + now, now * drift) < 0.025
    # Behind a sound server's queue, each second of sound arrives 0.3 s late after each second.
    for step in range(1, 800):
        clock.arrived(1000 + now + step * 0.01, (now + step * 0.007) * drift)
    assert clock.lag(1000 + now + 8, (now + 5.6) * drift) == pytest.approx(2.4, abs=0.05)


def test_silence_of_the_callback_is_device_loss_and_return_is_told(machine: FakeMachine) -> None:
    with Microphone(watchdog_seconds=0.1) as microphone:
        machine.streams[0].send(ramp(0, 150))
        blocks = microphone.blocks()
        gone_at = time.monotonic()
        machine.first_frames = 100
        first, rest, lost, back, block = take(blocks, 5)
        outage = time.monotonic() - gone_at
        assert microphone.lag_seconds < 0.1
        assert microphone.lost_samples == block.lost
    assert [len(first.pcm), len(rest.pcm)] == [100, 50]
    assert lost == Fault(0.15, FaultKind.DEVICE_LOST)
    # The first block of the new stream was captured before its first callback: 0.1 s.
    assert block.lost == pytest.approx(1000 * (outage - 0.1), abs=50)
    assert block.first_sample == 150 + block.lost
    # No loss of its own: the session says it once, as the gap before the block.
    assert back == Fault(block.first_sample / 1000, FaultKind.DEVICE_BACK, lost_seconds=0.0)
    assert machine.streams[0].closed == 1


def test_losses_before_the_unplugging_are_not_forgotten(machine: FakeMachine) -> None:
    with Microphone(watchdog_seconds=0.1, buffer_seconds=0.1) as microphone:
        machine.streams[0].send(ramp(0, 130))
        machine.first_frames = 100
        _, lost, back, block = take(microphone.blocks(), 4)
    assert lost.at == pytest.approx(0.13)
    assert block.first_sample == 100 + block.lost
    assert block.lost > 30 + 100
    assert back.at == pytest.approx(block.first_sample / 1000)


def test_a_device_that_returns_with_another_rate_is_resampled(machine: FakeMachine) -> None:
    with Microphone(watchdog_seconds=0.1, buffer_seconds=9) as microphone:
        machine.streams[0].send(ramp(0, 100))
        blocks = microphone.blocks()
        next(blocks)
        machine.rate, machine.first_frames = 4000.0, 400
        next(blocks), next(blocks)
        tone = 0.5 * np.sin(2 * np.pi * 50 * np.arange(16_000) / 4000)
        machine.streams[1].send(tone)
        heard = []
        while sum(len(block.pcm) for block in heard) < 3000:
            heard.append(next(blocks))
        assert microphone.rate == 1000
    assert machine.streams[1].options["samplerate"] == 4000
    assert [block.lost > 0 for block in heard] == [True] + [False] * (len(heard) - 1)
    pcm = np.concatenate([block.pcm for block in heard])[500:2500]
    spectrum = np.abs(np.fft.rfft(pcm)) / 1000
    assert np.argmax(spectrum) == 100
    assert spectrum[100] == pytest.approx(0.5, abs=1e-3)


def test_it_looks_for_the_same_device_until_closed(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[float] = []
    monkeypatch.setattr(
        microphone_module, "refresh_devices", lambda: tries.append(time.monotonic())
    )
    microphone = Microphone(watchdog_seconds=0.05)
    with microphone:
        machine.streams[0].send(ramp(0, 100))
        machine.present = False
        threading.Timer(1.4, microphone.close).start()
        items = list(microphone.blocks())
        closed_at = time.monotonic()
    assert items[-1].kind is FaultKind.DEVICE_LOST
    assert len(tries) == 2
    assert tries[1] - tries[0] == pytest.approx(0.5, abs=0.1)
    assert closed_at - tries[1] < 1.0, "closing must not wait for the back-off"


def test_a_paused_process_is_no_lost_device(machine: FakeMachine) -> None:
    with Microphone(watchdog_seconds=0.1) as microphone:
        machine.streams[0].send(ramp(0, 50))
        time.sleep(0.3)
        threading.Timer(0.05, machine.streams[0].send, [ramp(50, 100)]).start()
        assert isinstance(next(microphone.blocks()), Block)


def test_an_abandoned_generator_and_closing_twice_do_not_hang(machine: FakeMachine) -> None:
    microphone = Microphone()
    microphone.close()
    with Microphone() as microphone:
        machine.streams[0].send(ramp(0, 200))
        blocks = microphone.blocks()
        next(blocks)
        blocks.close()
        microphone.close()
        assert list(microphone.blocks()) == []
    assert machine.streams[0].closed == 1


@pytest.mark.audio
@pytest.mark.slow
def test_a_captured_ramp_is_whole(pulse: PulseServer) -> None:
    seconds = 60 if os.environ.get("ACULA_LONG") else 8
    result = capture_ramp(pulse, seconds)
    print(result)
    assert result.samples >= seconds * RATE
    assert (result.misplaced, result.lost, result.overflow_faults) == (0, 0, 0)
    assert result.largest_lag < 0.2


@pytest.mark.audio
@pytest.mark.slow
def test_a_slow_listener_lags_and_its_losses_are_exact(pulse: PulseServer) -> None:
    result = capture_ramp(pulse, 4, pause=2.5, buffer=1.0)
    assert result.largest_lag == pytest.approx(2.5, abs=0.4)
    assert result.gaps == 1
    assert result.lost == pytest.approx(1.5 * RATE, abs=0.3 * RATE)
    assert result.misplaced == 0, "the ramp goes on exactly `lost` samples later"


@pytest.mark.audio
@pytest.mark.slow
def test_unplugging_and_plugging_in(pulse: PulseServer) -> None:
    listener = pulse.listen("follow")
    said: Queue[dict[str, Any]] = Queue()

    def read() -> None:
        assert listener.stdout is not None
        for line in listener.stdout:
            said.put(json.loads(line))

    def until(matches: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while True:
            try:
                item = said.get(timeout=15)
            except Empty:
                pytest.fail("the listener fell silent")
            if matches(item):
                return item

    reader = threading.Thread(target=read)
    reader.start()
    try:
        until(lambda item: item.get("first", 0) > RATE)
        pulse.unplug()
        lost = until(lambda item: item["type"] != "block")
        time.sleep(1)
        assert listener.poll() is None
        pulse.plug_in()
        back = until(lambda item: item["type"] != "block")
        block = until(lambda item: item["type"] == "block")
        until(lambda item: item.get("first", 0) > block["first"] + RATE)
    finally:
        listener.kill()
        listener.wait()
        reader.join()
    assert (lost["kind"], back["kind"]) == ("device_lost", "device_back")
    assert back["lost_seconds"] == 0
    assert block["lost"] > block["rate"]
    assert block["first"] == pytest.approx(back["at"] * block["rate"], abs=1)


def test_without_any_device_opening_is_a_device_error(tmp_path: Path) -> None:
    pytest.importorskip("sounddevice", exc_type=OSError)
    script = (
        "from acula_edge.errors import DeviceError\n"
        "from acula_edge.sources.microphone import Microphone\n"
        "try:\n"
        "    with Microphone(): pass\n"
        "except DeviceError as error: print(error)\n"
    )
    env = os.environ | {"HOME": str(tmp_path), "PULSE_SERVER": "unix:/nonexistent"}
    if Path("/dev/snd").exists():
        pytest.skip("this machine has sound cards")
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("No audio input device was found")
    assert done.stderr == ""
