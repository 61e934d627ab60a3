"""Heart sounds, heart rate and activity as a session tells them, with a planted network."""

import dataclasses

import numpy as np
import planted_heart as planted
import pytest
import sounds
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_heart import DELAY, STEP, STEPS, PlantedEngine

from acula_edge import Session, session
from acula_edge.bundle import load_bundle
from acula_edge.demo import demos
from acula_edge.events import HeartSound, QualityState, Vitals, Window
from acula_edge.heart import HeartTracker, heart_tracker
from acula_edge.phases import CYCLE

SHIPPED = load_bundle("heart-lung")
NAMES = tuple(CYCLE)
BUNDLE = dataclasses.replace(
    SHIPPED, manifest=dataclasses.replace(SHIPPED.manifest, phases=NAMES, phase_delay=DELAY)
)
HOP = STEP * STEPS
BEAT = sounds.heartbeat(12)
MARKS = planted.boundaries(12, 100)
LOGITS = planted.logits(MARKS, 12)


@pytest.fixture(autouse=True)
def network(monkeypatch):
    monkeypatch.setattr(
        session,
        "open_engine",
        lambda bundle, *_: PlantedEngine(LOGITS, embedding=bundle.manifest.embedding),
    )


def heard(pcm=BEAT, cuts=(), bundle=BUNDLE, **options):
    with Session(bundle, **options) as live:
        events = [event for piece in np.split(pcm, sorted(cuts)) for event in live.push(piece)]
        events += live.flush()
        return events, live.finish()


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def test_a_session_tells_heart_sounds_where_they_were():
    events, exam = heard(site="heart")
    for name in ("S1", "S2"):
        told = [event.at for event in of(HeartSound, events) if event.sound == name]
        truth = [at for at in planted.onsets(MARKS, name) if at < 11.6]
        assert len(told) >= len(truth)
        np.testing.assert_allclose(told[: len(truth)], truth, atol=STEP)
    assert exam.heart_rate == pytest.approx(100, abs=2)


def test_the_rate_is_told_about_once_a_second():
    told = of(Vitals, heard(site="heart")[0])
    assert len(told) >= 5
    assert all(event.heart_rate == pytest.approx(100, abs=4) for event in told)
    assert all(event.respiratory_rate is None for event in told)
    assert all(0.65 <= event.confidence <= 1 for event in told)
    assert min(np.diff([event.at for event in told])) >= 1.0


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, len(BEAT)), max_size=30))
def test_any_split_gives_the_same_events(cuts):
    assert heard(cuts=cuts, site="heart") == heard(site="heart")


def test_it_follows_the_heart_unless_the_site_is_a_lung():
    assert of(HeartSound, heard(site=None)[0])
    events, exam = heard(site="lung")
    assert not of(HeartSound, events) + of(Vitals, events)
    assert exam.heart_rate is None


def test_a_bundle_without_phases_tells_no_heart():
    plain = dataclasses.replace(SHIPPED, manifest=dataclasses.replace(SHIPPED.manifest, phases=()))
    events, exam = heard(bundle=plain, site="heart")
    assert not of(HeartSound, events) + of(Vitals, events)
    assert exam.heart_rate is None
    assert heart_tracker(plain.manifest, "heart") is None


def test_a_gap_restarts_the_decoder_and_ends_the_rate():
    with Session(BUNDLE, site="heart") as live:
        first = live.push(BEAT)
        second = live.push(BEAT, lost=4000) + live.flush()
    before = [e for e in of(HeartSound, first + second) if e.at < 12.1]
    after = [e for e in of(HeartSound, second) if e.at > 12.1]
    alone = of(HeartSound, heard(site="heart")[0])
    assert [(e.at, e.sound) for e in before] == [(e.at, e.sound) for e in alone]
    np.testing.assert_allclose([e.at - 13 for e in after], [e.at for e in alone], atol=1e-9)
    lost = [event for event in of(Vitals, second) if event.heart_rate is None]
    assert [event.at for event in lost] == [12.0]


