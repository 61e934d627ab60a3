"""The emitted C, built with sanitizers, against the reference: every byte, in every rounding."""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from mcu_bundle import HOP, mcu_bundle, mcu_pcm

from firmware_bridge.arithmetic import ROUNDINGS
from firmware_bridge.emit.core import c_files
from firmware_bridge.model import read_model
from firmware_bridge.reference import Reference

HARNESS = Path(__file__).parent.parent / "support" / "mcu_host.c"
STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion"]
SANITIZE = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
RESET = -(2**31)

needs_gcc = pytest.mark.skipif(
    shutil.which("gcc") is None, reason="no gcc: apt-get install gcc libc6-dev"
)
pytestmark = needs_gcc


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return read_model(mcu_bundle(tmp_path_factory.mktemp("host")))


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    root = tmp_path_factory.mktemp("source")
    write(root, c_files(model))
    return root


def write(root, files):
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def build(folder, *flags, compiler="gcc", main=HARNESS):
    program = folder / f"program-{abs(hash((flags, compiler, main)))}"
    if not program.exists():
        sources = sorted(map(str, (folder / "src").glob("*.c")))
        include = [f"-I{folder / 'include'}", f"-I{folder / 'src'}"]
        command = [compiler, *STRICT, *flags, *include, *sources, str(main), "-o", str(program)]
        subprocess.run(command, check=True)
    return program


