"""Hysteresis and smoothing, timed in audio."""

import math

import pytest

from acula_edge.smoothing import Hysteresis, Smoother, Switch

HOP = 0.2
SETTINGS = Hysteresis(enter=0.6, leave=0.4, minimum_on=0.6, minimum_off=0.4)


def drive(switch, probabilities):
    states = []
    for index, probability in enumerate(probabilities):
        switch.update(probability, index * HOP, (index + 1) * HOP)
        states.append(switch.on)
    return states


def test_a_crossing_must_last_before_it_counts():
    assert drive(Switch(SETTINGS), [0.9, 0.9, 0.9, 0.9]) == [False, False, True, True]


def test_a_short_crossing_never_counts():
    assert not any(drive(Switch(SETTINGS), [0.9, 0.9, 0.1] * 5))


def test_between_the_thresholds_nothing_changes():
    states = drive(Switch(SETTINGS), [0.9] * 3 + [0.5] * 20)
    assert states[-1]


def test_leaving_takes_its_own_time():
    states = drive(Switch(SETTINGS), [0.9] * 3 + [0.1, 0.5, 0.1, 0.1])
    assert states == [False, False, True, True, True, True, False]


def test_the_smoother_starts_as_the_plain_mean():
    smoother = Smoother(1e9, HOP)
    assert [smoother.update(x) for x in (2.0, 4.0, 9.0)] == pytest.approx([2.0, 3.0, 5.0])


def test_the_smoother_forgets_with_its_time_constant():
    smoother = Smoother(1.0, HOP)
    for _ in range(200):
        smoother.update(1.0)
    value = 1.0
    for _ in range(5):
        value = smoother.update(0.0)
    assert value == pytest.approx(math.exp(-1.0), rel=1e-6)
