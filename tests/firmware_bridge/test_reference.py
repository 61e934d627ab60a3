"""The reference against ONNX Runtime, layer by layer, and against the Python runtime's answers."""

import numpy as np
import onnx
import pytest
from mcu_bundle import HOP, MCU_INT8, mcu_bundle, mcu_pcm

from acula_edge.errors import UsageError
from acula_edge.events import Window
from acula_edge.session import Session
from firmware_bridge.arithmetic import mean
from firmware_bridge.decision import Quality, Reasons
from firmware_bridge.model import read_model
from firmware_bridge.network import Network
from firmware_bridge.reference import Reference

HOPS = 60
STATES = {"ok": Quality.OK, "warn": Quality.WARN, "refuse": Quality.REFUSE}
REASONS = {
    "no_contact": Reasons.NO_CONTACT,
    "stuck": Reasons.STUCK,
    "clipped": Reasons.CLIPPED,
    "gap": Reasons.GAP,
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return mcu_bundle(tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="module")
def model(bundle):
    return read_model(bundle)


@pytest.fixture(scope="module")
def pcm():
    """Ordinary sound, then what the gate must notice."""
    sound = mcu_pcm(HOPS)
    sound[10 * HOP : 29 * HOP] = 0
    sound[32 * HOP : 34 * HOP] = 77
    sound[36 * HOP : 38 * HOP] = np.where(np.arange(2 * HOP) % 2, 32767, -32768)
    return sound


@pytest.fixture(scope="module")
def hops(model, pcm):
    return Reference(model).push(pcm)


class Graph:
    """The variant in ONNX Runtime's integer kernels, with every layer's codes as outputs."""

    def __init__(self, bundle, model):
        import onnxruntime as ort

        proto = onnx.load_from_string(bundle.graph(MCU_INT8, "stream"))
        self.layers = [
            f"block{i}.{'sum' if b.residual else 'out'}.q" for i, b in enumerate(model.blocks)
        ]
        for name in ["block0.in.q", *self.layers, "text.in.q"]:
            info = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT8, None)
            proto.graph.output.append(info)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.qdqisint8allowed", "1")
        self.session = ort.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.names = [output.name for output in self.session.get_outputs()]
        self.state = np.zeros(self.session.get_inputs()[1].shape, np.float32)

    def run(self, pcm):
        feeds = {"pcm": pcm[None].astype(np.float32) / 32768, "state": self.state}
        found = dict(zip(self.names, self.session.run(None, feeds), strict=True))
        self.state = found["next_state"]
        return found

    def layer(self, found, name):
        codes = found[name][0]
        return codes.T if ".out." in name else codes


def test_every_integer_layer_is_onnx_runtimes_given_its_feature_codes(bundle, model):
    graph, network, pooled_gap = Graph(bundle, model), Network(model), 0
    for hop in mcu_pcm(HOPS).reshape(-1, HOP):
        found = graph.run(hop)
        layers = network.trunk(found["block0.in.q"][0][-model.frames :])
        for name, mine in zip(graph.layers, layers, strict=True):
            assert np.array_equal(mine, graph.layer(found, name)), name
        logits = network._heads(layers[-1])
        assert np.allclose(logits.steps, found["step_scores"][0], rtol=1e-5, atol=1e-4)
        assert np.allclose(logits.phases, found["phases"][0], rtol=1e-5, atol=1e-4)
        assert np.allclose(logits.scores, found["scores"][0], rtol=1e-5, atol=1e-4)
        # The graph adds the mean up in float: exact halves fall either way there.
        pooled = mean(layers[-1], model.findings.source.zero).astype(int)
        gap = np.abs(pooled - found["text.in.q"].reshape(-1))
        centred = layers[-1].astype(int).sum(axis=0) - model.steps * model.findings.source.zero
        assert (2 * centred[gap > 0] % (2 * model.steps) == model.steps).all()
        pooled_gap += int(gap.sum())
    assert pooled_gap < 0.06 * HOPS * model.width


def test_logits_are_onnx_runtimes_end_to_end_but_for_code_flips(bundle, model):
    graph, reference = Graph(bundle, model), Reference(model)
    worst, spread = 0.0, 0.0
    for hop, mine in zip(mcu_pcm(40).reshape(-1, HOP), reference.push(mcu_pcm(40)), strict=True):
        wanted = graph.run(hop)["scores"][0]
        worst = max(worst, float(np.abs(mine.scores - wanted).max()))
        spread = max(spread, float(np.abs(wanted).max()))
    assert worst <= 0.02 * spread


