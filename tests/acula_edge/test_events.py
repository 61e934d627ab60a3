"""Every event matches the published schema, and the schema refuses what is not an event."""

import json
from importlib.resources import files

import jsonschema
import pytest

from acula_edge.errors import AudioFileError
from acula_edge.events import (
    Decision,
    Detection,
    Exam,
    Fault,
    FaultKind,
    FindingResult,
    Quality,
    QualityState,
    Reason,
    Window,
    to_json,
)

SCHEMA = json.loads(files("acula_edge").joinpath("schemas/event.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
EXAM = Exam(
    findings={
        "murmur": FindingResult(0.25, Decision.ABSENT),
        "wheeze": FindingResult(None, Decision.UNSURE),
    },
    abstained=False,
    reasons=(Reason.HUM,),
    model="m 1",
    device="",
    site="heart",
    heard_seconds=10.0,
    evidence_seconds=9.5,
    refused_seconds=0.5,
    lost_seconds=0.0,
)
EVENTS = [
    Window(0.0, 0.192, {"murmur": 0.1}, ("murmur",), QualityState.OK),
    Window(0.0, 0.192, {}, (), QualityState.REFUSE, (Reason.NO_CONTACT,)),
    Detection(1.2, "murmur", on=True, probability=0.7),
    Quality(0.0, QualityState.WARN, (Reason.CLIPPED,)),
    *(Fault(0.5, kind, 0.1) for kind in FaultKind),
    EXAM,
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_matches_the_schema(event):
    VALIDATOR.validate(json.loads(json.dumps(to_json(event))))


def test_an_exam_names_its_file_and_carries_the_notice():
    line = to_json(EXAM, file="a.wav")
    VALIDATOR.validate(line)
    assert line["file"] == "a.wav"
    assert "not diagnoses" in line["notice"]


def test_an_error_line_matches_the_schema():
    from pathlib import Path

    from acula_edge.classifying import result_json

    line = result_json(Path("b.wav"), AudioFileError("b.wav does not exist."))
    VALIDATOR.validate(line)
    assert line["type"] == "error"


@pytest.mark.parametrize("reason", list(Reason))
def test_the_schema_knows_every_reason(reason):
    VALIDATOR.validate(to_json(Quality(0.0, QualityState.REFUSE, (reason,))))


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"schema": 2},
        {"quality": "fine"},
        {"reasons": ["bored"]},
        {"scores": {"m": 1.5}},
    ],
)
def test_the_schema_refuses_what_is_not_an_event(change):
    line = to_json(EVENTS[0]) | change
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(line)
