"""The decoder of cardiac phases, against hearts that are known and against its own definition."""

import itertools

import numpy as np
import planted_heart as planted
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_heart import DELAY, STEP

from acula_edge import phases
from acula_edge.phases import CHUNK, CYCLE, LAG, SHORTEST_BEAT, Onset, PhaseDecoder

NAMES = tuple(CYCLE)
SECONDS = 20.0


def decode(logits, *, cuts=None, names=NAMES, lag=LAG):
    decoder = PhaseDecoder(names, STEP, DELAY, lag)
    pieces = np.split(logits, range(6, logits.shape[1], 6) if cuts is None else cuts, axis=1)
    return [onset for piece in pieces for onset in decoder.push(piece)] + decoder.flush()


def times(onsets, sound):
    return np.array([onset.at for onset in onsets if onset.sound == sound])


@pytest.mark.parametrize("rate", [45, 60, 90, 130, 170])
def test_planted_onsets_are_found_in_time(rate):
    seconds = planted.SECONDS if rate < 130 else {"S1": 0.1, "systole": 0.1, "S2": 0.08}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planted, "SECONDS", seconds)
        marks = planted.boundaries(SECONDS, rate, jitter=0.05)
    found = decode(planted.logits(marks, SECONDS))
    for sound in ("S1", "S2"):
        truth = np.array([at for at in planted.onsets(marks, sound) if at < SECONDS - 0.3])
        heard = times(found, sound)
        heard = heard[heard < SECONDS - 0.3 + STEP]
        assert len(heard) == len(truth)
        errors = heard - truth
        assert np.abs(errors).max() <= STEP
        assert abs(errors.mean()) <= 0.006


def test_the_two_sounds_alternate():
    marks = planted.boundaries(SECONDS, 100, jitter=0.1)
    sounds = [onset.sound for onset in decode(planted.logits(marks, SECONDS))]
    assert all(a != b for a, b in itertools.pairwise(sounds))


def test_an_onset_lies_between_the_steps_where_the_phases_cross():
    """Midway where both steps are as sure; nearer to the step that is less sure."""
    path = np.array([3] * 12 + [0] * 4 + [1] * 5 + [2] * 3 + [3] * 12)
    even = np.where(np.arange(4)[:, None] == path, 4.0, 0.0).astype(np.float32)
    late = even.copy()
    late[0, 12] = late[3, 12] + 1.0
    before_step = 12 * STEP - DELAY
    assert times(decode(even), "S1")[0] == pytest.approx(before_step + STEP / 2)
    assert times(decode(late), "S1")[0] == pytest.approx(before_step + STEP * 4 / 5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 312), max_size=40))
def test_onsets_do_not_depend_on_how_steps_are_grouped(cuts):
    marks = planted.boundaries(10, 110, jitter=0.2)
    logits = planted.logits(marks, 10, clear=2.0)
    assert decode(logits, cuts=sorted(cuts)) == decode(logits)


