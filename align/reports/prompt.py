"""The prompt of the LLM writer, the schema of its answer, and how an answer is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from align.errors import AlignError
from align.reports.roles import Fact
from align.reports.template import DEVICES, SITES

INSTRUCTIONS = (
    "You turn the record of one auscultation recording into a short clinical report. First list "
    "the findings: for each entry of the record its field, its value exactly as given, and one "
    "sentence that states it. Then write the report: one to three sentences of plain clinical "
    "prose that state every entry of the record. Use only what the record says. Add no diagnosis, "
    "cause, interpretation, advice, severity, heart rate or normal finding that is not in it, and "
    "do not mention what is unknown. Answer with one JSON object and nothing else: "
    '{"findings": [{"field": ..., "value": ..., "sentence": ...}], "report": ...}'
)
MAX_REPORT_WORDS = 120
SPOKEN = {("murmur", "elsewhere"): "not audible at this site, but audible elsewhere"}
ONE_OF_MANY = "record class"  # the only fields of findings that a report may leave out


@dataclass(frozen=True)
class Prompt:
    """Chat messages and the JSON schema of the answer; `sha256` names both."""

    messages: tuple[tuple[str, str], ...]
    schema_json: str
    sha256: str

    def chat(self) -> list[dict[str, str]]:
        """The messages as chat APIs take them."""
        return [{"role": role, "content": content} for role, content in self.messages]

    def schema(self) -> dict[str, Any]:
        """The answer's JSON schema, its fields and values limited to the record's own."""
        schema: dict[str, Any] = json.loads(self.schema_json)
        return schema


@dataclass(frozen=True)
class Answer:
    """What a model wrote: the fields it says it stated, and the report."""

    fields: frozenset[str]
    report: str


class AnswerError(AlignError):
    """An answer is not the JSON that was asked for, or uses values that the record has not."""


def prompt_for(facts: Sequence[Fact]) -> Prompt:
    """The prompt for these facts; equal facts make equal prompts."""
    record = [
        {"field": fact.field, "value": spoken(fact)} | ({"unit": fact.unit} if fact.unit else {})
        for fact in facts
    ]
    messages = (
        ("system", INSTRUCTIONS),
        ("user", "Record:\n" + json.dumps(record, ensure_ascii=False)),
    )
    schema = json.dumps(_schema(facts), ensure_ascii=False)
    digest = hashlib.sha256(json.dumps([messages, schema]).encode()).hexdigest()
    return Prompt(messages, schema, digest)


def spoken(fact: Fact) -> str:
    """The value in the words that a report should use."""
    known = SPOKEN.get((fact.field, fact.value)) or SITES.get(fact.value)
    return known or DEVICES.get(fact.value, fact.value)


def read_answer(text: str, facts: Sequence[Fact]) -> Answer:
    """The answer in a model's output, with or without words or fences around the JSON.

    Raises:
        AnswerError: no JSON object, a missing or empty report, one of more than
            `MAX_REPORT_WORDS` words, or a finding that is not of the record.
    """
    start, end = text.find("{"), text.rfind("}")
    try:
        values = json.loads(text[start : end + 1])
        report, findings = values["report"], values["findings"]
        stated = {(item["field"], item["value"]) for item in findings}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise AnswerError(f"not the JSON that was asked for: {error}") from None
    if not isinstance(report, str) or not report.strip():
        raise AnswerError("the report is empty")
    if len(report.split()) > MAX_REPORT_WORDS:
        raise AnswerError(f"the report has more than {MAX_REPORT_WORDS} words")
    strange = stated - {(fact.field, spoken(fact)) for fact in facts}
    if strange:
        raise AnswerError(f"a finding is not in the record: {sorted(map(str, strange))[0]}")
    return Answer(frozenset(field for field, _ in stated), " ".join(report.split()))


def may_omit(facts: Sequence[Fact], answer: Answer) -> frozenset[str]:
    """Fields that the answer lists as omitted by giving no finding for them; findings never."""
    return frozenset(
        fact.field
        for fact in facts
        if fact.field not in answer.fields and (fact.kind != "finding" or fact.field == ONE_OF_MANY)
    )


def _schema(facts: Sequence[Fact]) -> dict[str, Any]:
    def text(values: Sequence[str]) -> dict[str, Any]:
        return {"type": "string", "enum": list(dict.fromkeys(values))}

    finding = {
        "type": "object",
        "properties": {
            "field": text([fact.field for fact in facts]),
            "value": text([spoken(fact) for fact in facts]),
            "sentence": {"type": "string"},
        },
        "required": ["field", "value", "sentence"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {
            "findings": {"type": "array", "items": finding},
            "report": {"type": "string"},
        },
        "required": ["findings", "report"],
        "additionalProperties": False,
    }
