"""Peers that cost what they are told to, in the time of a clock that nothing else moves."""

from dataclasses import dataclass, field

import pytest

from benchmarks.peers.spec import Loaded, PeerSpec


@dataclass
class FakeClock:
    now: float = 0.0
    runs: list[str] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def loaded(self, name: str, cost: float, seconds: float = 2.0, stop_at: int = 0) -> Loaded:
        """A side that takes `cost` seconds a run; at run `stop_at` Ctrl-C is pressed."""

        def run(sound):
            assert len(sound) == round(4000 * seconds)
            self.runs.append(name)
            if stop_at and self.runs.count(name) == stop_at:
                raise KeyboardInterrupt
            self.now += cost

        return Loaded(run, 4000, seconds, "1.0", parameters=10, bytes=40)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def spec():
    def make(name, load, kind="streaming"):
        return PeerSpec(name, kind, "MIT", load, "a peer")

    return make
