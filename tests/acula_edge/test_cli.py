"""The command line as a user meets it: whole processes."""

import json
import subprocess
import sys

import jsonschema
import numpy as np
import pytest
import soundfile as sf
import sounds

from acula_edge.demo import default_demo, demos

HEAVY = ("numpy", "onnxruntime", "torch", "soundfile", "soxr", "sounddevice")


def acula(*arguments, **options):
    command = [sys.executable, "-m", "acula_edge", *map(str, arguments)]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=120, **options
    )


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_help_imports_nothing_heavy():
    probe = (
        "import sys; sys.argv = ['acula-edge', '--help']\n"
        "from acula_edge.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", probe], check=False, capture_output=True, text=True
    )
    assert result.stdout.strip().endswith("[]")
    for command in ("listen", "classify", "devices", "doctor", "model", "export", "bench"):
        assert command in result.stdout


def test_the_demo_recordings_are_heard_for_what_they_are():
    result = acula("classify", "--json", *(demo.path for demo in demos()))
    assert result.returncode == 0
    murmur, normal, wheeze = (line["findings"] for line in lines(result))
    assert murmur["murmur"]["decision"] == "present"
    assert normal["murmur"]["decision"] == "absent"
    assert wheeze["wheeze"]["decision"] == "present"


def test_every_demo_has_its_licence():
    for demo in demos():
        assert demo.path.is_file()
        assert demo.licence in ("ODC-By 1.0", "CC BY 4.0", "CC0 1.0")
        assert demo.attribution
    assert default_demo("lung").site == "lung"
    assert default_demo(None).site == "heart"


def bad_files(folder):
    beat = sounds.heartbeat(6)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("not sound")
    sf.write(folder / "header-only.wav", np.zeros(0, np.float32), 4000)
    sf.write(folder / "whole.flac", beat, 4000)
    whole = (folder / "whole.flac").read_bytes()
    (folder / "truncated.flac").write_bytes(whole[: len(whole) // 2])
    (folder / "whole.flac").unlink()
    return ["empty.wav", "text.wav", "header-only.wav", "truncated.flac", "missing.wav"]


def good_files(folder):
    beat = sounds.heartbeat(6)
    at_96k = np.repeat(beat, 24)
    sf.write(folder / "a8.wav", beat, 4000, subtype="PCM_U8")
    sf.write(folder / "b24.wav", beat, 4000, subtype="PCM_24")
    sf.write(folder / "float.wav", beat, 4000, subtype="FLOAT")
    sf.write(folder / "r96.wav", at_96k, 96000)
    sf.write(folder / "eight.wav", np.stack([beat] * 8, axis=1), 4000)
    sf.write(folder / "c.ogg", np.repeat(beat, 2), 8000)
    broken = beat.copy()
    broken[100] = np.nan
    sf.write(folder / "nan.wav", broken, 4000, subtype="FLOAT")
    sf.write(folder / "one.wav", beat[:1], 4000)
    sf.write(folder / "zeros.wav", np.zeros(24000), 4000)
    sf.write(folder / "square.wav", np.sign(sounds.tone(6, 70)), 4000)
    return ["a8.wav", "b24.wav", "float.wav", "r96.wav", "eight.wav", "c.ogg"], [
        "nan.wav",
        "one.wav",
        "zeros.wav",
        "square.wav",
    ]


def test_bad_files_are_reported_and_the_others_still_scored(tmp_path):
    bad = bad_files(tmp_path)
    fine, poor = good_files(tmp_path)
    names = [*bad[:2], *fine, *bad[2:], *poor]
    result = acula("classify", "--json", *names, cwd=tmp_path)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    found = {line["file"]: line for line in lines(result)}
    assert list(found) == names
    for name in bad:
        assert found[name]["type"] == "error"
        assert name in found[name]["error"]
    for name in fine:
        assert found[name]["type"] == "exam"
        assert not found[name]["abstained"], name
    for name in ("one.wav", "zeros.wav", "square.wav"):
        assert found[name]["abstained"], name
    assert found["nan.wav"]["refused_seconds"] > 0


def test_classify_lines_match_the_published_schema(tmp_path):
    from importlib.resources import files

    schema = json.loads(files("acula_edge").joinpath("schemas/event.schema.json").read_text())
    sf.write(tmp_path / "a.wav", sounds.heartbeat(6), 4000)
    result = acula("classify", "--json", "--site", "heart", tmp_path / "a.wav", tmp_path / "b.wav")
    for line in lines(result):
        jsonschema.validate(line, schema)
    assert list(lines(result)[0]["findings"]) == ["murmur"]


def test_a_folder_stands_for_its_recordings(tmp_path):
    for name in ("b.wav", "a.wav", "notes.txt"):
        sf.write(tmp_path / name, sounds.heartbeat(4), 4000, format="WAV")
    result = acula("classify", "--json", tmp_path)
    assert [line["file"][-5:] for line in lines(result)] == ["a.wav", "b.wav"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["classify", "x.wav", "--model", "no-such"], 4, "no-such"),
        (["classify", "x.wav", "--site", "knee"], 2, "knee"),
        (["classify", "x.wav", "--variant", "fp16"], 4, "fp16"),
        (["classify", "."], 1, "holds no recordings"),
        (["listen", "--input", "missing.wav"], 1, "missing.wav"),
        (["listen", "--input", "serial:/dev/nothing"], 3, "serial"),
        (["listen", "--input", "radio:7"], 2, "radio"),
    ],
)
def test_mistakes_are_one_sentence_and_an_exit_code(arguments, code, message, tmp_path):
    result = acula(*arguments, cwd=tmp_path)
    assert result.returncode == code
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_missing_extra_says_what_to_install(monkeypatch, capsys):
    from acula_edge.cli import main

    monkeypatch.setitem(sys.modules, "export.cli", None)
    monkeypatch.setattr("sys.argv", ["acula-edge", "export", "train"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 5
    assert "pip install 'acula-edge[export]'" in capsys.readouterr().err


def test_listening_to_a_file_gives_the_same_exam_as_classifying_it():
    path = default_demo("heart").path
    heard = lines(acula("listen", "--input", path, "--fast", "--json", "--site", "heart"))[-1]
    scored = lines(acula("classify", "--json", "--site", "heart", path))[-1]
    assert heard["type"] == scored["type"] == "exam"
    assert heard["findings"] == scored["findings"]


def test_raw_pcm_on_stdin():
    codes = np.rint(sounds.heartbeat(6) * 32767).astype("<i2")
    command = [
        sys.executable,
        "-m",
        "acula_edge",
        "listen",
        "--input",
        "-",
        "--rate",
        "4000",
        "--json",
    ]
    result = subprocess.run(
        command, check=False, input=codes.tobytes(), capture_output=True, timeout=60
    )
    assert result.returncode == 0
    exam = json.loads(result.stdout.splitlines()[-1])
    assert exam["type"] == "exam"
    assert exam["heard_seconds"] == 6.0
