"""`Session` on the shipped bundle: the promises an integrator builds on."""

import dataclasses

import numpy as np
import pytest
import sounds
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from acula_edge import Session
from acula_edge.bundle import load_bundle
from acula_edge.errors import BundleError, UsageError
from acula_edge.events import (
    Decision,
    Detection,
    Fault,
    FaultKind,
    Quality,
    QualityState,
    Reason,
    Window,
)

BUNDLE = load_bundle("heart-lung")
BEAT = sounds.heartbeat(6)
BEAT_44K = soxr.resample(BEAT, 4000, 44100).astype(np.float32)


def events_of(pcm, cuts=(), **options):
    """All events and the exam of `pcm` pushed in pieces cut at `cuts`."""
    with Session(BUNDLE, **options) as session:
        events = []
        for piece in np.split(pcm, sorted(cuts)):
            events += session.push(piece)
        events += session.flush()
        return events, session.finish()


def windows(events):
    return [event for event in events if isinstance(event, Window)]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, len(BEAT)), max_size=40))
def test_any_split_gives_the_same_events(cuts):
    assert events_of(BEAT, cuts) == events_of(BEAT)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, len(BEAT_44K)), max_size=30))
def test_any_split_gives_the_same_events_through_the_resampler(cuts):
    assert events_of(BEAT_44K, cuts, source_rate=44100) == events_of(BEAT_44K, source_rate=44100)


def test_windows_tile_the_sound():
    heard = windows(events_of(BEAT)[0])
    hop = BUNDLE.manifest.hop / BUNDLE.manifest.rate
    assert len(heard) == len(BEAT) // BUNDLE.manifest.hop
    for index, window in enumerate(heard):
        assert window.start == pytest.approx(index * hop)
        assert window.end == pytest.approx((index + 1) * hop)
        assert set(window.scores) == {"murmur", "crackle", "wheeze"}


@pytest.mark.parametrize("gain_db", [-20.0, 20.0])
def test_gain_changes_logits_less_than_the_manifest_says(gain_db):
    quiet = BEAT / np.abs(BEAT).max() * 0.05
    _, before = events_of(quiet)
    _, after = events_of((quiet * 10 ** (gain_db / 20)).astype(np.float32))
    for spec in BUNDLE.manifest.findings:
        logits = [
            spec.temperature * np.log(p / (1 - p))
            for p in (before.findings[spec.name].probability, after.findings[spec.name].probability)
        ]
        assert abs(logits[0] - logits[1]) <= BUNDLE.manifest.parity.gain_tolerance


def test_int16_and_float_are_the_same_sound():
    codes = np.rint(BEAT * 32768).astype(np.int16)
    assert events_of(codes) == events_of(codes.astype(np.float32) / 32768)


def test_a_site_scores_its_own_findings():
    assert set(events_of(BEAT, site="heart")[1].findings) == {"murmur"}
    assert set(events_of(BEAT, site="lung")[1].findings) == {"crackle", "wheeze"}


def test_sites_do_not_change_each_others_scores():
    both, heart = events_of(BEAT)[1], events_of(BEAT, site="heart")[1]
    assert both.findings["murmur"] == heart.findings["murmur"]


def test_the_same_sound_at_other_rates_scores_alike():
    _, native = events_of(BEAT)
    for rate in (8000, 16000, 44100, 48000, 96000):
        _, exam = events_of(soxr.resample(BEAT, 4000, rate).astype(np.float32), source_rate=rate)
        murmur = exam.findings["murmur"].probability
        assert murmur == pytest.approx(native.findings["murmur"].probability, abs=0.05)


def test_a_gap_is_announced_and_resets_the_model():
    with Session(BUNDLE) as session:
        session.push(sounds.noise(4, seed=3))
        events = session.push(BEAT, lost=1000) + session.flush()
        exam = session.finish()
    faults = [event for event in events if isinstance(event, Fault)]
    assert faults == [Fault(4.0, FaultKind.GAP, 0.25)]
    assert exam.lost_seconds == 0.25
    assert Reason.GAP in exam.reasons
    after = [window for window in windows(events) if window.start >= 4.25]
    assert after[0].start == pytest.approx(4.25)
    alone = windows(events_of(BEAT)[0])
    assert [window.scores for window in after] == [window.scores for window in alone]


