"""Firmware and `classify` decide alike, and what only the host's gate knows is counted apart."""

from dataclasses import replace

import numpy as np
import pytest

from firmware_bridge.model import read_model
from firmware_bridge.verify import decisions
from firmware_bridge.verify.decisions import agreement
from firmware_bridge.verify.script import Sound

pytest.importorskip("torch", reason="pip install 'acula-edge[export]'")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    from mcu_bundle import mcu_bundle

    return mcu_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def body():
    from mcu_bundle import mcu_pcm

    return Sound("body", mcu_pcm(30, seed=4))


def hum():
    time = np.arange(30 * 768) / 4000
    return Sound("hum", (12000 * np.sin(2 * np.pi * 50 * time)).astype(np.int16))


def test_the_same_decisions_and_nearly_the_same_probabilities(bundle, body):
    found = agreement(bundle, read_model(bundle), [body])
    assert (found.recordings, found.equal, found.gated) == (1, 1, 0)
    assert found.passed and found.largest < 0.02
    assert str(found).startswith("decisions: 1 of 1 recordings")


def test_hum_is_the_hosts_alone_and_counted_apart(bundle, body):
    found = agreement(bundle, read_model(bundle), [hum(), body])
    assert (found.recordings, found.gated) == (1, 1)


def test_a_different_decision_is_named(bundle, body, monkeypatch):
    class Contrary(decisions.Reference):
        def finish(self):
            exam = super().finish()
            turned = tuple(type(word)((word + 1) % 3) for word in exam.decision)
            return replace(exam, decision=turned)

    monkeypatch.setattr(decisions, "Reference", Contrary)
    found = agreement(bundle, read_model(bundle), [body])
    assert not found.passed and found.difference.startswith("body: classify says")
