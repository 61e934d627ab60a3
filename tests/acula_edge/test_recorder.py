"""The recording outlives a kill, a full disk and the size limit of WAV, sample for sample."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import soundfile

from acula_edge.errors import RecordingError
from acula_edge.events import (
    Decision,
    Detection,
    Event,
    Exam,
    Fault,
    FaultKind,
    FindingResult,
    Quality,
    QualityState,
    Reason,
    Window,
)
from acula_edge.recorder import Recorder
from acula_edge.wav import HEADER_BYTES, PART_BYTES

SCHEMA = json.loads(files("acula_edge").joinpath("schemas/event.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
NAN, INFINITY = float("nan"), float("inf")
EXAM = Exam(
    findings={"murmur": FindingResult(None, Decision.UNSURE)},
    abstained=True,
    reasons=(),
    model="heart-lung 1",
    device="",
    site="heart",
    heard_seconds=1.0,
    evidence_seconds=0.0,
    refused_seconds=0.0,
    lost_seconds=0.0,
)


def codes(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int32")[0] >> 8


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, n).astype(np.float32)


def test_a_clean_close_leaves_a_bit_exact_flac_and_the_exam(tmp_path: Path) -> None:
    pcm = noise(10_001)
    sink = Recorder(tmp_path, rate=4000, parameters={"site": "heart"})
    for start in range(0, len(pcm), 997):
        sink.write(pcm[start : start + 997])
    sink.close(EXAM)
    assert sorted(p.name for p in sink.path.iterdir()) == [
        "audio.flac",
        "events.jsonl",
        "exam.json",
        "parameters.json",
    ]
    info = soundfile.info(sink.path / "audio.flac")
    assert (info.samplerate, info.channels, info.subtype) == (4000, 1, "PCM_24")
    expected = np.clip(np.rint(pcm.astype(np.float64) * 2**23), -(2**23), 2**23 - 1)
    np.testing.assert_array_equal(codes(sink.path / "audio.flac"), expected)
    parameters = json.loads((sink.path / "parameters.json").read_text())
    assert parameters["site"] == "heart"
    assert parameters["recorded_samples"] == 10_001
    assert json.loads((sink.path / "exam.json").read_text())["type"] == "exam"


def test_sessions_of_the_same_second_get_their_own_folders(tmp_path: Path) -> None:
    sinks = [Recorder(tmp_path, rate=4000, parameters={}) for _ in range(3)]
    assert len({sink.path for sink in sinks}) == 3
    for sink in sinks:
        sink.close()


def test_what_does_not_fit_is_clamped_and_counted(tmp_path: Path) -> None:
    sink = Recorder(tmp_path, rate=4000, parameters={})
    sink.write(np.array([0.5, np.nan, np.inf, 2.0, -2.0, 1.0, -1.0], dtype=np.float32))
    sink.close(EXAM)
    top = 2**23
    expected = [top // 2, 0, 0, top - 1, -top, top - 1, -top]
    assert codes(sink.path / "audio.flac").tolist() == expected
    for name in ("parameters.json", "exam.json"):
        assert json.loads((sink.path / name).read_text())["clamped_samples"] == 4


def test_events_are_strict_json_lines(tmp_path: Path) -> None:
    sink = Recorder(tmp_path, rate=4000, parameters={})
    sink.event(Fault(1.0, FaultKind.GAP, 0.25))
    sink.event(Window(0.0, 1.0, {"murmur": NAN, "crackle": -INFINITY}, (), QualityState.OK))
    sink.close()
    lines = [strict(line) for line in (sink.path / "events.jsonl").read_text().splitlines()]
    assert [line["type"] for line in lines] == ["fault", "window"]
    assert lines[1]["scores"] == {"murmur": None, "crackle": None}
    for line in lines:
        VALIDATOR.validate(line)


EVENTS: list[Event] = [
    Window(0.0, 0.2, {"murmur": 0.1}, ("murmur",), QualityState.OK),
    Window(0.2, 0.4, {}, (), QualityState.REFUSE, tuple(Reason)),
    Quality(0.2, QualityState.WARN, (Reason.HUM,)),
    *(Detection(0.4, "murmur", on=on, probability=0.5) for on in (True, False)),
    *(Fault(0.5, kind, 0.1) for kind in FaultKind),
]


@pytest.mark.parametrize("probability", [None, NAN, 0.25])
def test_what_is_written_matches_the_published_schema(
    tmp_path: Path, probability: float | None
) -> None:
    sink = Recorder(tmp_path, rate=4000, parameters={"nan": NAN})
    for event in EVENTS:
        sink.event(event)
    sink.write(np.array([2.0], dtype=np.float32))
    results = {"murmur": FindingResult(probability, Decision.UNSURE)}
    sink.close(replace(EXAM, findings=results, reasons=tuple(Reason)))
    lines = (sink.path / "events.jsonl").read_text().splitlines()
    assert len(lines) == len(EVENTS)
    exam = strict((sink.path / "exam.json").read_text())
    assert exam["clamped_samples"] == 1
    for record in (*map(strict, lines), exam):
        VALIDATOR.validate(record)
    assert strict((sink.path / "parameters.json").read_text())["nan"] is None


def test_without_an_exam_the_wav_stays(tmp_path: Path) -> None:
    sink = Recorder(tmp_path, rate=4000, parameters={})
    sink.write(noise(333))
    sink.close()
    sink.close(EXAM)
    assert soundfile.info(sink.path / "audio.wav").frames == 333
    assert not (sink.path / "exam.json").exists()


def test_an_empty_session_closes(tmp_path: Path) -> None:
    sink = Recorder(tmp_path, rate=4000, parameters={})
    sink.close(EXAM)
    assert (sink.path / "exam.json").exists()


def test_sound_beyond_the_limit_of_wav_goes_to_the_next_file(tmp_path: Path) -> None:
    pcm = noise(1000)
    sink = Recorder(tmp_path, rate=4000, parameters={}, part_bytes=44 + 3 * 300 + 1)
    for start in range(0, 1000, 170):
        sink.write(pcm[start : start + 170])
    sink.close(EXAM)
    parts = [sink.path / "audio.flac", *(sink.path / f"audio-{n}.flac" for n in (2, 3, 4))]
    assert [soundfile.info(part).frames for part in parts] == [300, 300, 300, 100]
    joined = np.concatenate([codes(part) for part in parts])
    np.testing.assert_array_equal(joined, np.rint(pcm.astype(np.float64) * 2**23))


def test_the_limit_itself_fits_the_header() -> None:
    assert PART_BYTES + HEADER_BYTES < 2**32


def test_a_flac_that_differs_never_replaces_the_wav(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acula_edge.wav.same_samples", lambda one, other: False)
    sink = Recorder(tmp_path, rate=4000, parameters={})
    sink.write(noise(100))
    with pytest.raises(RecordingError, match="kept as WAV"):
        sink.close(EXAM)
    assert soundfile.info(sink.path / "audio.wav").frames == 100
    assert not list(sink.path.glob("*.flac*"))


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="cannot be started"):
        Recorder(tmp_path / "file" / "x", rate=4000, parameters={})


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from acula_edge.events import Fault, FaultKind
from acula_edge.recorder import Recorder
sink = Recorder(Path(sys.argv[1]), rate=4000, parameters={})
for start in range(0, 20_000, 500):
    sink.write(np.arange(start, start + 500, dtype=np.float32) / 2**23)
    sink.event(Fault(start / 4000, FaultKind.GAP))
os.kill(os.getpid(), signal.SIGKILL)
"""

FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from acula_edge.errors import RecordingError
from acula_edge.recorder import Recorder
sink = Recorder(Path(sys.argv[1]), rate=4000, parameters={})
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
raised = []
for start in range(0, 8000, 500):
    try:
        sink.write(np.arange(start, start + 500, dtype=np.float32) / 2**23)
    except RecordingError as error:
        raised.append(str(error))
sink.close()
assert len(raised) == 1, raised
assert sink.failed
print(raised[0])
"""


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_kill_9_leaves_a_file_that_opens_with_everything_written(tmp_path: Path) -> None:
    assert run(KILLED, tmp_path).returncode == -9
    (folder,) = tmp_path.iterdir()
    np.testing.assert_array_equal(codes(folder / "audio.wav"), np.arange(20_000))
    lines = (folder / "events.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["at"] == 19_500 / 4000


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE")
def test_a_full_disk_stops_the_recording_once_and_loses_nothing_written(tmp_path: Path) -> None:
    done = run(FULL, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "The recording stopped because" in done.stdout
    (folder,) = tmp_path.iterdir()
    kept = (10_000 - 44) // 3
    np.testing.assert_array_equal(codes(folder / "audio.wav"), np.arange(kept))
