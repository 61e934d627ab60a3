"""Peers side by side with the shipped bundle: ratios, what is missing, and what is refused."""

import pytest

from acula_edge.bundle import load_bundle
from acula_edge.errors import BundleError, MissingDependencyError, UsageError
from benchmarks.peers import measure
from benchmarks.peers.measure import PeerSettings, measure_peers
from benchmarks.peers.spec import Loaded

SETTINGS = PeerSettings(turns=3, least_seconds=0.002, memory=False)


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("heart-lung")


def _idle():
    return Loaded(lambda sound: float(sound.sum()), 4000, 1.0, "2.1", parameters=3, bytes=12)


def _busy():
    return Loaded(lambda sound: [float(abs(sound).sum()) for _ in range(5000)], 4000, 1.0, "1.0")


def test_rows_are_ours_first_then_the_peers(bundle, spec):
    found = measure_peers(
        bundle, "cpu-int8", SETTINGS, specs=[spec("idle", _idle), spec("busy", _busy, "original")]
    )
    assert found.turns == 3
    names = ["heart-lung cpu-int8, whole path", "heart-lung cpu-int8, stream graph", "idle", "busy"]
    assert [row.name for row in found.rows] == names
    assert [row.kind for row in found.rows] == ["ours", "ours", "streaming", "original"]
    whole, graph, idle, busy = found.rows
    assert whole.ratio is None and whole.pairs == 0
    assert whole.version == bundle.manifest.version
    assert whole.bytes == len(bundle.graph("cpu-int8"))
    assert (idle.version, idle.licence, idle.parameters, idle.bytes) == ("2.1", "MIT", 3, 12)
    assert idle.ratio.low <= idle.ratio.value <= idle.ratio.high
    assert idle.ratio.value < graph.ratio.value < 1 < busy.ratio.value
    assert graph.note == "front end and network alone, hop by hop, handed the model's rate"
    to_graph = busy.cpu_ms_per_second.p50.value / graph.cpu_ms_per_second.p50.value
    assert busy.graph_ratio.value == pytest.approx(to_graph, rel=0.5)
    assert busy.graph_ratio.low <= busy.graph_ratio.value <= busy.graph_ratio.high
    assert whole.graph_ratio is None and graph.graph_ratio is None
    assert graph.pairs == idle.pairs == busy.pairs == 3
    assert whole.cpu_ms_per_second.samples == 9  # beside each of three, in each of three turns
    assert idle.cpu_ms_per_second.samples == 3
    assert all(row.peak_rss_mib is None and row.rss_ratio is None for row in found.rows)


def test_peers_that_are_not_there_or_break_are_named_and_cost_nothing_else(bundle, spec):
    def absent():
        raise MissingDependencyError("it is not installed: pip install it")

    def broken():
        raise RuntimeError("needs a newer\nmachine")

    def stumbling():
        return Loaded(lambda sound: 1 / 0, 4000, 1.0, "1")

    specs = [spec("absent", absent), spec("broken", broken), spec("stumbling", stumbling),
             spec("idle", _idle)]  # fmt: skip
    found = measure_peers(bundle, "cpu-int8", SETTINGS, specs=specs)
    assert [row.name for row in found.rows[2:]] == ["idle"]
    missing = {peer.name: peer.why for peer in found.missing}
    assert list(missing) == ["aligned encoder", "absent", "broken", "stumbling"]
    assert "align run" in missing["aligned encoder"]
    assert missing["absent"] == "it is not installed: pip install it"
    assert missing["broken"] == "it could not be loaded (RuntimeError: needs a newer)"
    assert missing["stumbling"] == "it could not run (ZeroDivisionError: division by zero)"


def test_without_any_peer_ours_are_measured(bundle):
    found = measure_peers(bundle, "fp32", SETTINGS, specs=[])
    assert [row.name for row in found.rows] == [
        "heart-lung fp32, whole path", "heart-lung fp32, stream graph",
    ]  # fmt: skip


def test_memory_is_a_ratio_to_ours(bundle, spec, monkeypatch):
    asked = []

    def peaks(children, progress):
        asked.extend(child.arguments for child in children)
        return [50.0, 40.0, 500.0, None]

    monkeypatch.setattr(measure, "measure_memory", peaks)
    settings = PeerSettings(turns=2, least_seconds=0.002)
    found = measure_peers(
        bundle, "cpu-int8", settings, specs=[spec("idle", _idle), spec("busy", _busy)]
    )
    assert [row.peak_rss_mib for row in found.rows] == [50.0, 40.0, 500.0, None]
    assert [row.rss_ratio for row in found.rows] == [None, 0.8, 10.0, None]
    whole = "heart-lung cpu-int8, whole path"
    assert asked[0] == (whole, "--bundle", str(bundle.origin), "--variant", "cpu-int8")
    assert asked[2:] == [("idle",), ("busy",)]


def test_an_interrupted_run_tells_fewer_turns(bundle, spec):
    calls = []

    def load():
        def run(sound):
            calls.append(1)
            if len(calls) > 5:
                raise KeyboardInterrupt

        return Loaded(run, 4000, 1.0, "1")

    settings = PeerSettings(turns=50, least_seconds=0.0, memory=False)
    found = measure_peers(bundle, "cpu-int8", settings, specs=[spec("stopping", load)])
    assert 2 <= found.turns < 50
    assert all(row.pairs == found.turns for row in found.rows[1:])


@pytest.mark.parametrize("turns", [1, 0])
def test_one_turn_is_no_comparison(bundle, turns):
    with pytest.raises(UsageError, match="two turns"):
        measure_peers(bundle, "cpu-int8", PeerSettings(turns=turns), specs=[])


def test_an_unknown_variant_is_refused(bundle):
    with pytest.raises(BundleError, match="int3"):
        measure_peers(bundle, "int3", SETTINGS, specs=[])


def test_a_folder_without_an_encoder_is_refused_before_anything_is_measured(bundle, tmp_path, spec):
    def never():
        raise AssertionError("measured")

    with pytest.raises(UsageError, match="no encoder description"):
        measure_peers(bundle, "cpu-int8", SETTINGS, original=tmp_path, specs=[spec("never", never)])


def test_the_aligned_encoder_of_a_run_is_measured(bundle, tmp_path):
    from align.encoders import build_encoder
    from align.encoders.checkpoints import save_encoder

    options = {"width": 8, "blocks": 1, "seconds": 1.024}
    encoder = build_encoder("conv", options)
    save_encoder(encoder, "conv", options, tmp_path)
    found = measure_peers(bundle, "cpu-int8", SETTINGS, original=tmp_path, specs=[])
    row = found.rows[2]
    assert (row.name, row.kind) == ("aligned encoder", "original")
    assert row.parameters == sum(p.numel() for m in (encoder.trunk, encoder.norm)
                                 for p in m.parameters())  # fmt: skip
    assert row.bytes == 4 * row.parameters
    assert row.cpu_ms_per_second.p50.value > 0
    assert found.missing == ()
