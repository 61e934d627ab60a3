"""Flow on a clock of its own: what takes how long is planted, and must be told so."""

from itertools import cycle
from types import SimpleNamespace

import numpy as np
import pytest
from bundle_factory import make_bundle

from acula_edge import Session
from acula_edge.bundle import load_bundle
from acula_edge.events import QualityState, Window
from benchmarks.latency.flow import FlowMeter, open_flow
from benchmarks.latency.settings import QUICK, Clock
from benchmarks.latency.stages import STAGES, StagedSession

BLOCK, HOP = 0.1, 0.192
WINDOW = Window(0.0, HOP, {}, (), QualityState.OK)
PCM = np.zeros(400, np.float32)


class Time:
    """Stands still but for sleep and planted work; work is CPU time too."""

    def __init__(self, oversleeps=0.0):
        self.wall = self.busy = 0.0
        self.oversleeps = oversleeps
        self.clock = Clock(lambda: self.wall, lambda: self.busy, self.sleep)

    def sleep(self, seconds):
        self.wall += seconds + self.oversleeps

    def work(self, seconds):
        self.wall += seconds
        self.busy += seconds


class PlantedSession:
    """Every second push completes a hop; the stages take the milliseconds that are planted."""

    def __init__(self, time, resample=1.0, gate=2.0, network=4.0, decision=8.0):
        self.time, self.ms = time, {"resample": resample, "gate": gate, "network": network}
        self.decision, self.pushes = decision, 0
        self._input = SimpleNamespace(push=self._resample)
        self._gate = SimpleNamespace(judge=lambda: self._spend("gate"))
        self._engine = SimpleNamespace(run=lambda: self._spend("network"))

    def _spend(self, stage):
        self.time.work(self.ms[stage] / 1e3)

    def _resample(self, pcm):
        self._spend("resample")
        self.pushes += 1
        if self.pushes % 2 == 0:
            yield "hop"

    def push(self, pcm):
        events = []
        for _ in self._input.push(pcm):
            self._gate.judge()
            self._engine.run()
            self.time.work(self.decision / 1e3)
            events.append(WINDOW)
        return events


def meter(time, session, seconds=10.0, rss=lambda: 50.0):
    staged = StagedSession(session, time.clock)
    return FlowMeter(staged, cycle([PCM]), seconds, BLOCK, HOP, time.clock, rss)


def run(*, paced, oversleeps=0.0, seconds=10.0, rss=lambda: 50.0, **planted):
    time = Time(oversleeps)
    run = meter(time, PlantedSession(time, **planted), seconds, rss)
    run.run(paced=paced)
    return run.flow()


def test_the_stages_of_a_hop_are_told_apart():
    flow = run(paced=False)
    assert tuple(flow.stages) == STAGES
    # two pushes resample for each hop; only the second of them is the hop's push
    medians = {name: part.p50.value for name, part in flow.stages.items()}
    assert medians == pytest.approx({"resample": 2, "gate": 2, "network": 4, "decision": 8})
    assert flow.hop_ms.p50.value == pytest.approx(15)
    assert flow.hops == flow.hop_ms.samples == 50


def test_flat_out_has_no_deadlines():
    flow = run(paced=False)
    assert flow.seconds == pytest.approx(10)
    assert flow.realtime_factor == pytest.approx(50 * 16e-3 / 10)
    assert flow.cpu_ms_per_second.value == pytest.approx(80)
    assert flow.cpu_ms_per_second.low <= 80.001
    assert (flow.wakeup_ms, flow.deadline_misses, flow.largest_lag_ms, flow.duty_cycle) == (
        None, None, None, None,
    )  # fmt: skip


def test_paced_waits_for_the_sound():
    time = Time()
    run = meter(time, PlantedSession(time))
    run.run(paced=True)
    flow = run.flow()
    assert time.wall == pytest.approx(10 + 15e-3)  # the last block is due when it has sounded
    assert flow.duty_cycle == pytest.approx(0.08)
    assert flow.deadline_misses == 0
    assert flow.largest_lag_ms == pytest.approx(15)
    assert flow.wakeup_ms.largest == pytest.approx(0, abs=1e-6)


def test_waking_late_is_jitter_and_lag():
    flow = run(paced=True, oversleeps=0.003)
    assert flow.wakeup_ms.p50.value == pytest.approx(3)
    assert flow.largest_lag_ms == pytest.approx(18)
    assert flow.hop_ms.p50.value == pytest.approx(15)


def test_a_hop_as_long_as_the_next_is_a_miss():
    assert run(paced=True, network=170.0, seconds=0.2).deadline_misses == 0  # 181 of 192 ms
    assert run(paced=True, network=185.0, seconds=0.2).deadline_misses == 1


def test_an_overloaded_machine_falls_behind_for_good():
    flow = run(paced=True, network=300.0)
    assert flow.deadline_misses == 50
    assert flow.largest_lag_ms > 4000
    assert flow.duty_cycle > 1


def test_memory_and_slopes_follow_the_wall_clock():
    time = Time()
    grown = meter(time, PlantedSession(time), 600, rss=lambda: 50 + time.wall / 3600 * 7)
    grown.run(paced=True)
    flow = grown.flow()
    assert flow.rss_start_mib == 50
    assert flow.rss_end_mib == pytest.approx(50 + 7 / 6, abs=0.01)
    assert flow.rss_slope_mib_per_hour.value == pytest.approx(7)
    assert flow.hop_slope_ms_per_hour.value == pytest.approx(0, abs=1e-6)


def test_no_slope_is_stretched_from_seconds():
    flow = run(paced=True, seconds=60)
    assert flow.rss_slope_mib_per_hour is None
    assert flow.hop_slope_ms_per_hour is None


def test_an_interrupted_run_keeps_what_it_measured():
    time = Time()
    stopped = meter(time, PlantedSession(time))

    def tick(elapsed):
        if elapsed > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.run(paced=True, tick=tick)
    flow = stopped.flow()
    assert flow.seconds == pytest.approx(3)
    assert flow.hops == 15
    assert meter(time, PlantedSession(time)).flow() is None


def test_timing_changes_no_event(tmp_path):
    bundle = load_bundle(make_bundle(tmp_path / "tiny"))
    plain, timed = (Session(bundle, source_rate=8000, variant="fp32") for _ in range(2))
    staged = StagedSession(timed, Clock())
    sound = 0.1 * np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    expected, hops = [], 0
    for start in range(0, 8000, 800):
        expected += plain.push(sound[start : start + 800])
        pushed = staged.push(sound[start : start + 800])
        hops += pushed.hops
        assert sum(staged.spent.values()) >= 0
    assert hops == sum(isinstance(event, Window) for event in expected) > 100
    assert timed.finish() == plain.finish()


def test_a_real_bundle_flows():
    bundle = load_bundle("heart-lung")
    for paced in (False, True):
        found = open_flow(bundle, "cpu-int8", "cpu", QUICK, seconds=0.6, clock=Clock())
        found.run(paced=paced)
        flow = found.flow()
        assert flow.hops in (2, 3, 4)
        assert all(part.p50.value > 0 for part in flow.stages.values())
        inside = sum(part.p50.value for part in flow.stages.values())
        assert inside > 0.1
        assert (flow.deadline_misses is not None) == paced
