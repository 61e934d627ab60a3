"""What reports do with the facts they were written from: rates of every fault, by field."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from align.corpora.recording import Recording
from align.reports.controls import patient_id, reports_from_csv
from align.reports.facts import circor_murmur, facts_of
from align.reports.report import Report, ReportError
from align.reports.roles import Fact, Labels
from align.reports.verify import Status, Verdict, verify

Z = 1.959964  # 95 %
BY_DEFINITION = (
    "a murmur location that was not given counts as hallucinated, never as contradicted; an "
    "inference is a conclusion that no field records, such as normal function or pathology"
)
GIVEN = re.compile(
    r"(Murmur locations|Most audible location|Systolic murmur timing|"
    r"Diastolic murmur timing|Murmur|Shape|Grading|Pitch|Quality|Outcome): ([^,]+)"
)


@dataclass(frozen=True)
class Rate:
    """`count` of `total` with its 95 % Wilson interval; a total of zero has no value."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The proportion; NaN of nothing."""
        return self.count / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson score interval (Wilson 1927)."""
        if not self.total:
            return float("nan"), float("nan")
        centre = self.value + Z**2 / (2 * self.total)
        half = Z * np.sqrt(self.value * (1 - self.value) / self.total + (Z / (2 * self.total)) ** 2)
        scale = 1 + Z**2 / self.total
        return max(0.0, float((centre - half) / scale)), min(1.0, float((centre + half) / scale))

    def __str__(self) -> str:
        if not self.total:
            return "-"
        low, high = self.interval
        return f"{self.count}/{self.total} = {self.value:.1%} [{low:.1%}, {high:.1%}]"


@dataclass(frozen=True)
class AuditTable:
    """Fault rates of `reports` reports.

    `omitted` and `contradicted` are by field, over the reports whose facts have that field.
    `made_up` is by concept, over all reports; `flawed` counts reports with any contradiction or
    hallucination, `hallucinating`, `inferring` and `advising` reports with any such claim.
    """

    reports: int
    mean_words: float
    omitted: Mapping[str, Rate]
    contradicted: Mapping[str, Rate]
    made_up: Mapping[str, Rate]
    flawed: Rate
    omitting: Rate
    contradicting: Rate
    hallucinating: Rate
    inferring: Rate
    advising: Rate
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The table as JSON, every rate as count, total, value and interval."""
        return json.dumps(_plain(self), indent=2, ensure_ascii=False) + "\n"

    def to_markdown(self) -> str:
        """The table as markdown."""
        lines = [f"{self.reports} reports of {self.mean_words:.1f} words on average.", ""]
        lines += ["| reports with | count = rate [95 % Wilson] |", "|---|---|"]
        for name, rate in (
            ("any contradiction or hallucination", self.flawed),
            ("a contradicted field", self.contradicting),
            ("a hallucinated claim", self.hallucinating),
            ("an omitted field", self.omitting),
            ("an inference", self.inferring),
            ("advice", self.advising),
        ):
            lines.append(f"| {name} | {rate} |")
        lines += ["", "| field | omitted | contradicted |", "|---|---|---|"]
        for field, rate in self.omitted.items():
            lines.append(f"| {field} | {rate} | {self.contradicted[field]} |")
        lines += ["", "| made up | reports |", "|---|---|"]
        lines += [f"| {concept} | {rate} |" for concept, rate in self.made_up.items()]
        return "\n".join([*lines, "", *(f"* {note}" for note in self.notes)]).rstrip() + "\n"


def audit(
    rows: Sequence[Recording], reports: Sequence[Report | None], labels: Labels = "include"
) -> AuditTable:
    """Audit one report per recording against the recording's own facts; None is skipped.

    Raises:
        ReportError: not as many reports as rows.
    """
    if len(rows) != len(reports):
        raise ReportError(f"{len(rows)} recordings but {len(reports)} reports; give one for each")
    pairs = [(r.text, facts_of(row, labels)) for row, r in zip(rows, reports, strict=True) if r]
    return audit_texts(pairs)


