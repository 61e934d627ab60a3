"""Integer layers against exact rational arithmetic; own log, exp and FFT against float64."""

import math
from fractions import Fraction

import numpy as np
import pytest

from acula_edge.errors import UsageError
from firmware_bridge.arithmetic import (
    add,
    check_rounding,
    fixed_factors,
    fixed_point,
    float_factors,
    mean,
    requantise,
    round_half_even,
    scaled,
)
from firmware_bridge.elementary import exp64, log32, log64
from firmware_bridge.fft import RealFft
from firmware_bridge.mel import mel_filters
from firmware_bridge.model import Block, Scale


def block(outputs=3, residual=True):
    random = np.random.default_rng(4)
    return Block(
        name="b",
        weight=np.zeros((outputs, outputs, 1), np.int8),
        weight_scale=random.uniform(1e-3, 9e-3, outputs).astype(np.float32),
        bias=np.zeros(outputs, np.int32),
        source=Scale(float(np.float32(0.031)), -11),
        relu=Scale(float(np.float32(0.057)), -128),
        output=Scale(float(np.float32(0.071)), -128),
        dilation=1,
        stride=1,
        residual=residual,
    )


@pytest.mark.parametrize("real", [1e-6, 0.00371, 0.25, 0.4999999999, 0.5, 0.99, 1.0, 3.7, 100.0])
def test_fixed_point_is_the_nearest_31_bit_multiplier(real):
    multiplier = fixed_point(real)
    assert 2**30 <= multiplier.quotient < 2**31
    found = Fraction(multiplier.quotient) * Fraction(2) ** (multiplier.shift - 31)
    assert abs(found / Fraction(real) - 1) <= Fraction(1, 2**31)


@pytest.mark.parametrize("real", [0.0031, 0.73, 1.9])
def test_single_rounding_is_the_exact_product_rounded_once(real):
    multiplier = fixed_point(real)
    x = np.random.default_rng(1).integers(-200_000, 200_000, 400)
    exact = [
        Fraction(int(v) * multiplier.quotient) * Fraction(2) ** (multiplier.shift - 31) for v in x
    ]
    assert scaled(x, multiplier, "single").tolist() == [
        math.floor(e + Fraction(1, 2)) for e in exact
    ]


def away(value):
    """Nearest whole number, ties away from zero."""
    return int(math.copysign(math.floor(abs(value) + Fraction(1, 2)), value))


@pytest.mark.parametrize("real", [0.0031, 0.73, 1.9])
def test_double_rounding_rounds_the_high_half_then_the_shift(real):
    multiplier = fixed_point(real)
    left, right = max(multiplier.shift, 0), max(-multiplier.shift, 0)
    x = np.random.default_rng(2).integers(-200_000, 200_000, 400)
    wanted = []
    for v in x:
        product = Fraction((int(v) << left) * multiplier.quotient, 2**31)
        high = math.floor(product + Fraction(1, 2))  # ties up, as the doubling high product has it
        wanted.append(away(Fraction(high, 2**right)))
    assert scaled(x, multiplier, "double").tolist() == wanted


def test_the_two_fixed_roundings_differ_somewhere():
    multiplier, x = fixed_point(0.0123), np.arange(-20_000, 20_000)
    single, double = scaled(x, multiplier, "single"), scaled(x, multiplier, "double")
    assert 0 < np.count_nonzero(single != double) < 0.05 * len(x)
    assert np.abs(single - double).max() == 1


def test_float_rounding_is_one_float32_product_ties_to_even():
    spec = block()
    acc = np.random.default_rng(3).integers(-60_000, 60_000, (50, 3))
    wanted = np.rint((acc.astype(np.float32) * float_factors(spec)).astype(np.float64)) - 128
    assert np.array_equal(requantise(acc, spec), np.clip(wanted, -128, 127).astype(np.int8))
    assert round_half_even(np.array([0.5, 1.5, -0.5, -2.5], np.float32)).tolist() == [0, 2, 0, -2]


