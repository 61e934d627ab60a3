"""Ratios of pairs: exact on planted data, and honest about noise."""

import numpy as np
import pytest

from benchmarks.interleaved import ratio_of_pairs


def test_a_planted_ratio_survives_a_drifting_machine():
    random = np.random.default_rng(0)
    speed = np.exp(random.normal(0, 1, 40))  # the machine's speed, shared by each pair
    ours, theirs = 2.0 * speed * random.normal(1, 0.01, 40), 4.0 * speed
    ratio = ratio_of_pairs(list(ours), list(theirs))
    assert ratio.low <= 0.5 <= ratio.high
    assert ratio.high - ratio.low < 0.01
    assert ratio.pairs == 40


def test_noise_widens_the_interval():
    random = np.random.default_rng(0)
    ours = list(np.exp(random.normal(0, 1, 40)))
    ratio = ratio_of_pairs(ours, [1.0] * 40)
    assert ratio.high / ratio.low > 1.2


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1.0], [1.0, 2.0])])
def test_unpaired_measurements_are_refused(ours, theirs):
    with pytest.raises(ValueError, match="as many"):
        ratio_of_pairs(ours, theirs)
