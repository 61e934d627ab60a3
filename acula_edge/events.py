"""What a session says: frozen events with one versioned JSON form (`schemas/event.schema.json`).

Times are seconds of audio since the start of the session, lost samples included: the sample index
divided by the rate, never the wall clock. Within a schema, event types and fields may be added but
never change; a field that is absent was not measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

SCHEMA = 1
NOTICE = "Research use only. Findings are sounds, not diagnoses; not a medical device."
_OPTIONAL = ("similarities", "similar", "heart_rate", "activity")


class QualityState(StrEnum):
    """Verdict of the quality gate: `REFUSE` means the sound must not be interpreted."""

    OK = "ok"
    WARN = "warn"
    REFUSE = "refuse"


class Reason(StrEnum):
    """Why sound is poor or an exam abstains. The codes are part of the JSON contract."""

    NO_CONTACT = "no_contact"
    STUCK = "stuck"
    CLIPPED = "clipped"
    FRICTION = "friction"
    SPEECH = "speech"
    AMBIENT = "ambient"
    HUM = "hum"
    NO_HEARTBEAT = "no_heartbeat"
    PROCESSED_INPUT = "processed_input"
    WRONG_RATE = "wrong_rate"
    INVALID_SAMPLES = "invalid_samples"
    GAP = "gap"
    CLOCK_DRIFT = "clock_drift"
    TOO_SHORT = "too_short"


class Decision(StrEnum):
    """What an exam says of one finding."""

    PRESENT = "present"
    ABSENT = "absent"
    UNSURE = "unsure"


class FaultKind(StrEnum):
    """What went wrong with the input, not with the sound."""

    GAP = "gap"
    OVERFLOW = "overflow"
    DEVICE_LOST = "device_lost"
    DEVICE_BACK = "device_back"
    INVALID_SAMPLES = "invalid_samples"


@dataclass(frozen=True)
class Quality:
    """The gate's state changed; emitted on every change."""

    at: float
    state: QualityState
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Window:
    """One hop of sound: smoothed probability per finding, and the findings that are on.

    `scores` is empty while the gate refuses: there is nothing to interpret. `activity` tells when
    in the window: the probability of each finding of the lung in equal steps (a step is 32 ms in
    the default bundle), calibrated as the finding is but not smoothed.
    """

    start: float
    end: float
    scores: Mapping[str, float]
    active: tuple[str, ...]
    quality: QualityState
    reasons: tuple[Reason, ...] = ()
    activity: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class HeartSound:
    """S1 or S2 began at `at`; told about a second later, when the sound after it has been heard.

    `confidence` is the mean probability of the cardiac phases found around it, 0 to 1; what is not
    confident is not told.
    """

    at: float
    sound: str
    confidence: float


@dataclass(frozen=True)
class Vitals:
    """Heart rate in beats per minute over the latest seconds; None once it is no longer known.

    `respiratory_rate` is not measured. `confidence` is that of the heart sounds counted.
    """

    at: float
    heart_rate: float | None
    respiratory_rate: float | None
    confidence: float


@dataclass(frozen=True)
class Detection:
    """A finding was entered (`on`) or left, after hysteresis and minimum durations."""

    at: float
    finding: str
    on: bool
    probability: float


@dataclass(frozen=True)
class Fault:
    """Input was lost or invalid; `lost_seconds` of audio never arrived and were not invented."""

    at: float
    kind: FaultKind
    lost_seconds: float = 0.0


@dataclass(frozen=True)
class FindingResult:
    """An exam's answer on one finding. `probability` is None where no usable sound was heard."""

    probability: float | None
    decision: Decision


@dataclass(frozen=True)
class SimilarReport:
    """A report of the bundle's index and its cosine similarity (-1 to 1) to what was heard."""

    text: str
    similarity: float


@dataclass(frozen=True)
class Exam:
    """The summary of a session.

    `similarities` are those to the bundle's text prompts by name, and `similar` the nearest
    reports, nearest first. They are research and decide nothing; both are empty where the bundle
    has no text space, nobody asked, or the exam abstains, and then the JSON form lacks them.
    `heart_rate` is in beats per minute, from the median beat of all usable sound; None, and absent
    from the JSON form, where too few beats were heard, the model has no cardiac phases or the exam
    abstains.
    """

    findings: Mapping[str, FindingResult]
    abstained: bool
    reasons: tuple[Reason, ...]
    model: str
    device: str
    site: str
    heard_seconds: float
    evidence_seconds: float
    refused_seconds: float
    lost_seconds: float
    similarities: Mapping[str, float] = dataclasses.field(default_factory=dict)
    similar: tuple[SimilarReport, ...] = ()
    heart_rate: float | None = None


Event = Window | Detection | Quality | Fault | HeartSound | Vitals


def to_json(event: Event | Exam, **extra: object) -> dict[str, Any]:
    """The event as JSON-ready values: `schema`, `type`, its fields; an exam carries the notice.

    `extra` (such as `file=`) comes right after `type`.
    """
    head: dict[str, Any] = {"schema": SCHEMA, "type": _type_name(event), **extra}
    body = {field.name: _plain(getattr(event, field.name)) for field in dataclasses.fields(event)}
    if isinstance(event, Exam | Window):
        body = {name: value for name, value in body.items() if value or name not in _OPTIONAL}
    if isinstance(event, Exam):
        body["notice"] = NOTICE
    return head | body


def _type_name(event: Event | Exam) -> str:
    return "heart_sound" if isinstance(event, HeartSound) else type(event).__name__.lower()


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, float):
        return round(value, 6)
    return value