def audit_texts(
    pairs: Sequence[tuple[str, Sequence[Fact]]], notes: tuple[str, ...] = ()
) -> AuditTable:
    """Audit texts, each with the facts it was written from.

    Raises:
        ReportError: there is nothing to audit.
    """
    if not pairs:
        raise ReportError("there is no report to audit")
    verdicts = [verify(text, facts) for text, facts in pairs]
    total = len(verdicts)
    fields = list(dict.fromkeys(field for verdict in verdicts for field in verdict.fields))

    def of_field(field: str, status: Status) -> Rate:
        given = [verdict.fields[field] for verdict in verdicts if field in verdict.fields]
        return Rate(given.count(status), len(given))

    def share(name: str) -> Rate:
        return Rate(sum(bool(_faults(verdict)[name]) for verdict in verdicts), total)

    return AuditTable(
        reports=total,
        mean_words=float(np.mean([len(text.split()) for text, _ in pairs])),
        omitted={field: of_field(field, "omitted") for field in fields},
        contradicted={field: of_field(field, "contradicted") for field in fields},
        made_up=_made_up(verdicts),
        flawed=share("flawed"),
        omitting=share("omitted"),
        contradicting=share("contradicted"),
        hallucinating=share("hallucinated"),
        inferring=share("inferences"),
        advising=share("advice"),
        notes=notes,
    )


def audit_circor_csv(path: Path, rows: Sequence[Recording] = ()) -> AuditTable:
    """Audit the GPT-4o reports of CirCor against what the writer was given.

    With `rows` (the CirCor recordings) the notes compare what was given with the corpus's table.

    Raises:
        ReportError: the file is unreadable or empty.
    """
    given = {
        patient: (facts_given(meta), text)
        for patient, (meta, text) in reports_from_csv(path).items()
    }
    pairs = [(text, facts) for facts, text in given.values()]
    return audit_texts(pairs, _notes({p: facts for p, (facts, _) in given.items()}, rows))


def facts_given(meta: str) -> tuple[Fact, ...]:
    """The patient's murmur and outcome facts of a `Meta_Report` ("Murmur: Present, ...").

    Shape, grading, pitch and quality belong to the timing that stands before them. The kind of
    sound is known from the corpus, so a report may call it a heart sound.
    """
    table: dict[str, str] = {}
    phase = "Systolic"
    for key, value in GIVEN.findall(meta):
        if key.endswith("murmur timing"):
            phase = key.split()[0]
        part = key.lower() if key in ("Shape", "Grading", "Pitch", "Quality") else ""
        table[f"{phase} murmur {part}" if part else key] = value.strip()
    return circor_murmur(table, site=None)


def _notes(given: Mapping[str, Sequence[Fact]], rows: Sequence[Recording]) -> tuple[str, ...]:
    people = {patient_id(row): row for row in rows if row.corpus == "circor"}
    known = [(facts, people[patient]) for patient, facts in given.items() if patient in people]
    if not known:
        return ()
    same = sum(
        _without_outcome(facts) == _without_outcome(circor_murmur(row.metadata, None))
        for facts, row in known
    )
    told = {fact.field for facts in given.values() for fact in facts}
    fields = {fact.field for _, row in known for fact in facts_of(row)}
    splits = Counter(row.split for _, row in known)
    outcome = sum(any(fact.field == "outcome" for fact in facts) for facts in given.values())
    return (
        BY_DEFINITION,
        f"given = corpus table (murmur fields) for {same} of {len(known)} patients",
        f"never given to the writer: {', '.join(sorted(fields - told))}",
        f"the outcome label was given for {outcome} of {len(given)} reports",
        "reports by our split: "
        + ", ".join(f"{split} {splits[split]}" for split in sorted(splits)),
    )


def _without_outcome(facts: Sequence[Fact]) -> set[Fact]:
    return {fact for fact in facts if fact.field != "outcome"}


def _faults(verdict: Verdict) -> dict[str, bool]:
    statuses = set(verdict.fields.values())
    contradicted, hallucinated = "contradicted" in statuses, bool(verdict.hallucinated)
    return {
        "omitted": "omitted" in statuses,
        "contradicted": contradicted,
        "hallucinated": hallucinated,
        "flawed": contradicted or hallucinated,
        "inferences": bool(verdict.inferences),
        "advice": bool(verdict.advice),
    }


def _made_up(verdicts: Sequence[Verdict]) -> dict[str, Rate]:
    counts: Counter[str] = Counter()
    for verdict in verdicts:
        claims = {f"hallucinated {claim.split(':')[0]}" for claim in verdict.hallucinated}
        claims |= {f"inferred {claim.split(':')[0]}" for claim in verdict.inferences}
        claims |= {"advice"} if verdict.advice else set()
        counts.update(claims)
    return {name: Rate(count, len(verdicts)) for name, count in counts.most_common()}


def _plain(value: object) -> object:
    if isinstance(value, Rate):
        low, high = value.interval
        empty = not value.total
        return {
            "count": value.count,
            "total": value.total,
            "value": None if empty else value.value,
            "interval": None if empty else [low, high],
        }
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    return list(value) if isinstance(value, tuple) else value
