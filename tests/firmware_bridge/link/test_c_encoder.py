"""The C encoder against the Python one, byte for byte, under sanitizers; the README's example."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from acula_edge.events import QualityState, Reason
from firmware_bridge.link import framing, packet
from firmware_bridge.link.codec import AdpcmEncoder, decode
from firmware_bridge.link.connection import host_frame
from firmware_bridge.link.packet import Codec, Packet, PacketType, build
from firmware_bridge.link.payload import DeviceEvent, EventCode, Info, Result, Sync
from firmware_bridge.link.receiver import Receiver

HERE = Path(__file__).parent
LINK = Path(packet.__file__).parent
FLAGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-O1", "-g")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
DEVICE = 0x12345678


def compiled(folder: Path, *sources: Path, name: str) -> Path:
    compiler = shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: apt-get install gcc libc6-dev")
    program = folder / name
    command = [compiler, *FLAGS, *SANITIZERS, f"-I{LINK / 'c'}", *sources]
    built = subprocess.run(
        [*command, LINK / "c/acula_link.c", "-o", program],
        check=False,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return program


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("c"), HERE / "encode.c", name="encode")


def run(encoder: Path, records: list[tuple[int, int, int, bytes]]) -> tuple[bytes, list[bytes]]:
    script = b"".join(
        struct.pack("<BQII", op, index, capacity, len(data)) + data
        for op, index, capacity, data in records
    )
    done = subprocess.run([encoder], input=script, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    out, frames = done.stdout[66:], []
    while out:
        (size,) = struct.unpack_from("<I", out)
        frames.append(out[4 : 4 + size])
        out = out[4 + size :]
    return done.stdout[:66], frames


def sounds(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """Of every length and loudness, zeros and full scale included."""
    lengths = [1, 2, 113, 114, 115, 116, 512, *rng.integers(1, 513, count).tolist()]
    levels = (0, 1, 40, 3000, 32767)
    return [
        rng.integers(-levels[n % 5] - (n % 5 == 4), levels[n % 5] + 1, size).astype(np.int16)
        for n, size in enumerate(lengths)
    ]


def test_sound_is_equal_byte_for_byte(encoder: Path) -> None:
    rng = np.random.default_rng(6)
    adpcm, records, expected, index = AdpcmEncoder(), [], [], 2**33
    for sequence, pcm in enumerate(sounds(rng, 400)):
        codec = Codec.ADPCM if sequence % 2 else Codec.PCM16
        data = pcm.astype("<i2").tobytes()
        payload = adpcm.encode(pcm) if codec is Codec.ADPCM else data
        expected.append(Packet(PacketType.AUDIO, codec, DEVICE, sequence, index, payload))
        records.append((1 + codec, index, 2000, data))
        index += len(pcm)
    _, frames = run(encoder, records)
    assert frames == [framing.frame(build(item)) for item in expected]
    receiver = Receiver("C")
    heard = receiver.push(b"".join(frames))
    assert heard == expected
    assert receiver.counters.broken == receiver.counters.missing == 0
    assert all(len(decode(item.codec, item.payload)) for item in heard)


def test_all_other_types_are_equal_byte_for_byte(encoder: Path) -> None:
    probabilities = tuple(float(np.float32(value)) for value in (0.1, 0.0, 1.0, 1e-30))
    result = Result(9, probabilities, (1, 3), QualityState.REFUSE, (Reason.STUCK, Reason.CLIPPED))
    payloads = [
        (1, Info(4000, Codec.ADPCM, "Stéthoscope", 768, 4, bytes(range(224, 256))).to_bytes()),
        (1, Info(384_000, Codec.PCM16, "n" * 63).to_bytes()),
        (3, Sync(2**64 - 1, 32_768).to_bytes()),
        (4, DeviceEvent(EventCode.BATTERY, 87).to_bytes()),
        (5, result.to_bytes()),
    ]
    operation = {1: 1, 3: 4, 4: 5, 5: 6}
    _, frames = run(encoder, [(operation[kind], 77, 400, data) for kind, data in payloads])
    assert frames == [
        framing.frame(build(Packet(kind, 0, DEVICE, sequence, 77, data)))
        for sequence, (kind, data) in enumerate(payloads)
    ]


def test_cobs_is_equal_at_every_run_of_non_zero_bytes(encoder: Path) -> None:
    """Runs of 254 and their neighbours are where encoders differ: every run length, and no zero."""
    records, expected = [], []
    for sequence in range(256):
        pcm = np.full(300, 0x0101, np.int16)
        pcm[sequence] = 0
        expected.append(pcm.tobytes())
        records.append((2, 0x0101010101010101 >> 2 & 0x0FFFFFFFFFFFFFFF, 1000, pcm.tobytes()))
    _, frames = run(encoder, records)
    for sequence, (frame, payload) in enumerate(zip(frames, expected, strict=True)):
        whole = Packet(2, 1, DEVICE, sequence, records[0][1], payload)
        assert frame == framing.frame(build(whole))
        body = len(payload) + 26
        assert len(frame) <= body + body // 254 + 2  # ACULA_LINK_FRAME_BYTES


def test_a_buffer_too_small_by_any_number_of_bytes_gives_nothing(encoder: Path) -> None:
    pcm = np.arange(1, 6, dtype=np.int16).tobytes()
    size = len(framing.frame(build(Packet(2, 1, DEVICE, 0, 5, pcm))))
    _, frames = run(encoder, [(2, 5, capacity, pcm) for capacity in range(size + 1)])
    assert [len(frame) for frame in frames] == [0] * size + [size]
    assert parse_one(frames[-1]).sequence == 0  # nothing that failed moved it


def test_a_refused_adpcm_packet_does_not_move_the_codec(encoder: Path) -> None:
    pcm = np.array([3000, -2000, 500], np.int16)
    _, frames = run(encoder, [(3, 0, 10, pcm.tobytes()), (3, 0, 100, pcm.tobytes())])
    assert parse_one(frames[1]).payload == AdpcmEncoder().encode(pcm)


def test_arguments_out_of_range_give_nothing(encoder: Path) -> None:
    info = Info(4000, Codec.PCM16, "x")
    long_name = info.to_bytes() + b"n" * 63
    many = Result(0, (0.5,) * 33, (), QualityState.OK).to_bytes()
    records = [(2, 0, 4000, b""), (3, 0, 4000, b""), (2, 0, 4000, bytes(1026))]
    records += [(3, 0, 4000, bytes(2 * 2041)), (1, 0, 4000, long_name), (6, 0, 4000, many)]
    _, frames = run(encoder, records)
    assert frames == [b""] * 6


def test_what_the_host_says_is_what_the_firmware_expects(encoder: Path) -> None:
    head, _ = run(encoder, [])
    assert head == host_frame(EventCode.START) + host_frame(EventCode.STOP)


def parse_one(frame: bytes) -> Packet:
    (heard,) = Receiver("one").push(frame)
    return heard


MAIN = """
#include <stdio.h>
void send_bytes(const uint8_t *bytes, size_t count) { fwrite(bytes, 1, count, stdout); }
int main(void) {
    int16_t pcm[128];
    stethoscope_start(42);
    for (int block = 0; block < 100; block++) {
        for (int i = 0; i < 128; i++) pcm[i] = (int16_t)(block * 128 + i);
        stethoscope_samples(pcm, 128, (uint64_t)captured * 32768u / 4000u);
    }
    stethoscope_stop();
    return 0;
}
"""


def test_the_readme_example_compiles_and_is_heard(tmp_path: Path) -> None:
    text = (LINK / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```c\n(.*?)```", text, re.DOTALL)
    source = tmp_path / "main.c"
    source.write_text(snippet + MAIN, encoding="utf-8")
    sent = subprocess.run(
        [compiled(tmp_path, source, name="main")], capture_output=True, check=True
    ).stdout
    receiver = Receiver("README")
    packets = receiver.push(sent)
    assert receiver.counters.broken == receiver.counters.missing == 0
    audio = [item for item in packets if item.type == PacketType.AUDIO]
    heard = np.concatenate([decode(item.codec, item.payload) for item in audio])
    assert np.array_equal(heard, np.arange(12_800))
    assert [item.sample_index for item in audio] == list(range(0, 12_800, 128))
    infos = [Info.of(item.payload) for item in packets if item.type == PacketType.INFO]
    assert len(infos) == 4  # 3.2 s
    assert infos[0] == Info(4000, Codec.PCM16, "my stethoscope")
    codes = [DeviceEvent.of(i.payload).code for i in packets if i.type == PacketType.EVENT]
    assert codes == [1, 2, 2, 2]


def test_the_firmware_files_pass_for_a_microcontroller(tmp_path: Path) -> None:
    compiler = shutil.which("arm-none-eabi-gcc")
    if compiler is None:
        pytest.skip("apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi")
    command = [compiler, "-mcpu=cortex-m4", "-mthumb", "-Os", *FLAGS[:6], "-c"]
    out = tmp_path / "link.o"
    subprocess.run([*command, LINK / "c/acula_link.c", "-o", out], check=True)
    size = subprocess.run(["arm-none-eabi-size", out], capture_output=True, text=True, check=True)
    code, data, bss = (int(field) for field in size.stdout.splitlines()[1].split()[:3])
    assert code < 2048
    assert data == bss == 0
