"""Each family runs as its users run it, where it is installed; where not, it says how to get it."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from acula_edge.errors import MissingDependencyError, UsageError
from benchmarks.peers import front_ends, originals
from benchmarks.peers.registry import PEERS, find_peer
from benchmarks.peers.spec import as_int16, heart_like, require

LIGHT = ("silero-vad", "webrtcvad", "pymicro-wakeword", "opera-ce", "torchaudio", "opensmile")


def _load(name):
    try:
        return find_peer(name, None).load()
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", LIGHT)
def test_a_peer_hears_its_whole_clip_again_and_again(name):
    loaded = _load(name)
    sound = heart_like(loaded.rate, loaded.seconds)
    before = sound.copy()
    for _ in range(2):
        loaded.run(sound)
    assert np.array_equal(sound, before)  # a peer that wrote into it would change the others' work
    assert loaded.version[0].isdigit() or "torch" in loaded.version


def test_a_detector_is_asked_for_every_chunk(monkeypatch):
    asked = []

    class Vad:
        def __init__(self, mode):
            assert mode == 3

        def is_speech(self, chunk, rate):
            asked.append((len(chunk), rate))

    monkeypatch.setitem(sys.modules, "webrtcvad", types.SimpleNamespace(Vad=Vad))
    loaded = find_peer("webrtcvad", None).load()
    loaded.run(heart_like(loaded.rate, loaded.seconds))
    assert asked == [(960, 16_000)] * 272


def test_a_wake_word_gets_every_feature(monkeypatch, tmp_path):
    chunks, rows = [], []

    class Features:
        def process_streaming(self, chunk):
            chunks.append(len(chunk))
            return [len(chunks)]

    class Model:
        tflite_model = tmp_path / "word.tflite"

        @classmethod
        def from_builtin(cls, name):
            cls.tflite_model.write_bytes(b"seven b")
            return cls()

        process_streaming = staticmethod(rows.append)

    library = types.SimpleNamespace(
        Model=types.SimpleNamespace(OKAY_NABU="okay_nabu"),
        MicroWakeWord=Model,
        MicroWakeWordFeatures=Features,
    )
    monkeypatch.setitem(sys.modules, "pymicro_wakeword", library)
    monkeypatch.setattr("benchmarks.peers.streaming.version", lambda _: "2.5")
    loaded = find_peer("pymicro-wakeword", None).load()
    loaded.run(heart_like(loaded.rate, loaded.seconds))
    assert chunks == [320] * 816
    assert rows == list(range(1, 817))
    assert loaded.bytes == 7


def test_opensmile_is_given_our_geometry(monkeypatch):
    heard = []

    class Smile:
        def __init__(self, feature_set, feature_level):
            self.text, self.level = Path(feature_set).read_text(), feature_level

        def process_signal(self, sound, rate):
            heard.append((self.text, self.level, len(sound), rate))

    monkeypatch.setitem(sys.modules, "opensmile", types.SimpleNamespace(Smile=Smile))
    monkeypatch.setattr("benchmarks.peers.front_ends.version", lambda _: "2.6")
    loaded = find_peer("opensmile", None).load()
    loaded.run(heart_like(loaded.rate, loaded.seconds))
    ((text, level, samples, rate),) = heard
    values = dict(line.split(" = ") for line in text.splitlines() if " = " in line)
    assert (level, samples, rate) == ("lld", 32_768, front_ends.RATE)
    assert float(values["frameSize"]) * rate == front_ends.FRAME
    assert float(values["frameStep"]) * rate == front_ends.HOP
    assert int(values["nBands"]) == front_ends.BANDS
    assert float(values["lofreq"]) == front_ends.LOW_HZ
    assert float(values["hifreq"]) == front_ends.HIGH_HZ


def test_front_ends_compute_a_frame_of_64_bands_every_16_ms(monkeypatch):
    torch = pytest.importorskip("torch")
    audio = pytest.importorskip("torchaudio")
    features = front_ends.torch_log_mel(audio, 4000, 256, 64, 64, 25.0, 2000.0)
    found = features(torch.from_numpy(heart_like(4000, 1.024)))
    assert found.shape == (64, 65)
    assert torch.isfinite(found).all()


def test_opensmile_computes_a_frame_every_16_ms():
    smile = pytest.importorskip("opensmile").Smile(
        feature_set=str(front_ends.SMILE_CONFIG), feature_level="lld"
    )
    found = smile.process_signal(heart_like(4000, 1.024), 4000)
    assert found.shape == (61, 64)
    assert np.isfinite(found.to_numpy()).all()


def test_parameters_are_those_that_the_embedding_needs():
    torch = pytest.importorskip("torch")
    from align.encoders import build_encoder

    encoder = originals.drawn(lambda: build_encoder("conv"))
    loaded = originals.torch_peer(encoder, encoder.embed_recording, 4000, 1.0, "1")
    encoder.embed(encoder.inputs(torch.from_numpy(heart_like(4000, 6.144))[None])).sum().backward()
    assert loaded.parameters == sum(p.numel() for p in encoder.parameters() if p.grad is not None)


def test_weights_are_drawn_alike_and_leave_the_generator_alone():
    torch = pytest.importorskip("torch")
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    one, two = (originals.drawn(lambda: torch.nn.Linear(4, 4)) for _ in range(2))
    assert torch.equal(one.weight, two.weight)
    assert not one.training
    assert torch.equal(torch.rand(3), wanted)


def test_opera_gt_hears_two_windows_of_a_clip():
    pytest.importorskip("torch")
    import torch

    from align.encoders.opera_audio import RATE, half_overlapping

    clip = torch.from_numpy(heart_like(RATE, originals.CLIP_SECONDS))
    assert len(half_overlapping(clip, round(8.18 * RATE))) == 2


def test_names_differ_and_openSMILE_is_not_for_products():  # noqa: N802
    names = [peer.name for peer in PEERS]
    assert len(set(names)) == len(names)
    smile = [peer for peer in PEERS if peer.name.startswith("opensmile")]
    assert len(smile) == 2
    assert all("not in products" in peer.licence and "commercial" in peer.note for peer in smile)
    assert all(peer.licence and peer.note for peer in PEERS)


def test_random_weights_are_said():
    for peer in PEERS:
        assert (peer.kind in {"original", "size class"}) == ("random weights" in peer.note)


def test_an_unknown_peer_is_refused():
    with pytest.raises(UsageError, match="no peer 'yamnet'; known: silero-vad"):
        find_peer("yamnet", None)


def test_a_library_that_is_not_there_is_one_sentence():
    with pytest.raises(MissingDependencyError, match="pip install nothing-of-this-name"):
        require("no_module_of_this_name", "nothing-of-this-name")


def test_the_sound_is_the_same_for_everyone():
    low, high = heart_like(4000, 2.0), heart_like(16_000, 2.0)
    assert len(low) == 8000 and len(high) == 32_000
    assert np.abs(low).max() < 1 and np.abs(low).max() > 0.2
    assert np.array_equal(low, heart_like(4000, 2.0))
    assert len(as_int16(low)) == 2 * len(low)
