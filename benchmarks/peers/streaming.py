"""Models that listen live: two voice activity detectors and a wake word, chunk by chunk."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.silero import CHUNK, SileroStream, model_path
from benchmarks.peers.silero import RATE as SILERO_RATE
from benchmarks.peers.spec import STREAMING, Loaded, PeerSpec, Sound, as_int16, require

RATE = 16_000
SECONDS = 8.16  # a whole number of every chunk
VAD_CHUNK = 480  # samples: 30 ms, the longest frame that WebRTC's detector takes
WAKE_CHUNK = 160  # samples: 10 ms, what its own command line reads
SAMPLE_BYTES = 2


def _silero() -> Loaded:
    stream, path = SileroStream(), model_path()

    def run(sound: Sound) -> None:
        for start in range(0, len(sound), CHUNK):
            stream.push(sound[start : start + CHUNK])

    return Loaded(run, SILERO_RATE, SECONDS, version("silero-vad"), bytes=path.stat().st_size)


def _webrtcvad() -> Loaded:
    vad = require("webrtcvad", "webrtcvad-wheels").Vad(3)

    def run(sound: Sound) -> None:
        pcm, size = as_int16(sound), VAD_CHUNK * SAMPLE_BYTES
        for start in range(0, len(pcm), size):
            vad.is_speech(pcm[start : start + size], RATE)

    return Loaded(run, RATE, SECONDS, _version("webrtcvad-wheels", "webrtcvad"))


def _wake_word() -> Loaded:
    library = require("pymicro_wakeword", "pymicro-wakeword")
    name = library.Model.OKAY_NABU
    model = library.MicroWakeWord.from_builtin(name)
    features = library.MicroWakeWordFeatures()

    def run(sound: Sound) -> None:
        pcm, size = as_int16(sound), WAKE_CHUNK * SAMPLE_BYTES
        for start in range(0, len(pcm), size):
            for row in features.process_streaming(pcm[start : start + size]):
                model.process_streaming(row)

    weights = Path(model.tflite_model).stat().st_size
    return Loaded(run, RATE, SECONDS, version("pymicro-wakeword"), bytes=weights)


def _version(*names: str) -> str:
    """Of the first of several distributions that offer the same module."""
    for name in names:
        try:
            return version(name)
        except ModuleNotFoundError:
            continue
    return "unknown"


STREAMING_PEERS = (
    PeerSpec(
        "silero-vad", STREAMING, "MIT", _silero,
        "speech or not, every 32 ms; its network through ONNX Runtime, handed 16 kHz",
    ),
    PeerSpec(
        "webrtcvad", STREAMING, "MIT, BSD-3-Clause", _webrtcvad,
        "speech or not, every 30 ms; a Gaussian mixture on six bands in C, handed 16 kHz",
    ),
    PeerSpec(
        "pymicro-wakeword", STREAMING, "Apache-2.0", _wake_word,
        "one wake word, every 30 ms, front end included; int8 LiteRT, handed 16 kHz",
    ),
)  # fmt: skip
