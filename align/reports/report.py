"""A report with where it came from, and its JSON form."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from align.errors import AlignError


class ReportError(AlignError):
    """A report file, writer or option is unusable; the text is one clear sentence."""


@dataclass(frozen=True)
class Report:
    """A clinical text and its provenance.

    `source` is template, findings, metadata, set-name, random, file or llm. `verdict` maps a field
    to stated, omitted or contradicted, and `hallucinated` to the terms that no fact supports,
    comma-separated.
    """

    text: str
    source: str
    prompt_sha256: str = ""
    model: str = ""
    revision: str = ""
    seed: int = 0
    verdict: Mapping[str, str] = dataclasses.field(default_factory=dict)
    omitted: tuple[str, ...] = ()

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Report:
        """The report of `to_json`.

        Raises:
            ReportError: not JSON, or a key is missing or unknown.
        """
        try:
            return cls.from_dict(json.loads(line))
        except json.JSONDecodeError as error:
            raise ReportError(f"a report line is not JSON: {error}") from None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Report:
        """The report with these fields.

        Raises:
            ReportError: a field is missing or unknown.
        """
        try:
            report = cls(**values)
            report = dataclasses.replace(report, omitted=tuple(report.omitted))
        except TypeError as error:
            raise ReportError(f"a report line does not fit: {error}") from None
        if not isinstance(report.text, str) or not isinstance(report.source, str):
            raise ReportError("a report line does not fit: text and source must be strings")
        return report
