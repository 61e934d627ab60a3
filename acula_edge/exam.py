"""The summary of a session: pooled evidence per finding, or the reasons for not answering."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from acula_edge.bundle import FindingSpec
from acula_edge.events import Decision, Exam, FindingResult, QualityState, Reason
from acula_edge.pooling import make_pool
from acula_edge.quality import Verdict

NOTABLE_SHARE = 0.2  # of the sound heard: a rarer reason is not worth the summary


def probability(logit: float, spec: FindingSpec) -> float:
    """Calibrated probability of a logit: `sigmoid((logit - bias) / temperature)`."""
    scaled = (logit - spec.bias) / spec.temperature
    if scaled >= 0:
        return 1.0 / (1.0 + math.exp(-scaled))
    grown = math.exp(scaled)
    return grown / (1.0 + grown)


def decide(value: float, spec: FindingSpec) -> Decision:
    """Present, absent, or unsure between the two thresholds."""
    if value >= spec.present:
        return Decision.PRESENT
    return Decision.ABSENT if value < spec.absent else Decision.UNSURE


class ExamBuilder:
    """Collects hops; refused ones count as refused and never as evidence."""

    def __init__(self, specs: Sequence[FindingSpec], hop_seconds: float, minimum_evidence: float):
        self._specs = specs
        self._hop_seconds = hop_seconds
        self._minimum = minimum_evidence
        self._pools = [make_pool(spec.pooling.kind, spec.pooling.sharpness) for spec in specs]
        self._reasons: Counter[Reason] = Counter()
        self._refusals: Counter[Reason] = Counter()
        self._evidence = 0
        self._refused = 0

    def add(self, logits: Sequence[float], verdict: Verdict) -> None:
        """Take one hop: its logits in the order of the specs, and the gate's verdict."""
        self._reasons.update(verdict.reasons)
        if verdict.state is QualityState.REFUSE:
            self._refusals.update(verdict.reasons)
            self._refused += 1
            return
        self._evidence += 1
        for pool, logit in zip(self._pools, logits, strict=True):
            pool.add(logit)

    def build(
        self,
        *,
        heard: float,
        lost: float,
        model: str,
        device: str,
        site: str,
        heart_rate: float | None = None,
    ) -> Exam:
        """The exam after `heard` seconds received and `lost` seconds missed."""
        evidence = self._evidence * self._hop_seconds
        abstained = evidence < self._minimum or self._refused > self._evidence
        findings = {
            spec.name: self._result(spec, pool.value, abstained)
            for spec, pool in zip(self._specs, self._pools, strict=True)
        }
        return Exam(
            findings=findings,
            abstained=abstained,
            reasons=self._summary(abstained, lost),
            model=model,
            device=device,
            site=site,
            heard_seconds=heard,
            evidence_seconds=evidence,
            refused_seconds=self._refused * self._hop_seconds,
            lost_seconds=lost,
            heart_rate=None if abstained else heart_rate,
        )

    def _result(self, spec: FindingSpec, logit: float | None, abstained: bool) -> FindingResult:
        if logit is None:
            return FindingResult(None, Decision.UNSURE)
        value = probability(logit, spec)
        return FindingResult(value, Decision.UNSURE if abstained else decide(value, spec))

    def _summary(self, abstained: bool, lost: float) -> tuple[Reason, ...]:
        hops = max(self._evidence + self._refused, 1)
        reasons = [r for r, count in self._reasons.most_common() if count >= NOTABLE_SHARE * hops]
        if abstained:
            reasons = [r for r, _ in self._refusals.most_common()] + reasons
            if (self._evidence + self._refused) * self._hop_seconds < self._minimum:
                reasons.append(Reason.TOO_SHORT)
        if lost > 0:
            reasons.append(Reason.GAP)
        return tuple(dict.fromkeys(reasons))
