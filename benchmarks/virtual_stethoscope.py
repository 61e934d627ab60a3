"""A stethoscope without hardware: a private PulseAudio server, and proof of what was captured.

The signal is a 16-bit ramp, so every captured sample tells its own position modulo 65,536. As a
script it is the listening process, because PortAudio reads its environment when it starts:

    python virtual_stethoscope.py SECONDS PAUSE BUFFER    one JSON object: RampResult
    python virtual_stethoscope.py follow                  one JSON line per block and fault
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acula_edge.events import Fault, to_json
from acula_edge.sources.microphone import Microphone

TOOLS = ("pulseaudio", "pactl", "paplay")
RATE = 44100
_SINK = ("module-null-sink", "sink_name=steth", f"rate={RATE}", "format=s16le", "channels=1")


@dataclass(frozen=True)
class RampResult:
    """What a capture of the ramp showed; `misplaced` samples contradict their sample index."""

    samples: int
    misplaced: int
    lost: int
    gaps: int
    overflow_faults: int
    largest_lag: float
    median_lag: float
    cpu_share: float


class PulseServer:
    """A PulseAudio daemon of its own, whose only source is the monitor of a null sink."""

    def __init__(self, home: Path) -> None:
        self.env = os.environ | {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
            "PULSE_RUNTIME_PATH": str(home / "pulse"),
            "PULSE_SERVER": f"unix:{home / 'native'}",
        }
        (home / ".asoundrc").write_text(
            "pcm.!default { type pulse }\nctl.!default { type pulse }\n"
        )
        socket = f"module-native-protocol-unix auth-anonymous=1 socket={home / 'native'}"
        options = [
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--use-pid-file=no",
            "--disable-shm=yes",
        ]
        self._daemon = subprocess.Popen(
            ["pulseaudio", "-n", *options, "-L", socket, "-L", " ".join(_SINK)],
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 15
        while self._pactl("info").returncode:
            if time.monotonic() > deadline or self._daemon.poll() is not None:
                self.stop()
                raise RuntimeError("the private PulseAudio server did not start")
            time.sleep(0.1)

    def _pactl(self, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["pactl", *arguments], env=self.env, check=check, capture_output=True)

    def unplug(self) -> None:
        """Take the only source away, as pulling the cable does."""
        self._pactl("unload-module", _SINK[0], check=True)

    def plug_in(self) -> None:
        """Make the source again."""
        self._pactl("load-module", *_SINK, check=True)

    def play(self, path: Path) -> subprocess.Popen[bytes]:
        """Start playing a WAV into the source."""
        return subprocess.Popen(["paplay", str(path)], env=self.env, stderr=subprocess.DEVNULL)

    def listen(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the listening process; see the module for its arguments."""
        return subprocess.Popen(
            [sys.executable, __file__, *arguments],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )

    def stop(self) -> None:
        """End the daemon."""
        self._daemon.terminate()
        self._daemon.wait(10)


@contextlib.contextmanager
def pulse_server() -> Iterator[PulseServer]:
    """A running server, in a directory short enough for a socket; removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="steth"))
    try:
        server = PulseServer(home)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def missing_tools() -> str:
    """The commands that are not installed, or an empty string."""
    return ", ".join(tool for tool in TOOLS if shutil.which(tool) is None)


def write_ramp(path: Path, seconds: float) -> None:
    """A mono 16-bit WAV whose sample i is i modulo 65,536, less 32,768."""
    ramp = (np.arange(round(seconds * RATE)) % 65536 - 32768).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(ramp.tobytes())


def capture_ramp(
    server: PulseServer, seconds: float, *, pause: float = 0.0, buffer: float = 4.0
) -> RampResult:
    """Play the ramp and capture `seconds` of it; the consumer sleeps once for `pause` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ramp.wav"
        write_ramp(path, seconds + pause + 4)
        listener = server.listen(str(seconds), str(pause), str(buffer))
        assert listener.stdout is not None
        player = None
        try:
            if listener.stdout.readline().strip() == "ready":
                player = server.play(path)
            out, errors = listener.communicate(timeout=seconds + pause + 30)
        finally:
            for process in (player, listener):
                if process is not None:
                    process.kill()
                    process.wait()
    if listener.returncode:
        raise RuntimeError(f"the listener failed: {errors}")
    return RampResult(**json.loads(out))


def _verify(seconds: float, pause: float, buffer: float) -> RampResult:
    samples = misplaced = lost = gaps = overflows = 0
    origin = started = busy = 0.0
    lags: list[float] = []
    with Microphone(buffer_seconds=buffer) as microphone:
        for block in microphone.blocks():
            if isinstance(block, Fault):
                overflows += 1
                continue
            if block.first_sample == 0:
                print("ready", flush=True)
            values = np.round(block.pcm * 32768).astype(np.int64)
            place = np.arange(block.first_sample, block.first_sample + len(values))
            if not samples:
                heard = np.flatnonzero(values)
                if not len(heard):
                    continue
                values, place = values[heard[0] :], place[heard[0] :]
                origin, started, busy = values[0] - place[0], time.monotonic(), time.process_time()
            misplaced += int(np.count_nonzero((values - place - origin) % 65536))
            samples += len(values)
            lost += block.lost
            gaps += block.lost > 0
            if pause and samples > RATE:
                time.sleep(pause)
                pause = 0.0
            lags.append(microphone.lag_seconds)
            if samples >= seconds * RATE:
                break
    share = (time.process_time() - busy) / (time.monotonic() - started)
    return RampResult(
        samples, misplaced, lost, gaps, overflows, max(lags), float(np.median(lags)), share
    )


def _follow() -> None:
    with Microphone() as microphone:
        for item in microphone.blocks():
            if isinstance(item, Fault):
                print(json.dumps(to_json(item)), flush=True)
            else:
                block = {"type": "block", "first": item.first_sample, "lost": item.lost}
                print(json.dumps(block | {"rate": microphone.rate}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "follow":
        _follow()
    else:
        print(json.dumps(dataclasses.asdict(_verify(*map(float, sys.argv[1:4])))))
