"""The view's words: codes and numbers as text, events as lines of the log, the exam's summary."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from acula_edge.events import (
    NOTICE,
    Decision,
    Detection,
    Event,
    Exam,
    Fault,
    FaultKind,
    Quality,
    QualityState,
    Reason,
)

REASONS: Mapping[Reason, str] = {
    Reason.NO_CONTACT: "no contact: press the chestpiece to the skin",
    Reason.STUCK: "the signal does not change: check the cable and the device",
    Reason.CLIPPED: "too loud: lower the input gain or press less",
    Reason.FRICTION: "rubbing: hold the chestpiece still",
    Reason.SPEECH: "someone is speaking: ask for silence",
    Reason.AMBIENT: "noisy room: find a quieter place",
    Reason.HUM: "mains hum: move away from chargers and lamps",
    Reason.NO_HEARTBEAT: "no heartbeat heard: try another spot",
    Reason.PROCESSED_INPUT: "the input is processed: switch off noise suppression and AGC",
    Reason.WRONG_RATE: "the sample rate is wrong: check the input's settings",
    Reason.INVALID_SAMPLES: "the input sends invalid samples: check the driver",
    Reason.GAP: "sound was lost: the link or this computer is too slow",
    Reason.CLOCK_DRIFT: "the device's clock drifts: its rate is not what it says",
    Reason.TOO_SHORT: "too little sound: listen longer",
}
FAULTS: Mapping[FaultKind, str] = {
    FaultKind.GAP: "sound lost",
    FaultKind.OVERFLOW: "sound lost: processing was too slow",
    FaultKind.DEVICE_LOST: "the device is gone; waiting for it",
    FaultKind.DEVICE_BACK: "the device is back",
    FaultKind.INVALID_SAMPLES: "invalid samples from the input",
}
STATES: Mapping[QualityState, str] = {
    QualityState.OK: "✓ good sound",
    QualityState.WARN: "! poor sound",
    QualityState.REFUSE: "✕ not interpreted",
}
DECISIONS: Mapping[Decision, str] = {
    Decision.PRESENT: "● present",
    Decision.ABSENT: "○ absent",
    Decision.UNSURE: "? unsure",
}


def clock(seconds: float) -> str:
    """Seconds as mm:ss."""
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def level_text(level: float) -> str:
    """A level in dBFS, five characters wide."""
    return f"{level:5.1f}" if level > -100 else " -inf"


def score_text(value: float | None) -> str:
    """A probability with two decimals; a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.2f}"


def rate_text(value: float | None) -> str:
    """A rate per minute as a whole number; a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.0f}"


def safe(text: str) -> str:
    """Names come from files and devices: what could steer the terminal is dropped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "?" for char in text)


def advice(reasons: Iterable[Reason]) -> str:
    """The reasons as words."""
    return "; ".join(REASONS[reason] for reason in reasons)


def describe(event: Event) -> str | None:
    """One line on an event worth a line of the log; None for what comes steadily."""
    if isinstance(event, Detection):
        what = f"heard ({event.probability:.2f})" if event.on else "ended"
        return f"{clock(event.at)}  {event.finding} {what}"
    if isinstance(event, Quality):
        words = f": {advice(event.reasons)}" if event.reasons else ""
        return f"{clock(event.at)}  {STATES[event.state]}{words}"
    if isinstance(event, Fault):
        lost = f" ({event.lost_seconds:.2f} s)" if event.lost_seconds else ""
        return f"{clock(event.at)}  {FAULTS[event.kind]}{lost}"
    return None


def exam_summary(exam: Exam, credit: str = "") -> RenderableType:
    """The exam as a table and a few sentences; `credit` of the recording comes last."""
    table = Table(title="Exam", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("finding")
    table.add_column("probability", justify="right")
    table.add_column("decision")
    for name, result in exam.findings.items():
        style = "bold" if result.decision is Decision.PRESENT else ""
        decision = Text(DECISIONS[result.decision], style=style)
        table.add_row(Text(safe(name)), score_text(result.probability), decision)
    lines = [
        f"heard {exam.heard_seconds:.1f} s · used as evidence {exam.evidence_seconds:.1f} s · "
        f"refused {exam.refused_seconds:.1f} s · lost {exam.lost_seconds:.1f} s",
        f"model {exam.model} · site {exam.site or 'heart and lung'}",
    ]
    if exam.heart_rate is not None:
        lines.insert(0, f"heart rate {rate_text(exam.heart_rate)} beats per minute")
    if exam.reasons:
        lines.insert(0, f"{'Abstained' if exam.abstained else 'Note'}: {advice(exam.reasons)}")
    footer = [Text(NOTICE, style="italic")]
    if credit:
        footer.append(Text(safe(credit), style="dim"))
    return Group(table, *(Text(safe(line)) for line in lines), *footer)
