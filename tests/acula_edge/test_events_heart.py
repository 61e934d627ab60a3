"""The JSON form of heart sounds, vitals and activity, and of what was not measured."""

import dataclasses
import json
from importlib.resources import files

import jsonschema
import pytest

from acula_edge.events import (
    Decision,
    Exam,
    FindingResult,
    HeartSound,
    QualityState,
    Vitals,
    Window,
    to_json,
)
from acula_edge.recorder import json_line

VALIDATOR = jsonschema.Draft202012Validator(
    json.loads(files("acula_edge").joinpath("schemas/event.schema.json").read_text())
)
WINDOW = Window(
    0.0,
    0.192,
    {"wheeze": 0.4},
    (),
    QualityState.OK,
    activity={"wheeze": (0.1, 0.25, 1.0), "crackle": (0.0, 0.0, 0.03)},
)
EXAM = Exam(
    findings={"murmur": FindingResult(0.25, Decision.ABSENT)},
    abstained=False,
    reasons=(),
    model="m 1",
    device="",
    site="heart",
    heard_seconds=10.0,
    evidence_seconds=9.5,
    refused_seconds=0.5,
    lost_seconds=0.0,
    heart_rate=98.4,
)
EVENTS = [
    HeartSound(1.25, "S1", 0.91),
    HeartSound(1.5, "S2", 0.65),
    Vitals(3.0, 98.4, None, 0.9),
    Vitals(9.0, None, None, 0.0),
    WINDOW,
    EXAM,
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_matches_the_schema(event):
    VALIDATOR.validate(json.loads(json_line(event)))


def test_types_are_words_with_underscores():
    assert to_json(EVENTS[0])["type"] == "heart_sound"
    assert to_json(EVENTS[2])["type"] == "vitals"


def test_a_rate_that_is_not_known_is_null_in_vitals_and_absent_from_an_exam():
    assert to_json(EVENTS[3])["heart_rate"] is None
    assert to_json(EVENTS[2])["respiratory_rate"] is None
    assert "heart_rate" not in to_json(dataclasses.replace(EXAM, heart_rate=None))
    assert to_json(EXAM)["heart_rate"] == 98.4


def test_a_window_without_activity_is_what_it_always_was():
    plain = to_json(dataclasses.replace(WINDOW, activity={}))
    assert list(plain) == [
        *("schema", "type", "start", "end", "scores", "active", "quality", "reasons")
    ]


def test_activity_that_is_no_number_becomes_null():
    line = json.loads(json_line(dataclasses.replace(WINDOW, activity={"wheeze": (float("nan"),)})))
    assert line["activity"] == {"wheeze": [None]}
    VALIDATOR.validate(line)


@pytest.mark.parametrize(
    ("event", "change"),
    [
        (EVENTS[0], {"sound": "S3"}),
        (EVENTS[0], {"confidence": 1.2}),
        (EVENTS[2], {"heart_rate": 0}),
        (WINDOW, {"activity": {"wheeze": [1.5]}}),
        (EXAM, {"heart_rate": -1}),
    ],
)
def test_the_schema_refuses_what_is_not_an_event(event, change):
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(to_json(event) | change)
