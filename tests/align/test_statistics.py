"""Statistics: planted signals, nulls, and intervals that know patients from recordings."""

import numpy as np
import pytest

from align.statistics import auroc, expected_calibration_error, patient_bootstrap


def test_auroc_of_perfect_random_and_one_class():
    truth = np.array([0.0, 0.0, 1.0, 1.0])
    assert auroc(truth, truth) == 1.0
    assert auroc(truth, -truth) == 0.0
    assert np.isnan(auroc(np.ones(4), truth))


def test_calibration_error():
    random = np.random.default_rng(0)
    probability = random.random(20_000)
    truth = (random.random(20_000) < probability).astype(float)
    assert expected_calibration_error(truth, probability) < 0.02
    assert expected_calibration_error(truth, np.ones(20_000)) == pytest.approx(0.5, abs=0.02)


def test_the_interval_widens_when_recordings_share_patients():
    random = np.random.default_rng(0)
    value = np.repeat(random.random(40), 10)

    def width(patients):
        estimate = patient_bootstrap(
            patients, lambda rows: float(value[rows].mean()), resamples=500
        )
        assert estimate.low < estimate.value < estimate.high
        return estimate.high - estimate.low

    clustered = width([str(i // 10) for i in range(400)])
    alone = width([str(i) for i in range(400)])
    assert clustered > 2 * alone


def test_the_interval_is_reproducible():
    value = np.random.default_rng(1).random(50)
    names = [str(i // 2) for i in range(50)]
    runs = [patient_bootstrap(names, lambda r: float(value[r].mean()), resamples=50) for _ in "ab"]
    assert runs[0] == runs[1]
