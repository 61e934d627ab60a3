"""Memory is that of a process of its own, and ours is the runtime's alone."""

import json
import subprocess
import sys

import numpy as np
import pytest

from acula_edge.bundle import load_bundle
from acula_edge.errors import UsageError
from benchmarks.peers import memory
from benchmarks.peers.memory import Child, measure_memory, our_child, peak_rss_mib, peer_child
from benchmarks.peers.ours import our_sides

WHOLE = "heart-lung cpu-int8, whole path"
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
def test_a_large_parent_does_not_count_against_its_child():
    here = np.ones(400_000_000 // 8)
    origin = load_bundle("heart-lung").origin
    told = []
    children = [our_child(WHOLE, origin, "cpu-int8"), Child(("nobody",))]
    ours, nobody = measure_memory(children, progress=told.append)
    assert told == [f"memory of {WHOLE} and of nobody"]
    assert 20 < ours < 300
    assert peak_rss_mib() > 380
    assert nobody is None
    assert here[0] == 1


def test_ours_imports_the_runtime_alone():
    code = (
        "import sys; from benchmarks.peers.memory import main; main(sys.argv[1:]);"
        "sys.exit(any(name in sys.modules for name in"
        " ('torch', 'onnx', 'sklearn', 'align', 'benchmarks.peers.registry')))"
    )
    arguments = our_child(WHOLE, load_bundle("heart-lung").origin, "cpu-int8").arguments
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, check=True)
    assert set(json.loads(done.stdout)) == {"peak_rss_mib"}


def test_a_process_computes_on_one_thread_and_keeps_its_bytecode(monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    environment = memory.child_environment()
    assert environment["OMP_NUM_THREADS"] == environment["OPENBLAS_NUM_THREADS"] == "1"
    assert "PYTHONDONTWRITEBYTECODE" not in environment
    assert environment["PATH"]


def test_arguments_name_one_side(monkeypatch, capsys, tmp_path):
    runs = []
    bundle = load_bundle("heart-lung")
    for side in our_sides(bundle, "fp32"):
        memory.main(our_child(side.name, bundle.origin, "fp32").arguments)
        runs.append(json.loads(capsys.readouterr().out))
    assert len(runs) == 2
    with pytest.raises(UsageError, match="no side"):
        memory.main(our_child("theirs", bundle.origin, "fp32").arguments)
    with pytest.raises(UsageError, match="no peer 'nobody'"):
        memory.main(["nobody"])
    assert peer_child("ast", tmp_path).arguments == ("ast", "--original", str(tmp_path))


def test_a_process_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(
        memory, "_start", lambda _: subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE)
    )
    assert measure_memory([Child(("x",))], patience=0.05) == [None]


def test_no_process_is_left_behind_by_ctrl_c(monkeypatch):
    started = []

    def start(_):
        started.append(subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE))
        return started[-1]

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(memory, "_start", start)
    monkeypatch.setattr(memory, "_peak_of", interrupt)
    with pytest.raises(KeyboardInterrupt):
        measure_memory([Child(("a",)), Child(("b",)), Child(("c",))])
    assert len(started) == 2
    assert all(process.returncode is not None for process in started)