def test_answers_are_the_sessions(bundle, model, pcm, hops):
    session = Session(bundle, variant=MCU_INT8)
    events = session.push(pcm)
    windows = [event for event in events if isinstance(event, Window)]
    assert len(windows) == len(hops) == HOPS
    names = model.manifest.labels
    for window, hop in zip(windows, hops, strict=True):
        known = [REASONS[r.value] for r in window.reasons if r.value in REASONS]
        assert STATES[window.quality.value] >= hop.quality
        assert sum(known, Reasons.NONE) == hop.reasons
        assert window.start == pytest.approx(hop.start / model.rate, abs=1e-9)
        if window.quality.value != "refuse":
            mine = dict(zip(names, hop.probability, strict=True))
            assert mine == pytest.approx(window.scores, abs=0.03)
            assert {n for n, on in zip(names, hop.active, strict=True) if on} == set(window.active)
    assert {hop.reasons for hop in hops} >= {Reasons.NONE, Reasons.NO_CONTACT, Reasons.STUCK}


def test_the_exam_is_the_sessions(bundle, model, pcm):
    reference, session = Reference(model), Session(bundle, variant=MCU_INT8)
    reference.push(pcm)
    session.push(pcm)
    mine, theirs = reference.finish(), session.finish()
    assert mine.abstained == theirs.abstained
    assert mine.evidence_hops * HOP / model.rate == pytest.approx(theirs.evidence_seconds)
    for finding, value, decision in zip(
        theirs.findings.values(), mine.probability, mine.decision, strict=True
    ):
        assert value == pytest.approx(finding.probability, abs=0.01)
        assert decision.name.lower() == finding.decision.value


def same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        for name in ("start", "hop", "quality", "reasons"):
            assert getattr(a, name) == getattr(b, name)
        for name in ("active", "scores", "step_scores", "phases", "embedding", "probability"):
            assert getattr(a, name).tobytes() == getattr(b, name).tobytes()


def test_pieces_of_any_length_give_the_same_answers(model):
    pcm = mcu_pcm(8)
    pieces, found, at = Reference(model), [], 0
    for size in (1, 767, 768, 769, 1500, 2340):
        found += pieces.push(pcm[at : at + size])
        at += size
    same(found, Reference(model).push(pcm))


def test_reset_is_a_new_exam(model):
    pcm, used = mcu_pcm(6), Reference(model)
    used.push(mcu_pcm(9, seed=8)[:6000])
    used.lost(99)
    used.finish()
    used.reset()
    same(used.push(pcm), Reference(model).push(pcm))


def test_a_gap_starts_the_network_anew_and_is_a_warning(model):
    pcm = mcu_pcm(12)
    gapped, fresh = Reference(model), Reference(model)
    gapped.push(pcm[: 4 * HOP + 300])
    gapped.lost(50)
    after = gapped.push(pcm[5 * HOP :])
    for mine, new in zip(after, fresh.push(pcm[5 * HOP :]), strict=True):
        assert mine.scores.tobytes() == new.scores.tobytes()
    assert after[0].start == 4 * HOP + 350
    assert [hop.reasons for hop in after] == [Reasons.GAP] * 6 + [Reasons.NONE]
    assert after[0].hop == 4


def test_contact_after_silence_starts_the_network_anew(model, hops, pcm):
    assert hops[28].quality is Quality.REFUSE and hops[29].quality is Quality.OK
    fresh = Reference(model).push(pcm[29 * HOP : 31 * HOP])
    assert fresh[0].scores.tobytes() == hops[29].scores.tobytes()


def test_refused_hops_are_no_evidence(model):
    reference = Reference(model)
    refused = reference.push(np.zeros(20 * HOP, np.int16))
    assert all(not hop.probability.any() and not hop.active.any() for hop in refused)
    exam = reference.finish()
    assert (exam.evidence_hops, exam.refused_hops, exam.abstained) == (0, 20, True)
    assert exam.probability.tolist() == [-1.0] * 3


def test_misuse_is_refused(model):
    reference = Reference(model)
    with pytest.raises(UsageError, match="int16"):
        reference.push(np.zeros(3, np.float32))
    reference.finish()
    with pytest.raises(UsageError, match="exam was given"):
        reference.push(np.zeros(3, np.int16))
    with pytest.raises(UsageError, match="exam was given"):
        reference.lost(3)
    with pytest.raises(UsageError, match="unknown rounding"):
        Reference(model, "triple")


@pytest.mark.parametrize("rounding", ["single", "double"])
def test_fixed_point_roundings_stay_near_the_norm(model, rounding):
    pcm = mcu_pcm(12)
    norm, other = Reference(model).push(pcm), Reference(model, rounding).push(pcm)
    gaps = [np.abs(a.scores - b.scores).max() for a, b in zip(norm, other, strict=True)]
    spread = max(np.abs(hop.scores).max() for hop in norm)
    assert max(gaps) <= 0.05 * spread
