"""What quantisation may cost: the gate, agreement, the ranking of blocks, mixed precision."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_student import CONFIG, graph_of, make_sound, make_student

from align.errors import AlignError
from export.gate import GateError, check_accuracy, decision_agreement, keep_float_until
from export.quantise import QuantiseError, measure_scales
from export.sensitivity import block_sensitivity, snr_db

FLOAT = {"murmur": 0.95, "wheeze": 0.90}


def test_the_gate_gives_drops_and_lets_gains_pass():
    drops = check_accuracy("cpu-int8", FLOAT, {"murmur": 0.948, "wheeze": 0.91}, 0.003)
    assert drops == pytest.approx({"murmur": 0.002, "wheeze": -0.01})


def test_the_gate_names_the_worst_finding_its_drop_and_the_limit():
    with pytest.raises(
        GateError, match=r"cpu-int8: wheeze loses 0\.0200 .*0\.9000 to 0\.8800.*0\.0030"
    ):
        check_accuracy("cpu-int8", FLOAT, {"murmur": 0.94, "wheeze": 0.88}, 0.003)
    assert issubclass(GateError, AlignError)


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"murmur": 0.95}, "wheeze"),
        ({"murmur": 0.95, "wheeze": float("nan")}, "wheeze has no AUROC"),
    ],
)
def test_figures_that_cannot_be_compared_do_not_pass(figures, message):
    with pytest.raises(GateError, match=message):
        check_accuracy("cpu-int8", FLOAT, figures, 1.0)
    with pytest.raises(GateError, match="any"):
        check_accuracy("cpu-int8", {}, {}, 1.0)


def test_agreement_is_the_share_of_equal_decisions():
    assert decision_agreement([1, 0, 2, 1], [1, 0, 2, 0]) == 0.75
    with pytest.raises(GateError):
        decision_agreement([1, 0], [1])
    with pytest.raises(GateError):
        decision_agreement([], [])


def test_mixed_precision_keeps_the_fewest_blocks_that_pass():
    tried = []

    def attempt(kept):
        tried.append(kept)
        if not {5, 2} <= set(kept):
            raise GateError("not yet")
        return sum(kept)

    assert keep_float_until([5, 0, 2, 1], attempt, already=[0], at_most=3) == ((0, 2, 5), 7)
    assert tried == [(0,), (0, 5), (0, 2, 5)]
    with pytest.raises(GateError, match="not yet"):
        keep_float_until([5, 0, 2, 1], attempt, at_most=1)


def test_the_block_with_ruined_ranges_is_found():
    student, pcm = make_student(), make_sound(3)
    ranges = measure_scales(student, [torch.from_numpy(pcm)])
    inputs = list(ranges.inputs)
    inputs[2] = replace(inputs[2], high=20 * inputs[2].high)
    ranking = block_sensitivity(graph_of("window"), replace(ranges, inputs=tuple(inputs)), pcm)
    assert ranking[0].block == 2
    assert sorted(item.block for item in ranking) == list(range(len(CONFIG.blocks)))
    assert ranking[0].snr_db < ranking[1].snr_db - 6
    assert ranking[0].mean_error > ranking[1].mean_error > 0


def test_sensitivity_refuses_clips_it_cannot_use():
    student, pcm = make_student(), make_sound(1)
    window, ranges = graph_of("window"), measure_scales(student, [torch.from_numpy(pcm)])
    with pytest.raises(QuantiseError, match="NaN"):
        block_sensitivity(window, ranges, np.full_like(pcm, np.nan))
    with pytest.raises(QuantiseError, match="shape"):
        block_sensitivity(window, ranges, pcm[:, :768])


def test_snr_of_a_known_error():
    signal = np.random.default_rng(0).standard_normal(100_000)
    assert snr_db(signal, 0.01 * signal) == pytest.approx(40.0, abs=0.01)
    assert snr_db(signal, 0.0 * signal) == float("inf")