def test_a_gap_ends_what_was_detected():
    with Session(BUNDLE) as session:
        for switch in session._switches:
            switch.on = True
        events = session.push(BEAT, lost=10)
    ended = [event.finding for event in events if isinstance(event, Detection) and not event.on]
    assert set(ended[:3]) == {"murmur", "crackle", "wheeze"}


def test_nan_and_infinity_are_announced_refused_and_forgotten():
    broken = np.concatenate([BEAT, BEAT, BEAT])
    broken[5000], broken[5001] = np.nan, np.inf
    events, exam = events_of(broken)
    faults = [event for event in events if isinstance(event, Fault)]
    assert [fault.kind for fault in faults] == [FaultKind.INVALID_SAMPLES]
    assert faults[0].lost_seconds == pytest.approx(2 / 4000)
    assert exam.refused_seconds > 0
    assert not exam.abstained
    assert windows(events)[-1].quality is QualityState.OK
    assert all(np.isfinite(list(w.scores.values())).all() for w in windows(events))


def test_silence_is_refused_and_the_exam_abstains():
    events, exam = events_of(np.zeros(8 * 4000, np.float32))
    assert exam.abstained
    assert exam.reasons[0] is Reason.NO_CONTACT
    assert all(result.probability is None for result in exam.findings.values())
    assert all(result.decision is Decision.UNSURE for result in exam.findings.values())
    assert {window.quality for window in windows(events)} == {QualityState.REFUSE}
    assert all(window.scores == {} for window in windows(events))


def test_sound_after_silence_is_scored_as_if_the_silence_never_was():
    hop = BUNDLE.manifest.hop
    silence = np.zeros(20 * hop, np.float32)
    heard = windows(events_of(np.concatenate([silence, BEAT]))[0])[20:]
    alone = windows(events_of(BEAT)[0])
    assert [w.scores for w in heard if w.quality is QualityState.OK] == [w.scores for w in alone]


def test_too_little_sound_abstains():
    _, exam = events_of(sounds.heartbeat(1))
    assert exam.abstained
    assert Reason.TOO_SHORT in exam.reasons


@pytest.mark.parametrize("samples", [0, 1])
def test_nothing_or_one_sample_abstains(samples):
    events, exam = events_of(np.zeros(samples, np.float32), source_rate=44100)
    assert events == []
    assert exam.abstained
    assert exam.reasons == (Reason.TOO_SHORT,)


def test_a_full_scale_square_wave_is_refused():
    _, exam = events_of(np.sign(sounds.tone(8, 70)).astype(np.float32))
    assert exam.abstained
    assert Reason.CLIPPED in exam.reasons


def test_quality_changes_are_events():
    events, _ = events_of(np.concatenate([BEAT, np.zeros(5 * 4000, np.float32), BEAT]))
    states = [event.state for event in events if isinstance(event, Quality)]
    assert states == [QualityState.REFUSE, QualityState.OK]


def test_finish_is_final():
    session = Session(BUNDLE)
    session.push(BEAT)
    exam = session.finish()
    assert session.finish() is exam
    with pytest.raises(UsageError, match="finished"):
        session.push(BEAT)


@pytest.mark.parametrize("bad", [np.zeros((4, 2), np.float32), np.zeros(4, np.int32), [0.0, 0.1]])
def test_push_refuses_what_is_not_one_channel_of_sound(bad):
    with pytest.raises(UsageError):
        Session(BUNDLE).push(bad)


def test_bad_options_are_one_sentence():
    with pytest.raises(UsageError, match="knee"):
        Session(BUNDLE, site="knee")
    with pytest.raises(UsageError, match="1000 Hz is too low"):
        Session(BUNDLE, source_rate=1000)
    with pytest.raises(BundleError, match="fp16"):
        Session(BUNDLE, variant="fp16")
    with pytest.raises(BundleError, match="heart-lung"):
        Session("no-such-bundle")


def test_an_exam_is_frozen():
    _, exam = events_of(BEAT)
    with pytest.raises(dataclasses.FrozenInstanceError):
        exam.site = "lung"
