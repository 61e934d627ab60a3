"""Control texts of method.md section 3, and the one entry point that gives every row its text."""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import logging
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

from align.corpora.recording import Recording
from align.reports import template
from align.reports.facts import facts_of
from align.reports.report import Report, ReportError
from align.reports.roles import NEVER, Labels, is_label_key, known, plain_key

Source = Literal["template", "findings", "metadata", "set-name", "random", "file"]
SOURCES: tuple[Source, ...] = get_args(Source)
RANDOM_WORDS = (10, 40)  # as long as template texts; drawn, for a report's length tells its label
CSV_COLUMNS = ("Patient_ID", "Meta_Report", "Gen_Report")
log = logging.getLogger(__name__)


def metadata_text(row: Recording, labels: Labels = "include") -> str:
    """Raw `key: value` lines of what is known: metadata, site, device and labels."""
    pairs = {**row.metadata, "site": row.site, "device": row.device, **row.labels}
    lines = []
    for key, raw in pairs.items():
        hidden = labels == "exclude" and (key in row.labels or is_label_key(row, key))
        if known(raw) is not None and not hidden and plain_key(key) not in NEVER:
            lines.append(f"{key}: {known(raw)}")
    return "\n".join(lines)


def findings_text(row: Recording, labels: Labels = "include") -> str:
    """The template of the label-bearing facts alone, and of the sound alone without labels.

    Person, site and device are told only where they are a label (see `roles`).
    """
    facts = [fact for fact in facts_of(row, labels) if fact.is_label or fact.field == "sound"]
    return template.write_facts(row.corpus, facts).text


def set_name_text(row: Recording) -> str:
    """The name of the corpus and nothing else."""
    return row.corpus


@functools.cache
def common_words() -> tuple[str, ...]:
    """Common English words, none of them medical."""
    return tuple((Path(__file__).parent / "words.txt").read_text().split())


def random_text(row: Recording, seed: int) -> str:
    """Random common words, the same for the same recording and seed.

    The length is drawn too: matched to the row's own report, it would tell a murmur from none.
    """
    digest = hashlib.sha256(f"{seed}/{row.corpus}/{row.name}".encode()).hexdigest()
    source = random.Random(int(digest[:16], 16))
    length = source.randint(*RANDOM_WORDS)
    return " ".join(source.choices(common_words(), k=length)).capitalize() + "."


def reports_from_csv(path: Path) -> dict[str, tuple[str, str]]:
    """`{patient id: (what the writer was given, what it wrote)}` of the CirCor GPT-4o file.

    Raises:
        ReportError: no such file, or not these columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle)
            if not set(CSV_COLUMNS) <= set(reader.fieldnames or ()):
                raise ReportError(f"{path} has not the columns {', '.join(CSV_COLUMNS)}")
            return {
                row["Patient_ID"]: (row["Meta_Report"] or "", row["Gen_Report"] or "")
                for row in reader
            }
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReportError(f"cannot read the reports {path}: {error}") from None


def texts_for(
    rows: Sequence[Recording],
    source: Source,
    labels: Labels = "include",
    file: Path | None = None,
    seed: int = 0,
) -> list[Report | None]:
    """One report per row; None where the source has nothing to say of a row.

    With `file`, rows that have no (or an empty) report there get the template: their
    `Report.source` is "template", and the count is logged as a warning.

    Raises:
        ReportError: an unknown source, `file` without a path, or a file that states labels while
            `labels` is "exclude".
    """
    if source not in SOURCES:
        raise ReportError(f"unknown report source {source!r}; known: {', '.join(SOURCES)}")
    if source == "template":
        return [template.write(row, labels) for row in rows]
    if source == "file":
        return _from_file(rows, labels, file)
    texts = [_control(row, source, labels, seed) for row in rows]
    return [Report(text, source, seed=seed) if text else None for text in texts]


def _control(row: Recording, source: Source, labels: Labels, seed: int) -> str:
    if source == "metadata":
        return metadata_text(row, labels)
    if source == "findings":
        return findings_text(row, labels)
    return random_text(row, seed) if source == "random" else set_name_text(row)


def _from_file(rows: Sequence[Recording], labels: Labels, file: Path | None) -> list[Report | None]:
    if file is None:
        raise ReportError("source file needs the path of a report file (.csv or .jsonl)")
    if file.suffix == ".csv":
        if labels == "exclude":
            raise ReportError(f"{file} states labels in its texts; use labels include with it")
        texts = {key: wrote for key, (_, wrote) in reports_from_csv(file).items()}
        found = [texts.get(patient_id(row), "") if row.corpus == "circor" else "" for row in rows]
        reports = [Report(text.strip(), "file") if text.strip() else None for text in found]
    else:
        written = dict(read_reports(file, labels))
        reports = [written.get((row.corpus, row.name)) for row in rows]
    missing = sum(report is None or not report.text.strip() for report in reports)
    if missing:
        log.warning("%d of %d rows have no report in %s: template used", missing, len(rows), file)
    return [
        report if report is not None and report.text.strip() else template.write(row, labels)
        for row, report in zip(rows, reports, strict=True)
    ]


def patient_id(row: Recording) -> str:
    """The id of the recording's own visit (CirCor gives a child seen twice two ids)."""
    return str(row.metadata.get("Patient ID", "") or row.name.split("_")[0])


def read_reports(path: Path, labels: Labels) -> Iterator[tuple[tuple[str, str], Report]]:
    """`((corpus, name), report)` per line of a JSONL file that `write` made.

    Raises:
        ReportError: no such file, a line that does not fit, or a report that states labels while
            `labels` is "exclude".
    """
    try:
        with path.open(encoding="utf-8") as handle:
            lines = list(handle)  # splitlines would cut a text at U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(f"cannot read the reports {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
            key, told = (values.pop("corpus"), values.pop("name")), values.pop("labels")
            if not all(isinstance(part, str) for part in key) or told not in get_args(Labels):
                raise TypeError
        except (ValueError, KeyError, AttributeError, TypeError):
            raise ReportError(f"{path} line {number} is no report; write the file anew") from None
        if labels == "exclude" and told != "exclude":
            raise ReportError(f"{path} line {number} states labels; write it with labels exclude")
        yield key, Report.from_dict(values)
