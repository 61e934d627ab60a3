"""Quantiles and slopes tell what was planted, and are withheld where nobody could tell."""

import numpy as np
import pytest

from benchmarks.distribution import (
    distribution,
    least_samples,
    mean_interval,
    median_interval,
    slope,
)


@pytest.mark.parametrize(("q", "count"), [(0.9, 36), (0.95, 72), (0.99, 368)])
def test_sample_counts_are_the_first_to_bound_the_quantile(q, count):
    assert least_samples(q) == count
    assert q**count <= 0.025 < q ** (count - 1)


@pytest.mark.parametrize(
    ("count", "told"),
    [(1, []), (35, []), (36, ["p90"]), (72, ["p90", "p95"]), (367, ["p90", "p95"]),
     (368, ["p90", "p95", "p99"])],
)  # fmt: skip
def test_quantiles_below_their_sample_count_are_withheld(count, told):
    found = distribution(np.arange(count, dtype=float))
    assert [name for name in ("p90", "p95", "p99") if getattr(found, name) is not None] == told
    assert found.samples == count


def test_quantiles_are_the_observed_values_at_their_rank():
    values = np.random.default_rng(0).permutation(np.arange(1.0, 1001.0))
    found = distribution(values)
    assert (found.p50.value, found.p90.value, found.p95.value, found.p99.value) == (
        500.0, 900.0, 950.0, 990.0,
    )  # fmt: skip
    assert found.largest == 1000.0
    assert found.mean == pytest.approx(500.5)
    assert found.curve[0] == 1.0
    assert found.curve[25] == 250.0
    assert found.curve[100] == 1000.0
    assert len(found.curve) == 101


def test_few_samples_leave_the_median_anywhere_among_them():
    found = distribution([3.0, 1.0, 2.0]).p50
    assert (found.value, found.low, found.high) == (2.0, 1.0, 3.0)


def test_intervals_cover_the_true_quantile_about_as_often_as_they_say():
    quantiles = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    held = dict.fromkeys(quantiles, 0)
    for seed in range(100):
        found = distribution(np.random.default_rng(seed).exponential(1, 1000))
        for name, q in quantiles.items():
            interval = getattr(found, name)
            held[name] += interval.low <= -np.log(1 - q) <= interval.high
    assert all(88 <= count <= 99 for count in held.values()), held


def test_bursts_widen_the_interval():
    random = np.random.default_rng(0)
    calm = random.exponential(1, 1000)
    order = np.argsort(np.repeat(random.permutation(20), 50), kind="stable")
    bursts = np.sort(calm)[order]  # the same values, large ones side by side
    narrow, wide = distribution(calm).p50, distribution(bursts).p50
    assert narrow.value == wide.value
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_scaling_the_samples_scales_all():
    values = np.random.default_rng(1).exponential(1, 500)
    one, ten = distribution(values), distribution(10 * values)
    assert ten.p99.high == pytest.approx(10 * one.p99.high)
    assert ten.mean == pytest.approx(10 * one.mean)


@pytest.mark.parametrize("interval", [mean_interval, median_interval])
def test_intervals_of_a_centre_contain_it(interval):
    found = interval(np.random.default_rng(2).normal(5, 1, 50))
    assert found.low < found.value < found.high
    assert found.low > 4.5
    assert found.high < 5.5
    single = interval([4.0])
    assert (single.value, single.low, single.high) == (4.0, 4.0, 4.0)


@pytest.mark.parametrize("function", [distribution, mean_interval, median_interval])
def test_nothing_measured_is_an_error(function):
    with pytest.raises(ValueError, match="at least one sample"):
        function([])


@pytest.mark.parametrize("count", [50, 5000])
def test_a_planted_slope_is_found_despite_outliers(count):
    random = np.random.default_rng(3)
    at = np.linspace(0, 2, count)
    values = 7 + 3 * at + 0.3 * random.standard_normal(count)
    values[random.integers(0, count, count // 20)] += 100
    found = slope(at, values)
    assert found.low < 3 < found.high
    assert found.high - found.low < 0.6


def test_no_slope_is_told_as_none():
    random = np.random.default_rng(4)
    held = 0
    for _ in range(100):
        found = slope(np.arange(60.0), random.standard_normal(60))
        held += found.low <= 0 <= found.high
    assert held >= 88


def test_slopes_of_too_little_are_withheld():
    assert slope(np.arange(9.0), np.arange(9.0)) is None
    assert slope(np.zeros(20), np.arange(20.0)) is None
    assert slope([], []) is None
