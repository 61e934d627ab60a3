"""`Session`: push sound of any block length, get events; finish, get the exam.

The sound is cut into fixed source blocks before anything looks at it, so the events of a recording
are the same bit for bit however the caller cut it, live or replayed.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from acula_edge.activity import Activity
from acula_edge.bundle import Bundle, load_bundle
from acula_edge.engine import open_engine
from acula_edge.errors import UsageError
from acula_edge.events import (
    Detection,
    Event,
    Exam,
    Fault,
    FaultKind,
    Quality,
    QualityState,
    Window,
)
from acula_edge.exam import ExamBuilder, probability
from acula_edge.heart import heart_tracker
from acula_edge.hops import Hop, HopStream
from acula_edge.providers import DEFAULT_PROVIDER
from acula_edge.quality import ABSENT_SIGNAL, GateSettings, QualityGate, SourceCheck, Verdict
from acula_edge.smoothing import Hysteresis, Smoother, Switch
from acula_edge.text import text_evidence

Pcm = NDArray[np.float32]
SITES = ("heart", "lung")
DEFAULT_MODEL = "heart-lung"
DEFAULT_VARIANT = "cpu-int8"


class Session:
    """One auscultation, from the first sample to the exam.

    Args:
        model: name of a shipped bundle, a path to one, or a loaded `Bundle`.
        site: `heart` or `lung` scores that site's findings only; None scores all. Where the model
            tells cardiac phases, heart sounds and heart rate are told too, but not at `lung`.
        source_rate: rate of the sound pushed, in Hz; None means the model's own rate.
        variant: which of the bundle's artefacts to run.
        provider: what computes it: `cpu`, `tensorrt-ep`, `tensorrt` or `tensorrt-fp16`.
        device: name of the stethoscope, copied to the exam.
        explain: how many of the bundle's most similar reports the exam names.
        trusted_key: minisign public key (or its file); the bundle must then be signed with it.

    Raises:
        BundleError: the bundle is missing, damaged or breaks its contract.
        UsageError: unknown site or provider, a site without findings, or a rate that is too low.
        MissingDependencyError, DeviceError: the provider is not usable on this machine.
    """

    def __init__(
        self,
        model: str | Path | Bundle = DEFAULT_MODEL,
        *,
        site: str | None = None,
        source_rate: int | None = None,
        variant: str = DEFAULT_VARIANT,
        provider: str = DEFAULT_PROVIDER,
        device: str = "",
        explain: int = 0,
        trusted_key: str | Path | None = None,
    ):
        self.bundle: Bundle = (
            model if isinstance(model, Bundle) else load_bundle(model, trusted_key=trusted_key)
        )
        manifest = self.bundle.manifest
        self.source_rate = manifest.rate if source_rate is None else source_rate
        if self.source_rate < manifest.rate // 2:
            least = manifest.rate // 2
            raise UsageError(
                f"{self.source_rate} Hz is too low: this model needs {least} Hz or more"
            )
        self.site, self.device = site, device
        self._columns = _columns(self.bundle, site)
        self._specs = [manifest.findings[column] for column in self._columns]
        self.findings = tuple(spec.name for spec in self._specs)
        self._hop, self._rate = manifest.hop, manifest.rate
        self._hop_seconds = self._hop / self._rate
        self._engine = open_engine(self.bundle, variant, provider)
        settings = GateSettings()
        self._gate = QualityGate(self._rate, self._hop, settings, needs_heartbeat=site == "heart")
        self._exam = ExamBuilder(self._specs, self._hop_seconds, manifest.minimum_evidence)
        self._text = text_evidence(self.bundle, site, explain)
        self._heart = heart_tracker(manifest, site)
        self._activity = Activity(self._specs, self._columns)
        smoothing = manifest.smoothing
        self._smoothers = [Smoother(smoothing.seconds, self._hop_seconds) for _ in self._specs]
        self._switches = [
            Switch(Hysteresis(s.enter, s.leave, smoothing.minimum_on, smoothing.minimum_off))
            for s in self._specs
        ]
        self._input = HopStream(
            self.source_rate, self._rate, self._hop, SourceCheck(settings.clip_level)
        )
        self._verdict = Verdict(QualityState.OK, ())
        self._absent = False
        self._ended = False
        self._result: Exam | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def push(self, pcm: NDArray[Any], lost: int = 0) -> list[Event]:
        """Take sound and return what it made certain.

        Args:
            pcm: int16 or float32 in [-1, 1], shape (n,), any n, at `source_rate`.
            lost: samples missed immediately before `pcm`. A gap resets the model and is announced.

        Raises:
            UsageError: another shape or type, or the session is finished.
        """
        if self._ended:
            raise UsageError("the session is finished; start a new one")
        samples = _as_float(pcm)
        events: list[Event] = []
        if lost > 0:
            self._skip(lost, events)
        for hop in self._input.push(samples):
            self._take_hop(hop, events)
        return events

    def flush(self) -> list[Event]:
        """End the sound and return the events still owed. Less than one hop is not scored."""
        events: list[Event] = []
        if not self._ended:
            self._ended = True
            for hop in self._input.flush():
                self._take_hop(hop, events)
            if self._heart is not None:
                events += self._heart.end()
        return events

    def finish(self) -> Exam:
        """The exam; the session takes no more sound. Call `flush` first for the last events."""
        if self._result is None:
            self.flush()
            manifest = self.bundle.manifest
            exam = self._exam.build(
                heard=self._input.received / self.source_rate,
                lost=self._input.lost / self.source_rate,
                model=f"{manifest.name} {manifest.version}",
                device=self.device,
                site=self.site or "",
                heart_rate=None if self._heart is None else self._heart.heart_rate,
            )
            self._result = exam if self._text is None else self._text.tell(exam)
        return self._result

    @property
    def embedding(self) -> NDArray[np.float64] | None:
        """Direction (size,) in the text space of the usable sound so far; None if there is none."""
        return None if self._text is None else self._text.embedding

    def _skip(self, lost: int, events: list[Event]) -> None:
        for hop in self._input.flush():
            self._take_hop(hop, events)
        at = self._input.seconds
        events.append(Fault(at, FaultKind.GAP, lost / self.source_rate))
        self._restart(at, events)
        self._engine.reset()
        self._gate.note_gap()
        self._input.skip(lost)

    def _take_hop(self, hop: Hop, events: list[Event]) -> None:
        start, end = hop.start, hop.start + self._hop_seconds
        invalid = sum(fact.invalid for fact in hop.facts)
        if invalid:
            events.append(Fault(start, FaultKind.INVALID_SAMPLES, invalid / self.source_rate))
        verdict = self._gate.judge(hop.pcm, hop.facts)
        absent = not ABSENT_SIGNAL.isdisjoint(verdict.reasons)
        if self._absent and not absent:
            self._engine.reset()
        self._absent = absent
        heard = self._engine.run(hop.pcm)
        logits = [float(heard.scores[column]) for column in self._columns]
        self._exam.add(logits, verdict)
        if verdict != self._verdict:
            events.append(Quality(start, verdict.state, verdict.reasons))
            self._verdict = verdict
        if verdict.state is QualityState.REFUSE:
            self._restart(end, events)
            events.append(Window(start, end, {}, (), verdict.state, verdict.reasons))
            return
        if self._text is not None:
            self._text.add(heard.embedding)
        if self._heart is not None:
            events += self._heart.push(heard.phases, start)
        activity = self._activity.of(heard.steps)
        smoothed = self._smooth(logits, start, end, events)
        active = tuple(
            name for name, switch in zip(self.findings, self._switches, strict=True) if switch.on
        )
        events.append(
            Window(start, end, smoothed, active, verdict.state, verdict.reasons, activity)
        )

    def _smooth(
        self, logits: list[float], start: float, end: float, events: list[Event]
    ) -> dict[str, float]:
        smoothed = {}
        for spec, smoother, switch, logit in zip(
            self._specs, self._smoothers, self._switches, logits, strict=True
        ):
            value = probability(smoother.update(logit), spec)
            smoothed[spec.name] = value
            if switch.update(value, start, end):
                events.append(Detection(end, spec.name, switch.on, value))
        return smoothed

    def _restart(self, at: float, events: list[Event]) -> None:
        """What was on is no longer heard: a refusal or a gap ends it."""
        if self._heart is not None:
            events += self._heart.interrupt(at)
        for spec, smoother, switch in zip(
            self._specs, self._smoothers, self._switches, strict=True
        ):
            if switch.on:
                events.append(Detection(at, spec.name, on=False, probability=0.0))
            smoother.reset()
            switch.reset()


def check_options(
    bundle: Bundle,
    site: str | None,
    variant: str,
    provider: str = DEFAULT_PROVIDER,
    explain: int = 0,
) -> None:
    """Refuse, before any sound is read, what the bundle does not have or this machine cannot run.

    Raises:
        UsageError, BundleError, MissingDependencyError, DeviceError: as `Session` would.
    """
    _columns(bundle, site)
    bundle.manifest.variant(variant)
    text_evidence(bundle, site, explain)
    if provider != DEFAULT_PROVIDER:
        open_engine(bundle, variant, provider)


def _columns(bundle: Bundle, site: str | None) -> list[int]:
    findings = bundle.manifest.findings
    if site is None:
        return list(range(len(findings)))
    if site not in SITES:
        raise UsageError(f"unknown site {site!r}: choose heart or lung")
    columns = [index for index, spec in enumerate(findings) if spec.site == site]
    if not columns:
        raise UsageError(f"model {bundle.manifest.name!r} has no findings for the {site}")
    return columns


def _as_float(pcm: NDArray[Any]) -> Pcm:
    if not isinstance(pcm, np.ndarray) or pcm.ndim != 1:
        raise UsageError("push takes one channel: a numpy array of shape (n,)")
    if pcm.dtype == np.int16:
        return pcm.astype(np.float32) * np.float32(1 / 32768)
    if pcm.dtype in (np.float32, np.float64):
        return pcm.astype(np.float32, copy=False)
    raise UsageError(f"push takes int16 or float32 samples, not {pcm.dtype}")
