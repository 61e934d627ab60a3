"""The whole loop: a file, semihosting, the model in QEMU, its UART, the host's decoder."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from acula_edge.errors import BundleError, UsageError
from acula_edge.events import QualityState
from firmware_bridge.example.run import run_example
from firmware_bridge.link.payload import Info
from firmware_bridge.verify.folder import read_folder

pytest.importorskip("cobs", reason="pip install 'acula-edge[firmware]'")
LINK = Path(__file__).resolve().parents[3] / "firmware_bridge" / "link" / "c"
HOP, RATE = 768, 4000


@pytest.fixture
def firmware(make_folder, write_sums):
    folder = make_folder()
    shutil.copytree(LINK, folder / "link")
    write_sums(folder)
    return read_folder(folder)


@pytest.fixture
def pcm():
    """22 s and a bit: three INFO packets, 114 hops and a rest."""
    return np.random.default_rng(8).integers(-3000, 3000, 22 * RATE + 10).astype(np.int16)


@pytest.mark.usefixtures("arm")
@pytest.mark.parametrize("core", ["m4", "m7"])
def test_the_whole_loop(core, firmware, pcm, reference):
    sent = list(run_example(firmware, pcm, core=core))
    infos = [each for each in sent if isinstance(each, Info)]
    results = [each for each in sent if not isinstance(each, Info)]
    assert sent[0] is infos[0] and len(infos) == 3
    assert infos[0].rate == RATE and infos[0].hop == HOP and infos[0].findings == 3
    assert infos[0].model.hex() == "00112233445566778899aabbccddeeff" * 2
    expected = reference.push(pcm)
    assert [each.hop for each in results] == list(range(len(pcm) // HOP))
    for mine, theirs in zip(expected, results, strict=True):
        assert theirs.probabilities == tuple(float(np.float32(p)) for p in mine.probability)
        assert theirs.quality is (QualityState.WARN if mine.quality else QualityState.OK)
    assert {each.quality for each in results} == {QualityState.OK, QualityState.WARN}


@pytest.mark.usefixtures("arm")
def test_results_come_while_it_runs_and_a_reader_may_leave(firmware, pcm, monkeypatch):
    boards = []

    class Watched(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            boards.append(self)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    running = run_example(firmware, np.tile(pcm, 100))
    assert isinstance(next(running), Info)
    assert next(running).hop == 0
    board = boards[-1]
    assert "-kernel" in board.args and board.poll() is None
    running.close()
    assert board.poll() is not None


@pytest.mark.usefixtures("arm")
def test_a_folder_without_link_code(make_folder, pcm):
    with pytest.raises(BundleError, match="has no acula_link"):
        next(run_example(read_folder(make_folder()), pcm))


@pytest.mark.usefixtures("arm")
def test_a_model_that_does_not_start_is_a_sentence(make_folder, write_sums, pcm):
    folder = make_folder(edits={"bytes < sizeof(acula)": "bytes > 0"})
    shutil.copytree(LINK, folder / "link")
    write_sums(folder)
    with pytest.raises(BundleError, match="the example ended with code 66"):
        list(run_example(read_folder(folder), pcm))


def test_a_core_without_a_board(firmware, pcm):
    with pytest.raises(UsageError, match="m4 or m7, not on 'm55'"):
        next(run_example(firmware, pcm, core="m55"))
