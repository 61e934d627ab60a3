"""The front end against a float64 oracle and the graph; pieces, gain, silence, drift."""

import dataclasses

import numpy as np
import pytest
from mcu_bundle import HOP, RATE, mcu_bundle, mcu_pcm
from numpy.lib.stride_tricks import sliding_window_view

from acula_edge.errors import BundleError
from firmware_bridge.emit.check import check_front_end, graph_codes, noise
from firmware_bridge.front_end import LogMel, constants_of
from firmware_bridge.model import POWER_FLOOR, FrontEnd, Spectrum, read_model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return mcu_bundle(tmp_path_factory.mktemp("front"))


@pytest.fixture(scope="module")
def model(bundle):
    return read_model(bundle)


def oracle_energies(spectrum: Spectrum, x: np.ndarray) -> np.ndarray:
    size = spectrum.frame
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    frames = sliding_window_view(x, size)[:: spectrum.step] * (window / window.sum())
    return np.abs(np.fft.rfft(frames)) ** 2 @ spectrum.filters.T.astype(np.float64)


def oracle(front: FrontEnd, pcm: np.ndarray) -> np.ndarray:
    """Features in steps of the scale, float64, without rounding or cutting to codes."""
    x = np.concatenate([np.zeros(front.history), pcm / 32768])
    long = oracle_energies(front.long, x)
    short = oracle_energies(front.short, x[front.history - 48 :]).reshape(len(long), -1)
    level = weight = mean_weight = 0.0
    sums, rows = np.zeros(front.channels), []
    for energies, fine in zip(long, short, strict=True):
        level = level * front.level_decay + energies.mean() * front.floor + POWER_FLOOR
        weight = weight * front.level_decay + 1
        logs = np.log(np.concatenate([energies, fine]) + level / weight)
        sums = sums * front.mean_decay + logs
        mean_weight = mean_weight * front.mean_decay + 1
        rows.append(np.clip((logs - sums / mean_weight) / 2, -4, 4) / front.scale.scale)
    return np.array(rows)


def codes_of(front: FrontEnd, values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values) + front.scale.zero, -128, 127).astype(int)


def test_codes_are_those_of_float64_but_for_ties(model):
    pcm = mcu_pcm(150, seed=3)
    exact = oracle(model.front_end, pcm)
    mine = LogMel(model.front_end).push(pcm).astype(int)
    gap = np.abs(mine - codes_of(model.front_end, exact))
    assert gap.max() <= 1
    assert np.mean(gap > 0) <= 4e-4  # 1.5e-4 measured on 345,600 codes
    unsure = np.abs(np.abs(exact - np.floor(exact)) - 0.5)[gap > 0]
    assert (unsure < 2e-3).all()  # only what lies that near the middle between two codes


def test_codes_are_the_graphs_but_for_ties(bundle, model):
    pcm = mcu_pcm(80, seed=4)
    gap = np.abs(LogMel(model.front_end).push(pcm).astype(int) - graph_codes(model, bundle, pcm))
    assert gap.max() <= 1
    assert np.mean(gap > 0) <= 1e-3  # 3.2e-4 measured; ONNX Runtime's own share is 1.9e-4


def test_any_cut_into_hops_gives_the_same_codes(model):
    pcm = mcu_pcm(12)
    whole, pieces = LogMel(model.front_end), LogMel(model.front_end)
    parts = [pieces.push(part) for part in np.split(pcm, [HOP, 3 * HOP, 8 * HOP])]
    assert np.array_equal(whole.push(pcm), np.concatenate(parts))


def test_reset_is_a_new_front_end(model):
    pcm, used = mcu_pcm(6), LogMel(model.front_end)
    used.push(noise(5 * HOP))
    used.reset()
    assert np.array_equal(used.push(pcm), LogMel(model.front_end).push(pcm))


def test_a_quieter_sound_has_the_same_codes(model):
    loud = noise(30 * HOP)[20 * HOP :] // 4 * 4  # a quarter of it is whole numbers too
    near = LogMel(model.front_end).push(loud).astype(int)
    far = LogMel(model.front_end).push(loud // 4).astype(int)
    assert np.abs(near - far).max() <= 1
    assert np.mean(near != far) < 1e-3


def test_digital_silence_is_finite_and_steady(model):
    codes = LogMel(model.front_end).push(np.zeros(40 * HOP, np.int16))
    assert np.ptp(codes) == 0
    assert codes[0, 0] == model.front_end.scale.zero


def test_full_scale_and_steps_stay_within_the_codes(model):
    square = np.where(np.arange(20 * HOP) // 100 % 2, 32767, -32768).astype(np.int16)
    codes = LogMel(model.front_end).push(np.concatenate([square, np.zeros(4 * HOP, np.int16)]))
    assert codes.min() >= -128 and codes.max() <= 127


def test_a_planted_tone_stands_out_in_its_band(model):
    time = np.arange(60 * HOP) / RATE
    background = 200 * np.random.default_rng(5).standard_normal(len(time))
    tone = np.where(time > 9, 8000 * np.sin(2 * np.pi * 500 * time), 0)
    codes = LogMel(model.front_end).push((background + tone).astype(np.int16))
    after = codes[int(9.1 * RATE / 64), :64].astype(int)
    centres = model.front_end.long.filters @ (np.arange(129) * RATE / 256)
    assert abs(centres[after.argmax()] - 500) < 25


def test_means_do_not_drift_in_ten_minutes(model):
    """The recursion in float32 against float64 over 37,500 frames of logarithms."""
    c = constants_of(model.front_end)
    frames = 600 * RATE // model.front_end.long.step
    random = np.random.default_rng(6)
    logs = (random.standard_normal((frames, 8)) + np.linspace(-16, 16, 8)).astype(np.float32)
    decay, s32, w32 = np.float32(c.mean_decay), np.zeros(8, np.float32), np.float32(0)
    s64, w64, worst = np.zeros(8), 0.0, 0.0
    for row in logs:
        s32, w32 = s32 * decay + row, np.float32(w32 * decay + np.float32(1))
        s64, w64 = s64 * float(decay) + row, w64 * float(decay) + 1
        worst = max(worst, float(np.abs(s32 * (np.float32(1) / w32) - s64 / w64).max()))
    assert worst * c.gain < 0.02  # steps of a code; a rounding error is forgotten with the sound


def test_the_graph_is_held_to_the_manifest(bundle, model):
    assert check_front_end(model, bundle) <= 2e-3
    other = dataclasses.replace(model.front_end, level_decay=0.5, mean_decay=0.9)
    with pytest.raises(BundleError, match=r"does not give the graph's codes: .*% of them differ"):
        check_front_end(dataclasses.replace(model, front_end=other), bundle)
