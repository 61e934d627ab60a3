"""Whatever `align` raises on purpose is shown as one sentence."""

import importlib
import inspect
import pkgutil

import pytest

import align
from acula_edge.errors import AculaError, UsageError
from align.errors import AlignError, one_sentence

MODULES = [found.name for found in pkgutil.walk_packages(align.__path__, "align.")]


def test_every_error_of_the_package_is_one_that_its_commands_show():
    met = set()
    for name in MODULES:
        for _, kind in inspect.getmembers(importlib.import_module(name), inspect.isclass):
            public = not kind.__name__.startswith("_")
            if public and issubclass(kind, Exception) and kind.__module__ == name:
                assert issubclass(kind, (AlignError, AculaError)), kind
                met.add(kind.__name__)
    assert met >= {
        *("AccessError", "AnswerError", "ArchiveError", "AudioError", "CorpusError"),
        *("EncoderError", "FetchError", "LeakageError", "ManifestError", "ObjectiveError"),
        *("ProbeError", "RecipeError", "ReportError", "TaskError", "TeacherError"),
        "TrainingError",
    }


def test_an_error_becomes_its_sentence_and_anything_else_passes():
    with pytest.raises(UsageError, match="no such thing"), one_sentence():
        raise AlignError("no such thing")
    with pytest.raises(ZeroDivisionError), one_sentence():
        raise ZeroDivisionError
