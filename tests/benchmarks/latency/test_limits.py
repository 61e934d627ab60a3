"""A limit holds only where the measurement proves it."""

from dataclasses import replace

import pytest

from acula_edge import errors
from benchmarks.distribution import distribution
from benchmarks.latency.limits import EXIT_CODE, Limits, broken
from benchmarks.latency.measure import NOTHING
from benchmarks.record import ColdStart, Flow, Identity, Interval, Run

ONE = Interval(1.0, 0.9, 1.1)
IDENTITY = Identity("b 1", "", "int8", "int8", "cpu", "", 1, "", 4000, 768, 44100, 0.1, "", "", "")


def flow(samples, *, paced=True, misses=0, duty=0.02, rss=100.0):
    hop_ms = distribution([10.0] * (samples - 2) + [40.0, 50.0])
    return Flow(
        samples * 0.2, samples, hop_ms, {}, ONE, 0.02, 90.0, rss, None, None,
        hop_ms if paced else None, misses if paced else None, 50.0 if paced else None,
        duty if paced else None,
    )  # fmt: skip


def judged(limits, **parts):
    return broken(limits, Run(IDENTITY, replace(NOTHING, **parts)))


def test_without_limits_all_is_well():
    assert judged(Limits()) == ()
    assert judged(Limits(), paced=flow(100, misses=9)) == ()
    assert broken(Limits(), Run(IDENTITY, None)) == ()


def test_limits_that_hold_are_silent():
    limits = Limits(p50_ms=10, p95_ms=20, p99_ms=20, rss_mb=200, misses=0, duty=0.02)
    assert judged(limits, paced=flow(400)) == ()


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [(Limits(p50_ms=9), "int8: p50 paced is 10 ms [10, 10], over its limit of 9 ms"),
     (Limits(p95_ms=9), "int8: p95 paced is 10 ms [10, 10], over its limit of 9 ms"),
     (Limits(rss_mb=100), "int8: memory: 104.9 MB, over the limit of 100 MB"),
     (Limits(misses=1), "int8: misses: 2, over the limit of 1"),
     (Limits(duty=0.01), "int8: duty cycle: 0.02, over the limit of 0.01")],
)  # fmt: skip
def test_each_broken_limit_is_one_sentence(limits, sentence):
    assert judged(limits, paced=flow(400, misses=2)) == (sentence,)


def test_a_withheld_quantile_passes_no_limit():
    (sentence,) = judged(Limits(p99_ms=1e9), paced=flow(100))
    assert "withheld" in sentence
    assert "368" in sentence
    assert "100 were measured" in sentence


def test_what_was_not_measured_passes_no_limit():
    limits = Limits(p50_ms=1e9, rss_mb=1e9, misses=10**9, duty=1e9)
    assert len(judged(limits)) == 4
    flat_only = judged(limits, flat=flow(400, paced=False))
    assert [sentence.split(":")[1] for sentence in flat_only] == [" misses", " duty cycle"]
    assert len(broken(limits, Run(IDENTITY, None))) == 1


def test_the_paced_run_counts_before_the_flat_one():
    slow, fast = flow(400), replace(flow(400, paced=False), hop_ms=distribution([1.0] * 400))
    assert len(judged(Limits(p50_ms=5), paced=slow, flat=fast)) == 1
    assert judged(Limits(p50_ms=5), flat=fast) == ()


def test_memory_is_the_fresh_process_and_what_the_run_added():
    cold = ColdStart(3, ONE, ONE, ONE, ONE, 290.0)
    (sentence,) = judged(Limits(rss_mb=200), cold=cold, paced=flow(400, rss=100.0))
    assert "314.6 MB" in sentence  # 290 and 100 - 90 MiB
    (sentence,) = judged(Limits(rss_mb=200), cold=cold, paced=flow(400, rss=80.0))
    assert "304.1 MB" in sentence


def test_the_exit_code_is_no_error_s():
    codes = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.AculaError)
    }
    assert EXIT_CODE not in codes | {0, 130, 141}