def test_a_refusal_ends_the_rate_and_yields_no_heart_sound():
    silence = np.zeros(8 * 4000, np.float32)
    events, exam = heard(np.concatenate([BEAT, silence]), site="heart")
    refused = [w.start for w in of(Window, events) if w.quality is QualityState.REFUSE]
    assert all(event.at < min(refused) for event in of(HeartSound, events))
    assert of(Vitals, events)[-1].heart_rate is None
    assert exam.heart_rate == pytest.approx(100, abs=2)


def test_an_exam_that_abstains_tells_no_rate():
    events, exam = heard(np.concatenate([BEAT, np.zeros(30 * 4000, np.float32)]), site="heart")
    assert exam.abstained
    assert of(HeartSound, events)
    assert exam.heart_rate is None


def tracker():
    return HeartTracker(NAMES, HOP, DELAY)


def feed(follower, logits, start=0.0):
    hops = np.split(logits, logits.shape[1] // STEPS, axis=1)
    return [e for i, hop in enumerate(hops) for e in follower.push(hop, start + i * HOP)]


@pytest.mark.parametrize("rate", [50, 75, 120])
def test_the_rate_is_that_of_the_median_beat(rate):
    marks = planted.boundaries(30, rate, jitter=0.05)
    follower = tracker()
    feed(follower, planted.logits(marks, 30))
    truth = 60 / np.median(np.diff(planted.onsets(marks, "S1")))
    assert follower.heart_rate == pytest.approx(truth, rel=0.02)


def test_noise_tells_no_heart():
    noise = np.random.default_rng(0).standard_normal((4, STEPS * 200)).astype(np.float32)
    follower = tracker()
    assert feed(follower, noise) + follower.end() == []
    assert follower.heart_rate is None


def test_a_heart_that_falls_silent_loses_its_rate_once():
    noise = np.random.default_rng(0).standard_normal((4, STEPS * 100)).astype(np.float32)
    told = of(Vitals, feed(tracker(), np.concatenate([LOGITS, noise], axis=1)))
    assert told[0].heart_rate is not None
    assert [event.heart_rate is None for event in told].count(True) == 1
    assert 12 < told[-1].at < 20


def test_beats_are_not_counted_across_an_interruption():
    follower = tracker()
    for number in range(6):
        feed(follower, LOGITS[:, : STEPS * 8], start=10.0 * number)
        follower.interrupt(10.0 * number + 8 * HOP)
    rate = follower.heart_rate
    assert rate == pytest.approx(100, abs=5)


def test_activity_tells_each_step_of_lung_findings():
    events, _ = heard(site=None)
    window = of(Window, events)[3]
    assert set(window.activity) == {"crackle", "wheeze"}
    spec = {item.name: item for item in BUNDLE.manifest.findings}
    steps = np.linspace(-1, 1, 18).reshape(3, STEPS)
    for row, name in enumerate(BUNDLE.manifest.labels):
        if name == "murmur":
            continue
        wanted = 1 / (1 + np.exp(-(steps[row] - spec[name].bias) / spec[name].temperature))
        np.testing.assert_allclose(window.activity[name], wanted, atol=0.0051)


def test_a_heart_has_no_activity_and_a_refusal_neither():
    assert all(window.activity == {} for window in of(Window, heard(site="heart")[0]))
    silent, _ = heard(np.zeros(8000, np.float32), site="lung")
    assert all(window.activity == {} for window in of(Window, silent))


@pytest.mark.skipif(not SHIPPED.manifest.phases, reason="the shipped bundle tells no phases")
@pytest.mark.parametrize("demo", [d for d in demos() if "heart" in d.path.stem], ids=str)
def test_the_shipped_bundle_hears_the_demo_hearts(demo, monkeypatch):
    import soundfile as sf

    from acula_edge import engine

    monkeypatch.setattr(session, "open_engine", engine.open_engine)
    pcm, rate = sf.read(demo.path, dtype="float32")
    events, exam = heard(pcm, bundle=SHIPPED, site="heart", source_rate=rate)
    assert 95 < exam.heart_rate < 110
    seconds = len(pcm) / rate
    beats = sum(event.sound == "S1" for event in of(HeartSound, events))
    assert beats == pytest.approx(seconds * exam.heart_rate / 60, rel=0.15)
