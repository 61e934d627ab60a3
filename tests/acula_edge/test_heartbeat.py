"""Heartbeats are found at every rate of the heart and of the samples; noise has none."""

import numpy as np
import pytest
import sounds

from acula_edge import Session
from acula_edge.events import QualityState, Reason, Window
from acula_edge.heartbeat import Heartbeat, periodicity

HOP = 768


def listen(pcm, rate=4000):
    heartbeat = Heartbeat(rate, HOP)
    for hop in pcm[: len(pcm) // HOP * HOP].reshape(-1, HOP):
        heartbeat.push(hop)
    return heartbeat


@pytest.mark.parametrize("beats", [45, 70, 110, 170])
@pytest.mark.parametrize("gain", [0.01, 1.0])
def test_a_heartbeat_is_found(beats, gain):
    assert not listen(sounds.heartbeat(12, beats_per_minute=beats) * gain).missing


@pytest.mark.parametrize("seed", range(5))
def test_noise_has_none(seed):
    assert listen(sounds.noise(12, seed=seed)).missing


def test_a_beat_in_noise_is_still_found():
    assert not listen(sounds.heartbeat(12) + sounds.noise(12, level=0.05)).missing


def test_little_sound_is_not_judged():
    assert not listen(sounds.noise(4)).missing


def test_it_forgets():
    heartbeat = listen(sounds.noise(12))
    assert heartbeat.missing
    heartbeat.reset()
    assert not heartbeat.missing


def test_periodicity_of_planted_and_absent_periods():
    time = np.arange(312)
    assert periodicity(np.sin(2 * np.pi * time / 50), 21, 100) == pytest.approx(1.0, abs=0.05)
    assert periodicity(np.zeros(312), 21, 100) == 0.0


def test_on_the_heart_noise_is_refused_and_the_exam_abstains():
    with Session(site="heart") as session:
        events = session.push(sounds.noise(20))
        exam = session.finish()
    last = [event for event in events if isinstance(event, Window)][-1]
    assert last.quality is QualityState.REFUSE
    assert last.reasons == (Reason.NO_HEARTBEAT,)
    assert exam.abstained
    assert exam.reasons[0] is Reason.NO_HEARTBEAT


def test_on_the_lung_no_heartbeat_is_needed():
    with Session(site="lung") as session:
        session.push(sounds.noise(20))
        assert not session.finish().abstained
