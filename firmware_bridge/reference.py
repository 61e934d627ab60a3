"""The normative reference: what the emitted C must answer, bit for bit, on any core.

    reference = Reference(read_model(bundle))
    for hop in reference.push(pcm):
        print(hop.scores)
    exam = reference.finish()

Samples go in as int16 at the model rate, in pieces of any length; the answers do not depend on how
they were cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import UsageError
from firmware_bridge.arithmetic import check_rounding
from firmware_bridge.decision import (
    Decision,
    Gate,
    Pool,
    Quality,
    Reasons,
    Tracker,
    probability,
)
from firmware_bridge.front_end import LogMel
from firmware_bridge.model import Floats, Int8s, McuModel
from firmware_bridge.network import Network

ABSENT_SIGNAL = Reasons.NO_CONTACT | Reasons.STUCK
NO_PROBABILITY = -1.0
Pcm = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class HopResult:
    """`acula_result`: K findings, S steps, P phases, E dimensions.

    `probability` is smoothed and calibrated, 0 in refused hops. `codes` (frames, channels) are the
    features that the network read; C does not give them out.
    """

    start: int
    hop: int
    quality: Quality
    reasons: Reasons
    active: NDArray[np.uint8]  # (K,)
    scores: Floats  # (K,)
    step_scores: Floats  # (K, S)
    phases: Floats  # (P, S)
    embedding: Floats  # (E,)
    probability: NDArray[np.float64]  # (K,)
    codes: Int8s


@dataclass(frozen=True, eq=False)
class ExamResult:
    """`acula_exam`: `probability` is -1 where no hop was usable."""

    probability: NDArray[np.float64]  # (K,)
    decision: tuple[Decision, ...]
    abstained: bool
    evidence_hops: int
    refused_hops: int


class Reference:
    """One exam, as `acula_push`, `acula_lost`, `acula_finish` and `acula_reset` would give it.

    Raises:
        UsageError: no such rounding (`float`, `single`, `double`).
    """

    def __init__(self, model: McuModel, rounding: str = "float"):
        self._model = model
        self._front_end = LogMel(model.front_end)
        self._network = Network(model, check_rounding(rounding))
        self.reset()

    def reset(self) -> None:
        """Start again from nothing."""
        model = self._model
        self._restart_network()
        self._gate = Gate(model.manifest)
        self._trackers = [Tracker(spec, model.manifest) for spec in model.specs]
        self._pools = [Pool(spec) for spec in model.specs]
        self._pending: Pcm = np.empty(0, np.int16)
        self._samples = 0  # received and lost
        self._origin = 0  # of the hops since the last gap
        self._hops_since = 0
        self._hops = self._evidence = self._refused = 0
        self._absent = False
        self._exam: ExamResult | None = None

    def push(self, pcm: Pcm) -> list[HopResult]:
        """Take samples (n,), any n; return the hops they complete.

        Raises:
            UsageError: not int16 of one channel, or the exam was given.
        """
        if self._exam is not None:
            raise UsageError("the exam was given; reset to start another")
        if pcm.dtype != np.int16 or pcm.ndim != 1:
            raise UsageError("push takes one channel of int16 samples")
        self._samples += len(pcm)
        joined, hop = np.concatenate([self._pending, pcm]), self._model.hop
        whole = len(joined) // hop * hop
        self._pending = joined[whole:]
        return [self._take(part) for part in joined[:whole].reshape(-1, hop)]

    def lost(self, samples: int) -> None:
        """`samples` were lost before the next push: the network and the switches start anew.

        Raises:
            UsageError: the exam was given.
        """
        if self._exam is not None:
            raise UsageError("the exam was given; reset to start another")
        if samples == 0:
            return
        self._samples += samples
        self._origin, self._hops_since = self._samples, 0
        self._pending = np.empty(0, np.int16)
        self._restart_network()
        self._gate.note_gap()
        for tracker in self._trackers:
            tracker.reset()

    def finish(self) -> ExamResult:
        """The exam; less than one hop is not scored."""
        if self._exam is None:
            self._exam = self._summary()
        return self._exam

    def _restart_network(self) -> None:
        self._front_end.reset()
        self._network.reset()

    def _take(self, pcm: Pcm) -> HopResult:
        model = self._model
        quality, reasons = self._gate.judge(pcm)
        absent = bool(reasons & ABSENT_SIGNAL)
        if self._absent and not absent:
            self._restart_network()
        self._absent = absent
        codes = self._front_end.push(pcm)
        logits = self._network.push(codes)
        index = self._origin + self._hops_since * model.hop
        values = self._decide(logits.scores, quality)
        result = HopResult(
            start=index,
            hop=self._hops,
            quality=quality,
            reasons=reasons,
            active=np.array([tracker.on for tracker in self._trackers], np.uint8),
            scores=logits.scores,
            step_scores=logits.steps,
            phases=logits.phases,
            embedding=logits.embedding,
            probability=values,
            codes=codes,
        )
        self._hops += 1
        self._hops_since += 1
        return result

    def _decide(self, scores: Floats, quality: Quality) -> NDArray[np.float64]:
        model = self._model
        if quality is Quality.REFUSE:
            self._refused += 1
            for tracker in self._trackers:
                tracker.reset()
            return np.zeros(len(scores))
        self._evidence += 1
        start = self._origin / model.rate + self._hops_since * model.hop / model.rate
        end = start + model.hop / model.rate
        values = []
        for tracker, pool, score in zip(self._trackers, self._pools, scores, strict=True):
            pool.add(float(score))
            values.append(tracker.update(float(score), start, end))
        return np.array(values)

    def _summary(self) -> ExamResult:
        manifest = self._model.manifest
        evidence = self._evidence * (manifest.hop / manifest.rate)
        abstained = evidence < manifest.minimum_evidence or self._refused > self._evidence
        values, decisions = [], []
        for spec, pool in zip(self._model.specs, self._pools, strict=True):
            logit, decision = pool.value, Decision.UNSURE
            value = NO_PROBABILITY if logit is None else probability(logit, spec)
            if logit is not None and not abstained:
                if value >= spec.present:
                    decision = Decision.PRESENT
                elif value < spec.absent:
                    decision = Decision.ABSENT
            values.append(value)
            decisions.append(decision)
        return ExamResult(
            np.array(values), tuple(decisions), abstained, self._evidence, self._refused
        )
