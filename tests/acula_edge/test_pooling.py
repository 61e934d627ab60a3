"""Streaming pools equal their formulas on the whole list."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acula_edge.pooling import LogMeanExpPool, MeanPool, make_pool

logits = st.lists(st.floats(-50, 50), min_size=1, max_size=50)


def filled(pool, values):
    for value in values:
        pool.add(value)
    return pool.value


@given(logits)
def test_mean(values):
    assert filled(MeanPool(), values) == pytest.approx(np.mean(values), abs=1e-9)


@given(logits, st.floats(0.1, 8.0))
def test_logmeanexp_against_float64(values, sharpness):
    x = np.array(values) * sharpness
    oracle = (x.max() + np.log(np.mean(np.exp(x - x.max())))) / sharpness
    assert filled(LogMeanExpPool(sharpness), values) == pytest.approx(oracle, abs=1e-9)


@given(logits)
def test_sharpness_moves_from_mean_to_maximum(values):
    assert filled(LogMeanExpPool(1e-6), values) == pytest.approx(np.mean(values), abs=1e-2)
    assert filled(LogMeanExpPool(200.0), values) == pytest.approx(max(values), abs=0.05)


def test_empty_pools_have_no_value():
    assert MeanPool().value is None
    assert LogMeanExpPool(1.0).value is None


def test_an_unknown_pool_is_refused():
    with pytest.raises(ValueError, match="median"):
        make_pool("median", 1.0)
