from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from acula_edge.errors import AudioFileError
from acula_edge.sources.files import FileSource

RATE = 4000


def tone(seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 100 * np.arange(round(seconds * rate)) / rate)).astype("f4")


def read(path: Path, **options: object) -> np.ndarray:
    with FileSource(path, **options) as source:
        return np.concatenate([block.pcm for block in source.blocks()])


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(AudioFileError) as caught:
        read(path, **options)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def until_broken(path: Path) -> tuple[np.ndarray, str]:
    parts = []
    with pytest.raises(AudioFileError) as caught, FileSource(path) as source:
        for block in source.blocks():
            parts.append(block.pcm)
    return np.concatenate(parts), str(caught.value)


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_U8", 2**-7),
        ("a.wav", "PCM_16", 2**-14),
        ("a.wav", "PCM_24", 2**-22),
        ("a.wav", "PCM_32", 2**-23),
        ("a.wav", "FLOAT", 0),
        ("a.wav", "DOUBLE", 0),
        ("a.wav", "ULAW", 0.02),
        ("a.flac", "PCM_S8", 2**-6),
        ("a.flac", "PCM_24", 2**-22),
        ("a.ogg", "VORBIS", 0.05),
    ],
)
def test_every_depth_decodes(tmp_path: Path, name: str, subtype: str, tolerance: float) -> None:
    soundfile.write(tmp_path / name, tone(), RATE, subtype=subtype)
    pcm = read(tmp_path / name)
    assert pcm.dtype == np.float32
    assert np.max(np.abs(pcm - tone())) <= tolerance


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.flac"])
def test_blocks_decode_as_the_whole_file_does(tmp_path: Path, name: str) -> None:
    """soundfile seeks after every read, and an MP3 decoder loses its memory each time."""
    path = tmp_path / name
    soundfile.write(path, tone(2, 44100), 44100)
    whole = soundfile.read(path, dtype="float32")[0]
    assert len(whole) == 2 * 44100
    assert np.std(whole) == pytest.approx(np.std(tone(2, 44100)), rel=0.02)
    assert np.allclose(read(path), whole, atol=1e-6)


def test_blocks_are_numbered_and_of_the_size_asked_for(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1.05), RATE)
    with FileSource(tmp_path / "a.wav", block_seconds=0.1) as source:
        blocks = list(source.blocks())
        assert (source.rate, source.lag_seconds, source.lost_samples) == (RATE, 0.0, 0)
    assert [len(block.pcm) for block in blocks] == [400] * 10 + [200]
    assert [block.first_sample for block in blocks] == list(range(0, 4400, 400))
    assert blocks[0].pcm.base is None, "a block must not change when the next one is read"


def test_one_channel_of_eight_at_96_khz(tmp_path: Path) -> None:
    frames = np.stack([np.full(9600, index / 16, np.float32) for index in range(8)], axis=1)
    soundfile.write(tmp_path / "a.wav", frames, 96000, subtype="PCM_24")
    assert np.all(read(tmp_path / "a.wav") == 0)
    assert np.all(read(tmp_path / "a.wav", channel=5) == 5 / 16)
    assert "no channel 8" in refusal(tmp_path / "a.wav", channel=8)
    assert "no channel -1" in refusal(tmp_path / "a.wav", channel=-1)


def test_invalid_samples_pass_untouched(tmp_path: Path) -> None:
    sound = np.array([0, np.nan, np.inf, -np.inf, 0.5], np.float32)
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    assert np.array_equal(read(tmp_path / "a.wav"), sound, equal_nan=True)


def test_real_time_keeps_the_clock_and_shows_lag(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.6), RATE)
    with FileSource(tmp_path / "a.wav", realtime=True, block_seconds=0.05) as source:
        blocks = source.blocks()
        started = time.monotonic()
        next(blocks)
        time.sleep(0.3)
        assert source.lag_seconds == pytest.approx(0.3, abs=0.05)
        assert sum(1 for _ in blocks) == 11
        assert time.monotonic() - started == pytest.approx(0.6, abs=0.1)
        assert source.lag_seconds < 0.1


def test_closing_ends_the_blocks(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), RATE)
    with FileSource(tmp_path / "a.wav") as source:
        blocks = source.blocks()
        next(blocks)
        source.close()
        source.close()
        assert list(blocks) == []


def test_missing_directory_and_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    assert refusal(tmp_path / "none.wav").endswith("does not exist.")
    assert refusal(tmp_path).endswith("is a directory, not a recording.")
    assert refusal(tmp_path / "empty.wav").endswith("is empty.")
    os.mkfifo(tmp_path / "pipe")
    assert "not an ordinary file" in refusal(tmp_path / "pipe")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), RATE)

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    assert refusal(tmp_path / "a.wav").endswith("cannot be opened: Permission denied.")


def test_text_named_wav(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("S1 S2 S1 S2\n" * 99)
    assert refusal(tmp_path / "a.wav").endswith("cannot be read as audio: Format not recognised.")


def test_header_without_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", tone()[:0], RATE)
    soundfile.write(tmp_path / "cut.wav", tone(), RATE)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:44])
    assert refusal(tmp_path / "none.wav").endswith("has no samples.")
    assert refusal(tmp_path / "cut.wav").endswith("has no samples.")


def test_unsupported_codec(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), RATE)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[20:22] = (0x0161).to_bytes(2, "little")  # Windows Media Audio
    (tmp_path / "a.wav").write_bytes(data)
    assert "cannot be read as audio" in refusal(tmp_path / "a.wav")


def test_damaged_headers_never_leak_another_error(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.1), RATE)
    whole = (tmp_path / "a.wav").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(whole)
        for place in rng.integers(0, 44, 3):
            data[place] = rng.integers(256)
        (tmp_path / "a.wav").write_bytes(data)
        try:
            read(tmp_path / "a.wav")
        except AudioFileError:
            continue


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3"])
def test_a_truncated_file_gives_what_it_has_and_says_where_it_broke(
    tmp_path: Path, name: str
) -> None:
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 4 * 44100).astype(np.float32)
    path = tmp_path / name
    soundfile.write(path, sound, 44100)
    whole = read(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(0.6 * len(data))])
    pcm, error = until_broken(path)
    assert error == f"{path} is truncated after {len(pcm) / 44100:.2f} s."
    assert 0.5 < len(pcm) / len(whole) <= 0.61
    # An MP3 decoder conceals the frame that was cut.
    sure = len(pcm) - (2304 if name == "a.mp3" else 0)
    assert np.array_equal(pcm[:sure], whole[:sure])


def test_a_wav_of_unknown_length_is_whole(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), RATE)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(data)
    assert len(read(tmp_path / "a.wav")) == RATE