@pytest.mark.parametrize("rounding", ["single", "double"])
def test_fixed_point_codes_are_within_one_step_of_float(rounding):
    spec = block()
    acc = np.random.default_rng(5).integers(-60_000, 60_000, (400, 3))
    gap = requantise(acc, spec, rounding).astype(int) - requantise(acc, spec)
    assert np.abs(gap).max() <= 1
    assert np.mean(gap != 0) < 0.01
    assert len(fixed_factors(spec)) == 3


def test_the_relu_cuts_at_its_zero_point():
    spec = block()
    assert requantise(np.full((1, 3), -50_000), spec).tolist() == [[-128, -128, -128]]
    assert requantise(np.full((1, 3), 10_000_000), spec).tolist() == [[127, 127, 127]]


@pytest.mark.parametrize("rounding", ["float", "single", "double"])
def test_a_residual_sum_is_the_real_sum_to_half_a_step(rounding):
    spec = block()
    x, y = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))
    x, y = x.astype(np.int8), y.astype(np.int8)
    real = (x + 11.0) * spec.source.scale + (y + 128.0) * spec.relu.scale
    wanted = np.clip(real / spec.output.scale - 128, -128, 127)
    assert np.abs(add(x, y, spec, rounding) - wanted).max() <= 0.5 + 1e-4


def test_a_mean_ties_to_even_or_away_from_zero():
    codes = np.array([[-128, 1], [-127, 4]], np.int8)  # 0.5 and 130.5 steps above -128
    assert mean(codes, -128).tolist() == [-128, 2]
    assert mean(codes, -128, "double").tolist() == [-127, 3]


def test_an_unknown_rounding_is_refused():
    with pytest.raises(
        UsageError, match=r"unknown rounding 'triple': choose float, single, double"
    ):
        check_rounding("triple")


def test_log32_is_a_float32_logarithm():
    x = np.exp(np.random.default_rng(6).uniform(-80, 80, 50_000)).astype(np.float32)
    exact = np.log(x.astype(np.float64))
    assert np.abs(log32(x) - exact).max() <= 1e-5
    near = np.linspace(0.7, 1.4, 20_000).astype(np.float32)
    assert np.abs(log32(near) - np.log(near.astype(np.float64))).max() <= 1e-7
    assert log32(np.ones(1, np.float32))[0] == 0


def test_log64_and_exp64_are_good_to_the_last_places():
    random = np.random.default_rng(7)
    for x in np.exp(random.uniform(-300, 300, 2000)).tolist():
        assert abs(log64(x) - math.log(x)) <= 4e-16 * max(1.0, abs(math.log(x)))
    for x in random.uniform(-600, 600, 2000).tolist():
        assert abs(exp64(x) / math.exp(x) - 1) <= 4e-16
    assert exp64(0.0) == 1.0 and log64(1.0) == 0.0
    assert exp64(-1e9) == exp64(-700.0) > 0.0


@pytest.mark.parametrize("frame", [16, 64, 256])
def test_the_fft_gives_four_times_the_power(frame):
    x = np.random.default_rng(8).standard_normal((9, frame)).astype(np.float32)
    exact = 4 * np.abs(np.fft.rfft(x.astype(np.float64))) ** 2
    power = RealFft(frame).power(x)
    assert np.abs(power[:, 1:] - exact[:, 1 : frame // 2]).max() <= 1e-6 * exact.max()
    assert not power[:, 0].any()


def test_a_planted_line_is_found_in_its_bin_alone():
    line = np.cos(2 * np.pi * 37 * np.arange(256) / 256).astype(np.float32)[None]
    power = RealFft(256).power(line)[0]
    assert power.argmax() == 37
    assert np.delete(power, 37).max() < 1e-9 * power[37]


def test_short_twiddles_are_the_tail_of_the_long_ones():
    long, short = RealFft(256).twiddles, RealFft(64).twiddles
    assert np.array_equal(long[-len(short) :], short)


def test_mel_filters_sum_to_one_and_no_band_is_empty():
    filters = mel_filters(4000, 256, 64, 25.0, 2000.0)
    assert np.allclose(filters.sum(axis=1), 1)
    assert (filters.max(axis=1) > 0).all()
