"""`listen` and `doctor` as commands: exit codes, stdout, the recording and the demo."""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from acula_edge.cli import app
from acula_edge.errors import (
    AculaError,
    DeviceError,
    MissingDependencyError,
    RecordingError,
    UsageError,
)
from acula_edge.events import (
    Decision,
    Event,
    Exam,
    FindingResult,
    Quality,
    QualityState,
    Reason,
    Window,
)

RATE = 4000
SCHEMA = json.loads(files("acula_edge").joinpath("schemas/event.schema.json").read_text())


class FakeSession:
    """A session that says one window per push."""

    seen: dict[str, Any] = {}  # noqa: RUF012 - what the command passed on

    def __init__(self, model: str, **options: Any) -> None:
        FakeSession.seen = {"model": model, **options}
        self.site = options["site"]
        self.findings = ("murmur",)
        finding = SimpleNamespace(name="murmur", present=0.5, enter=0.6, leave=0.4)
        manifest = SimpleNamespace(name="m", version="1", rate=RATE, findings=(finding,))
        self.bundle = SimpleNamespace(manifest=manifest, digest="abc")

    def __enter__(self) -> FakeSession:
        return self

    def __exit__(self, *args: object) -> None: ...

    def push(self, pcm: Any, lost: int = 0) -> list[Event]:
        return [Window(0.0, 0.1, {"murmur": 0.2}, (), QualityState.OK)]

    def flush(self) -> list[Event]:
        return [Quality(0.1, QualityState.WARN, (Reason.HUM,))]

    def finish(self) -> Exam:
        result = {"murmur": FindingResult(0.2, Decision.ABSENT)}
        return Exam(result, False, (), "m 1", "", "heart", 1.0, 1.0, 0.0, 0.0)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "heart.wav"
    soundfile.write(path, np.full(RATE, 0.25, dtype=np.float32), RATE, "PCM_24")
    return path


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch, recording: Path) -> None:
    monkeypatch.setattr("acula_edge.session.Session", FakeSession)
    demo: Any = ModuleType("acula_edge.demo")
    demo.default_demo = lambda site=None: SimpleNamespace(
        path=recording, title="a heart", site="heart", attribution="Someone.", licence="CC BY 4.0"
    )
    monkeypatch.setitem(sys.modules, "acula_edge.demo", demo)


@pytest.fixture(params=[DeviceError, MissingDependencyError])
def no_microphone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def __init__(self, *args: object, **options: object) -> None: ...

        def __enter__(self) -> None:
            raise request.param("No input device was found.")

        def __exit__(self, *args: object) -> None: ...

    monkeypatch.setattr("acula_edge.sources.microphone.Microphone", Missing)


def run(*arguments: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def test_json_is_all_there_is_on_stdout(recording: Path) -> None:
    result = run("listen", "--input", str(recording), "--fast", "--json", "--site", "heart")
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["window"] * 10 + ["quality", "exam"]
    for line in lines:
        jsonschema.Draft202012Validator(SCHEMA).validate(line)
    assert FakeSession.seen["site"] == "heart"
    assert FakeSession.seen["source_rate"] == RATE


def test_plain_text_without_a_terminal(recording: Path) -> None:
    result = run("listen", "--input", str(recording), "--fast")
    assert result.exit_code == 0
    assert "00:01" in result.stdout
    assert "absent" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_recording_can_be_repeated_from_its_folder(recording: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    run(
        *("listen", "--input", str(recording), "--fast", "--duration", "0.5"),
        *("--record", str(folder), "--site", "heart"),
    )
    (session,) = folder.iterdir()
    assert soundfile.info(session / "audio.flac").frames == RATE // 2
    parameters = json.loads((session / "parameters.json").read_text())
    assert parameters["model_digest"] == "abc"
    assert parameters["site"] == "heart"
    assert parameters["rate"] == RATE
    assert parameters["options"]["duration"] == 0.5


def test_a_failed_recording_shows_in_the_exit_code(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, pcm: object) -> None:
        raise RecordingError("The disk is full.")

    monkeypatch.setattr("acula_edge.recorder.Recorder.write", fail)
    result = run("listen", "--input", str(recording), "--fast", "--record", str(tmp_path / "x"))
    assert isinstance(result.exception, RecordingError)
    assert "absent" in result.stdout


def test_stdin_is_heard(recording: Path) -> None:
    pcm = np.zeros(RATE, dtype="<i2").tobytes()
    result = run("listen", "--input", "-", "--rate", "4000", "--json", stdin=pcm)
    assert json.loads(result.stdout.splitlines()[-1])["type"] == "exam"


@pytest.mark.usefixtures("no_microphone")
def test_a_missing_microphone_says_what_else_to_do() -> None:
    result = run("listen")
    assert isinstance(result.exception, AculaError)
    assert result.exception.exit_code == 3
    assert "--input FILE" in str(result.exception)
    assert "--or-demo" in str(result.exception)


@pytest.mark.usefixtures("no_microphone")
def test_or_demo_plays_the_demo_and_says_so() -> None:
    result = run("listen", "--or-demo", "--json", "--duration", "0.2")
    assert result.exit_code == 0
    assert result.stderr == "No input device was found. Playing the demo instead: a heart.\n"
    assert len(result.stdout.splitlines()) == 4
    assert FakeSession.seen["site"] == "heart", "a demo is heard at its own site"
    assert FakeSession.seen["device"] == "demo: a heart"


@pytest.mark.usefixtures("no_microphone")
def test_the_demo_is_named_and_credited() -> None:
    result = run("listen", "--or-demo", "--duration", "0.2")
    assert result.exit_code == 0
    assert "demo: a heart" in result.stdout.splitlines()[0]
    assert result.stdout.splitlines()[-1] == "Demo recording: Someone. CC BY 4.0."


def test_or_demo_does_not_hide_a_missing_file(tmp_path: Path) -> None:
    result = run("listen", "--or-demo", "--input", str(tmp_path / "none.wav"))
    assert isinstance(result.exception, AculaError)


def test_fast_is_for_files() -> None:
    assert isinstance(run("listen", "--fast").exception, UsageError)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = SimpleNamespace(name="m", version="1", rate=RATE, hop=800)
    bundle = SimpleNamespace(manifest=manifest, digest="0" * 64, verify=lambda: None)
    monkeypatch.setattr("acula_edge.bundle.load_bundle", lambda name: bundle)

    class Scoring(FakeSession):
        def __init__(self, model: Any, *, source_rate: int) -> None: ...

    monkeypatch.setattr("acula_edge.session.Session", Scoring)


@pytest.fixture
def no_portaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingDependencyError("PortAudio is missing.")

    monkeypatch.setattr("acula_edge.sources.devices.load_portaudio", missing)


@pytest.mark.usefixtures("model", "no_portaudio")
def test_the_doctor_passes_without_a_microphone() -> None:
    result = run("doctor", "--json")
    assert result.exit_code == 0, result.output
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert checks["PortAudio"]["status"] == "WARN"
    assert checks["model"]["status"] == "OK"
    assert "n=5" in checks["pace"]["detail"]


@pytest.mark.usefixtures("no_portaudio")
def test_the_doctor_fails_with_a_bad_model(tmp_path: Path) -> None:
    result = run("doctor", "--model", str(tmp_path / "none"))
    assert result.exit_code == 1
    assert "FAIL" in result.stdout
    assert "→" in result.stdout
