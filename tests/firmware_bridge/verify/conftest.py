"""A firmware folder whose model is a sum, and its reference: the harness is proven without ours."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.verify import verify
from firmware_bridge.verify.case import case_of
from firmware_bridge.verify.folder import read_folder
from firmware_bridge.verify.toolchain import ARM_APT, HOST_APT

HERE = Path(__file__).resolve().parent
HOP, FINDINGS, STEPS, PHASES, EMBEDDING = 768, 3, 6, 4, 5
ABOUT = {
    "schema": 1,
    "kind": "acula-edge-firmware",
    "model": {"name": "standin", "version": "1", "variant": "mcu-int8", "sha256": "0" * 64},
    "api": 1,
    "rate": 4000,
    "hop": HOP,
    "findings": ["a", "b", "c"],
    "steps": STEPS,
    "phases": ["s1", "systole", "s2", "diastole"],
    "embedding": EMBEDDING,
    "arena_bytes": 128,
    "target": "generic",
}


@dataclasses.dataclass
class Result:
    start: int
    hop: int
    quality: int
    reasons: int
    active: tuple
    scores: np.ndarray
    step_scores: np.ndarray
    phases: np.ndarray
    embedding: np.ndarray
    probability: np.ndarray


@dataclasses.dataclass
class Exam:
    probability: tuple
    decision: tuple
    abstained: int
    evidence_hops: int
    refused_hops: int


class StandInReference:
    """What standin/src/acula.c computes, whatever the block length."""

    def __init__(self):
        self.reset()

    def reset(self):
        self._at, self._hop, self._rest = 0, 0, np.empty(0, np.int16)

    def lost(self, samples):
        self._at += len(self._rest) + samples
        self._rest = np.empty(0, np.int16)

    def push(self, pcm):
        sound, results = np.concatenate([self._rest, pcm]), []
        while len(sound) >= HOP:
            results.append(self._result(int(sound[:HOP].astype(np.int64).sum())))
            sound = sound[HOP:]
            self._at += HOP
        self._rest = sound
        return results

    def finish(self):
        return Exam((0, 0, 0.25), (0, 2, 0), 0, self._hop, 0)

    def _result(self, total):
        weights = np.array([1.0, -0.5, 0.1], np.float32)
        steps, phases = np.zeros((FINDINGS, STEPS)), np.zeros((PHASES, STEPS))
        start, hop = self._at, self._hop
        self._hop += 1
        steps[np.arange(3), np.arange(3)] = self._hop
        phases[1, 2] = -0.0
        return Result(
            start=start,
            hop=hop,
            quality=0 if total > 0 else 1,
            reasons=0,
            active=(0, 0, 0),
            scores=np.float32(total) * weights,
            step_scores=steps,
            phases=phases,
            embedding=np.array([0, 0, 0, 0, HOP]),
            probability=np.full(FINDINGS, (total & 1023) / 1023.0),
        )


def _write_sums(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "SHA256SUMS")
    lines = [
        f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(folder).as_posix()}\n"
        for p in files
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


@pytest.fixture
def write_sums():
    """A function that lists a folder's files anew."""
    return _write_sums


@pytest.fixture
def reference():
    """The stand-in's reference."""
    return StandInReference()


@pytest.fixture
def make_folder(tmp_path):
    """A function that writes the stand-in's folder; `edits` replace text of its C."""

    def make(stack=64, edits=None, about=None, hops=60):
        folder = tmp_path / "firmware"
        shutil.copytree(HERE / "standin", folder)
        header = next((HERE.parents[2] / "firmware_bridge" / "c").rglob("acula.h"))
        shutil.copy(header, folder / "include" / "acula.h")
        code = folder / "src" / "acula.c"
        text = code.read_text().replace("STANDIN_STACK", str(stack))
        for old, new in (edits or {}).items():
            assert old in text
            text = text.replace(old, new)
        code.write_text(text)
        (folder / "golden").mkdir()
        pcm = np.random.default_rng(3).integers(-3000, 3000, hops * HOP).astype("<i2")
        pcm.tofile(folder / "golden" / "pcm.i16")
        (folder / "acula.json").write_text(json.dumps({**ABOUT, **(about or {})}))
        _write_sums(folder)
        return folder

    return make


@pytest.fixture
def make_case():
    """(firmware, case) of a folder, answered by the stand-in's reference."""

    def make(folder, recordings=()):
        firmware = read_folder(folder)
        return firmware, case_of(StandInReference(), firmware, recordings)

    return make


@pytest.fixture(scope="session")
def arm():
    """Skips where the Arm toolchain or the emulator is missing."""
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: {ARM_APT}")


@pytest.fixture
def all_host_cc():
    """Skips where there is no compiler for this machine."""
    if shutil.which("gcc") is None and shutil.which("clang") is None:
        pytest.skip(f"no C compiler: {HOST_APT}")


@pytest.fixture
def host_cc(all_host_cc, monkeypatch):
    """One compiler for this machine, to save time; skips where there is none."""
    first = verify.host_compilers()[:1]
    monkeypatch.setattr(verify, "host_compilers", lambda: first)
