"""The quality gate: each fault is refused or warned about, and good sound passes."""

import numpy as np
import pytest
import sounds
import soxr

from acula_edge.events import QualityState, Reason
from acula_edge.quality import QualityGate, SourceCheck

RATE, HOP = 4000, 768


def judge_all(pcm, gate=None):
    gate = gate or QualityGate(RATE, HOP)
    check = SourceCheck(0.985)
    hops = pcm[: len(pcm) // HOP * HOP].reshape(-1, HOP)
    return [gate.judge(hop, [check.check(hop, 0)]) for hop in hops]


def last(pcm):
    return judge_all(pcm)[-1]


def test_a_heartbeat_passes():
    assert {verdict.state for verdict in judge_all(sounds.heartbeat(12))} == {QualityState.OK}


@pytest.mark.parametrize("gain", [0.01, 0.1, 1.5])
def test_loudness_alone_is_no_reason(gain):
    assert last(sounds.heartbeat(8) * gain).state is QualityState.OK


def test_digital_silence_is_no_contact():
    verdict = last(np.zeros(RATE * 5, np.float32))
    assert (verdict.state, verdict.reasons) == (QualityState.REFUSE, (Reason.NO_CONTACT,))


def test_quieter_than_any_contact():
    assert Reason.NO_CONTACT in last(sounds.noise(5, level=1e-5)).reasons


def test_a_pause_between_beats_is_not_silence():
    pcm = sounds.heartbeat(10, beats_per_minute=30, noise=1e-6)
    assert all(Reason.NO_CONTACT not in verdict.reasons for verdict in judge_all(pcm))


def test_a_constant_is_stuck():
    assert last(np.full(RATE * 5, 0.25, np.float32)).reasons == (Reason.STUCK,)


def test_a_full_scale_square_wave_is_refused_as_clipped():
    square = np.sign(sounds.tone(6, 100)).astype(np.float32)
    verdict = last(square)
    assert verdict.state is QualityState.REFUSE
    assert Reason.CLIPPED in verdict.reasons


def test_clipped_peaks_are_a_warning_first():
    pcm = np.clip(sounds.heartbeat(8) * 4, -1, 1)
    verdict = last(pcm)
    assert verdict.state is QualityState.WARN
    assert verdict.reasons == (Reason.CLIPPED,)


@pytest.mark.parametrize("mains", [50.0, 60.0])
def test_mains_hum(mains):
    beat = sounds.heartbeat(8)
    hum = sounds.tone(8, mains) + 0.5 * sounds.tone(8, 3 * mains)
    assert last(beat + hum).reasons == (Reason.HUM,)
    assert last(beat + hum).state is QualityState.REFUSE
    assert last(beat + 0.4 * hum).state is QualityState.WARN
    assert last(beat + 0.01 * hum).state is QualityState.OK


def test_a_tone_beside_the_mains_is_not_hum():
    assert Reason.HUM not in last(sounds.heartbeat(8) + sounds.tone(8, 54.7)).reasons


def test_sound_played_at_the_wrong_rate_is_suspected():
    fast = sounds.heartbeat(90, rate=400)  # ten times too fast at 4 kHz
    assert Reason.WRONG_RATE in last(fast).reasons
    slow = soxr.resample(sounds.heartbeat(4), 4000, 44100)  # 44.1 kHz declared as 4 kHz
    assert Reason.WRONG_RATE in last(slow).reasons


def test_a_gap_is_a_warning_for_a_second():
    gate = QualityGate(RATE, HOP)
    judge_all(sounds.heartbeat(4), gate)
    gate.note_gap()
    verdicts = judge_all(sounds.heartbeat(4), gate)
    warned = [Reason.GAP in verdict.reasons for verdict in verdicts]
    assert warned[:6] == [True] * 6
    assert not any(warned[6:])


def test_invalid_samples_are_refused():
    gate, check = QualityGate(RATE, HOP), SourceCheck(0.985)
    hop = sounds.heartbeat(1)[:HOP]
    verdict = gate.judge(hop, [check.check(hop, invalid=3)])
    assert verdict.state is QualityState.REFUSE
    assert verdict.reasons == (Reason.INVALID_SAMPLES,)
