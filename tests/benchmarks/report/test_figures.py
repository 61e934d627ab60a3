"""Figures as text."""

import pytest

from benchmarks.record import Interval
from benchmarks.report import figures


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (0.9996, "1.00"),
        (9.996, "10.0"),
        (99.96, "100"),
        (1234.5, "1,234"),
        (-0.0123, "−0.0123"),
        (1e-9, "0.00000000100"),
    ],
)
def test_a_number_keeps_three_significant_digits(value, shown):
    assert figures.number(value) == shown


def test_what_is_missing_says_so():
    assert figures.interval(None) == "not measured"
    assert figures.told(None) == figures.told("") == figures.told(()) == "not told"
    assert figures.quantile(None, 1234) == "withheld: 1,234 samples"
    assert figures.file_size(None) == figures.parameters(None) == "not told"


def test_what_is_known_is_not_called_missing():
    assert figures.told(0) == "0"
    assert figures.told(0.0, "°C") == "0 °C"
    assert figures.told(("avx2", "fma")) == "avx2, fma"


def test_intervals_and_units():
    assert figures.interval(Interval(1.234, 1.1, 1.3), "ms") == "1.23 [1.10, 1.30] ms"
    assert figures.share_interval(Interval(0.9597, 0.9, 1.0)) == "0.960 [0.900, 1.000]"
    assert figures.file_size(345_678) == "346 kB"
    assert figures.file_size(999) == "999 B"
    assert figures.parameters(21_300_000) == "21.3 M"
    assert figures.times(444.4) == "444×"
    assert figures.plural(1, "patient") == "1 patient"


def test_acronyms_of_peers_are_capitals_and_other_names_untouched():
    assert figures.peer_name("opera-gt, one window") == "OPERA-GT, one window"
    assert figures.peer_name("webrtcvad") == "webrtcvad"