@pytest.mark.parametrize("clear", [1.0, 2.0, 4.0])
def test_with_all_sound_ahead_the_path_is_the_best_segmentation(clear):
    """Against a plain search over every segmentation, in the definition's own terms."""
    marks = planted.boundaries(6, 95, jitter=0.3, seed=3)
    logits = planted.logits(marks, 6, clear=clear, seed=4)
    logits = logits[:, : logits.shape[1] // 16 * 16]
    found = decode(logits, lag=60.0)
    wanted = best_onsets(logits.astype(np.float64))
    assert [(onset.sound, round(onset.at / STEP)) for onset in found] == wanted


def best_onsets(logits):
    """(sound, rounded steps) from the best segmentation; first and last segment may be cut."""
    steps = logits.shape[1]
    odds = logits - np.log(np.exp(logits).sum(axis=0))
    sums = np.concatenate([np.zeros((4, 1)), np.cumsum(odds, axis=1)], axis=1)
    weights = phases._log_durations(STEP)
    longest = weights.shape[1]
    score = {(p, s): 0.0 for p in range(4) for s in range(1 - longest, 1)}
    back = {}
    for t in range(1, steps + 1):
        for p in range(4):
            options = [
                (score[p, s] + sums[p, t] - sums[p, max(s, 0)] + weights[p, t - s - 1], s)
                for s in range(t - longest, t)
            ]
            value, start = max(options)
            score[(p + 1) % 4, t] = value
            back[(p + 1) % 4, t] = start
    ends = [
        (
            score[p, s] + sums[p, steps] - sums[p, max(s, 0)] + weights[p, steps - s - 1 :].max(),
            p,
            s,
        )
        for p in range(4)
        for s in range(steps - longest, steps)
    ]
    _, p, s = max(ends)
    found = []
    while s > 0:
        if p in (0, 2) and s <= steps - 2:
            found.append((NAMES[p], s, p))
        p, s = (p - 1) % 4, back[p, s]
    return [(name, round(exact(odds, s, p) / STEP)) for name, s, p in reversed(found)]


def exact(odds, step, phase):
    low, high = (odds[phase, i] - odds[phase - 1, i] for i in (step - 1, step))
    share = min(max(low / (low - high), 0.0), 1.0) if low < high else 0.5
    return (step + share) * STEP - DELAY


def test_an_onset_is_told_within_a_second():
    marks = planted.boundaries(SECONDS, 80)
    logits = planted.logits(marks, SECONDS)
    decoder = PhaseDecoder(NAMES, STEP, DELAY)
    for first in range(0, logits.shape[1], 6):
        now = (first + 6) * STEP - DELAY
        for onset in decoder.push(logits[:, first : first + 6]):
            assert LAG - STEP <= now - onset.at <= LAG + CHUNK + 7 * STEP
    assert LAG + CHUNK <= 1.0


def test_clear_sounds_are_confident_and_noise_is_not():
    marks = planted.boundaries(SECONDS, 80)
    clear = decode(planted.logits(marks, SECONDS))
    assert min(onset.confidence for onset in clear) > 0.8
    random = np.random.default_rng(1)
    noise = random.standard_normal((4, 1800)).astype(np.float32)
    assert max(onset.confidence for onset in decode(noise)) < 0.6
    level = decode(np.zeros((4, 600), np.float32))
    assert {round(onset.confidence, 6) for onset in level} <= {0.25}


def test_noise_breaks_no_limit_of_a_beat():
    noise = 3 * np.random.default_rng(2).standard_normal((4, 6000)).astype(np.float32)
    found = decode(noise)
    assert len(found) > 100
    for sound in ("S1", "S2"):
        assert np.diff(times(found, sound)).min() >= SHORTEST_BEAT


def test_a_long_stream_is_decoded_as_with_endless_memory(monkeypatch):
    marks = planted.boundaries(90, 75, jitter=0.2)
    logits = planted.logits(marks, 90, clear=1.5)
    monkeypatch.setattr(phases, "ROOM", 10_000)
    endless = decode(logits)
    monkeypatch.setattr(phases, "ROOM", 40)
    short = decode(logits)
    assert len(endless) > 150
    assert [onset.sound for onset in short] == [onset.sound for onset in endless]
    np.testing.assert_allclose(
        [(o.at, o.confidence) for o in short], [(o.at, o.confidence) for o in endless], atol=1e-9
    )


def test_a_reset_forgets_everything():
    logits = planted.logits(planted.boundaries(8, 70), 8)
    decoder = PhaseDecoder(NAMES, STEP, DELAY)
    first = decoder.push(logits) + decoder.flush()
    decoder.reset()
    assert decoder.push(logits) + decoder.flush() == first
    assert first


def test_rows_are_found_by_name():
    logits = planted.logits(planted.boundaries(8, 70), 8)
    order = [2, 0, 3, 1]
    assert decode(logits[order], names=tuple(NAMES[row] for row in order)) == decode(logits)


def test_nothing_gives_nothing():
    decoder = PhaseDecoder(NAMES, STEP, DELAY)
    assert decoder.flush() == []
    assert decoder.push(np.zeros((4, 0), np.float32)) == []
    assert isinstance(decode(planted.logits(planted.boundaries(3, 80), 3))[0], Onset)
