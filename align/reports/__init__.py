"""Clinical reports from metadata: writers, controls, the verifier and its audit."""

from align.reports.controls import SOURCES, Source, texts_for
from align.reports.facts import facts_of
from align.reports.report import Report, ReportError
from align.reports.roles import Fact, Labels

__all__ = [
    "SOURCES",
    "Fact",
    "Labels",
    "Report",
    "ReportError",
    "Source",
    "facts_of",
    "texts_for",
]