def run(program, commands):
    result = subprocess.run([program], input=commands, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout


def pushed(pcm):
    return struct.pack("<i", len(pcm)) + pcm.tobytes()


def packed(hop):
    head = struct.pack("<QIBB", hop.start, hop.hop, hop.quality, hop.reasons)
    arrays = hop.active, hop.scores, hop.step_scores, hop.phases, hop.embedding, hop.probability
    return head + b"".join(array.tobytes() for array in arrays)


def packed_exam(exam):
    counts = struct.pack("<BII", exam.abstained, exam.evidence_hops, exam.refused_hops)
    return exam.probability.tobytes() + bytes(exam.decision) + counts


def hard_pcm(hops):
    """Ordinary sound with silence, a stuck converter and clipping in it."""
    pcm = mcu_pcm(hops, seed=7)
    pcm[8 * HOP : 26 * HOP] = 0
    pcm[28 * HOP : 30 * HOP] = -77
    pcm[31 * HOP : 32 * HOP] = np.where(np.arange(HOP) % 3, 32767, -32768)
    return pcm


def played(reference, pcm, seed=0):
    """Commands that push `pcm` in odd pieces with losses, and the reference's bytes."""
    random = np.random.default_rng(seed)
    commands, wanted, at, pieces = b"", b"", 0, 0
    while at < len(pcm):
        pieces += 1
        part = pcm[at : at + int(random.integers(1, 2500))]
        at += len(part)
        commands += pushed(part)
        wanted += b"".join(packed(hop) for hop in reference.push(part))
        if pieces % 6 == 0:
            lost = int(random.integers(1, 5000))
            commands += struct.pack("<i", -lost)
            reference.lost(lost)
    return commands + struct.pack("<i", 0), wanted + packed_exam(reference.finish())


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_every_byte_is_the_references(model, folder, rounding):
    program = build(folder, "-O1", *SANITIZE, f"-DACULA_ROUNDING={ROUNDINGS.index(rounding)}")
    commands, wanted = played(Reference(model, rounding), hard_pcm(45))
    assert run(program, commands) == wanted


@pytest.mark.parametrize("flags", [("-O3", "-std=gnu11"), ("-O2", "-march=native"), ("-Os",)])
def test_the_compilers_freedoms_change_no_byte(model, folder, flags):
    commands, wanted = played(Reference(model), hard_pcm(34), seed=1)
    assert run(build(folder, *flags), commands) == wanted


@pytest.mark.skipif(shutil.which("clang") is None, reason="no clang: apt-get install clang")
def test_clang_gives_the_same_bytes(model, folder):
    commands, wanted = played(Reference(model), hard_pcm(34), seed=2)
    assert run(build(folder, "-O2", "-march=native", compiler="clang"), commands) == wanted


def test_reset_starts_another_exam(model, folder):
    pcm, reference = mcu_pcm(18, seed=9), Reference(model)
    first = b"".join(packed(hop) for hop in reference.push(pcm)) + packed_exam(reference.finish())
    end = struct.pack("<i", 0)
    again = struct.pack("<i", RESET) + pushed(pcm) + end
    program = build(folder, "-O1", *SANITIZE, "-DACULA_ROUNDING=0")
    assert run(program, pushed(pcm) + end + again) == first + first


@pytest.mark.parametrize("width", [16, 48])
def test_other_widths_give_the_references_bytes(tmp_path, width):
    model = read_model(mcu_bundle(tmp_path, width))
    write(tmp_path, c_files(model))
    commands, wanted = played(Reference(model), mcu_pcm(20, seed=3), seed=4)
    assert run(build(tmp_path, "-O1"), commands) == wanted


MISUSE = r"""
#include <stdio.h>
#include <string.h>
#include "acula.h"
#define CHECK(x) do { if (!(x)) { printf("line %d: %s\n", __LINE__, #x); return 1; } } while (0)
static union { double align; unsigned char bytes[ACULA_ARENA_BYTES + 8]; } arena;
int main(void) {
    acula *self = NULL;
    acula_result result;
    acula_exam exam;
    static int16_t pcm[3 * ACULA_HOP];
    size_t taken = 9;
    CHECK(acula_init(NULL, arena.bytes, ACULA_ARENA_BYTES) == ACULA_BAD_ARGUMENT);
    CHECK(acula_init(&self, NULL, ACULA_ARENA_BYTES) == ACULA_BAD_ARGUMENT);
    CHECK(acula_init(&self, arena.bytes, ACULA_ARENA_BYTES - 1) == ACULA_ARENA_TOO_SMALL);
    CHECK(acula_init(&self, arena.bytes + 4, ACULA_ARENA_BYTES) == ACULA_ARENA_UNALIGNED);
    CHECK(self == NULL);
    memset(arena.bytes, 0xA5, sizeof arena.bytes);
    CHECK(acula_init(&self, arena.bytes, ACULA_ARENA_BYTES) == ACULA_OK);
    CHECK(arena.bytes[ACULA_ARENA_BYTES] == 0xA5);
    CHECK(acula_push(NULL, pcm, 1, &taken) == ACULA_BAD_ARGUMENT && taken == 0);
    CHECK(acula_push(self, NULL, 1, &taken) == ACULA_BAD_ARGUMENT);
    CHECK(acula_push(self, pcm, 1, NULL) == ACULA_BAD_ARGUMENT);
    CHECK(acula_push(self, NULL, 0, &taken) == ACULA_OK && taken == 0);
    CHECK(acula_poll(self, &result) == 0 && acula_poll(NULL, &result) == 0);
    CHECK(acula_push(self, pcm, 3 * ACULA_HOP, &taken) == ACULA_OK && taken == ACULA_HOP);
    CHECK(acula_push(self, pcm, 5, &taken) == ACULA_OK && taken == 0);
    CHECK(acula_poll(self, NULL) == 0);
    CHECK(acula_poll(self, &result) == 1 && result.hop == 0);
    CHECK(acula_poll(self, &result) == 0);
    CHECK(acula_push(self, pcm, 5, &taken) == ACULA_OK && taken == 5);
    CHECK(acula_lost(NULL, 1) == ACULA_BAD_ARGUMENT);
    CHECK(acula_finish(NULL, &exam) == ACULA_BAD_ARGUMENT);
    CHECK(acula_finish(self, NULL) == ACULA_BAD_ARGUMENT);
    CHECK(acula_finish(self, &exam) == ACULA_OK && exam.refused_hops == 1);
    CHECK(acula_finish(self, &exam) == ACULA_OK && exam.abstained == 1);
    CHECK(acula_push(self, pcm, 5, &taken) == ACULA_FINISHED && taken == 0);
    CHECK(acula_lost(self, 5) == ACULA_FINISHED);
    acula_reset(NULL);
    acula_reset(self);
    CHECK(acula_push(self, pcm, 5, &taken) == ACULA_OK && taken == 5);
    printf("%s %s %s %s", acula_model_name, acula_model_version, acula_model_sha256,
           acula_finding_names[2]);
    return 0;
}
"""


def test_misuse_is_answered_by_a_status(model, folder, tmp_path):
    main = tmp_path / "misuse.c"
    main.write_text(MISUSE)
    answer = run(build(folder, "-O1", *SANITIZE, main=main), b"").decode()
    assert answer == f"tiny-mcu 1.0.0 {model.sha256} wheeze"


def test_no_allocation_no_output_no_writable_globals(folder, tmp_path):
    if shutil.which("nm") is None:
        pytest.skip("no nm: apt-get install binutils")
    include = [f"-I{folder / 'include'}", f"-I{folder / 'src'}"]
    allowed = {"memcpy", "memset", "memmove", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}
    for source in sorted((folder / "src").glob("*.c")):
        compiled = tmp_path / f"{source.stem}.o"
        command = [
            "gcc",
            *STRICT,
            "-O2",
            "-fno-pie",
            *include,
            "-c",
            str(source),
            "-o",
            str(compiled),
        ]
        subprocess.run(command, check=True)
        names = subprocess.run(["nm", compiled], capture_output=True, text=True, check=True).stdout
        for line in names.splitlines():
            kind, name = line.split()[-2:]
            assert kind not in "DBC", f"{source.name} has the writable global {name}"
            assert kind != "U" or name.startswith("acula_") or name in allowed, name


def test_fast_math_is_refused(folder):
    include = [f"-I{folder / 'include'}", f"-I{folder / 'src'}"]
    command = ["gcc", "-ffast-math", *include, "-fsyntax-only", str(folder / "src/acula_nn.c")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "compile without -ffast-math" in result.stderr


STAND_IN = f"-I{HARNESS.parent / 'cmsis'}"


def test_the_cmsis_nn_call_gives_the_double_roundings_bytes(model, folder):
    flags = ("-O1", *SANITIZE, "-DACULA_USE_CMSIS_NN", "-DACULA_ROUNDING=2", STAND_IN)
    commands, wanted = played(Reference(model, "double"), mcu_pcm(20, seed=5), seed=6)
    assert run(build(folder, *flags), commands) == wanted


def test_cmsis_nn_with_float_rounding_is_refused(folder):
    include = [f"-I{folder / 'include'}", f"-I{folder / 'src'}", STAND_IN]
    source = str(folder / "src/acula_nn.c")
    command = ["gcc", "-DACULA_USE_CMSIS_NN", *include, "-fsyntax-only", source]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "CMSIS-NN rounds in fixed point" in result.stderr


def test_the_cmsis_dsp_call_gives_nearly_the_same_logits(model, folder, tmp_path):
    pcm = mcu_pcm(6, seed=5)
    hops = Reference(model).push(pcm)
    program = tmp_path / "dsp"
    include = [f"-I{folder / 'include'}", f"-I{folder / 'src'}", STAND_IN]
    sources = [*sorted(map(str, (folder / "src").glob("*.c"))), str(HARNESS)]
    flags = ["-O2", "-std=c99", "-DACULA_USE_CMSIS_DSP"]
    subprocess.run(["gcc", *flags, *include, *sources, "-lm", "-o", str(program)], check=True)
    answer, size = run(program, pushed(pcm)), len(packed(hops[0]))
    assert len(answer) == size * len(hops)
    at = 8 + 4 + 2 + 3
    found = [np.frombuffer(answer, "<f4", 3, i * size + at) for i in range(len(hops))]
    spread = max(np.abs(hop.scores).max() for hop in hops)
    assert np.abs(found - np.array([hop.scores for hop in hops])).max() <= 0.03 * spread
