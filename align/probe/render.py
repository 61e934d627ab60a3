"""A probe report for people (markdown) and for programs (JSON)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from align.corpora.catalogue import CATALOGUE
from align.probe.language import Language
from align.probe.problem import ProbeError
from align.probe.report import Line, ProbeReport
from align.probe.run import TaskResult
from align.tasks import Task
from align.training.record import machine

SCHEMA = 1
NAMED = 3  # failures that the text names; JSON has all
HEAD = ("task", "AUROC [95 %]", "metadata only", "recordings / patients", "notes")


def render(report: ProbeReport, *, as_json: bool = False) -> str:
    """The report as text: markdown tables and a few lines, or JSON with everything."""
    if as_json:
        return json.dumps(_finite(to_dict(report)), indent=2, ensure_ascii=False, allow_nan=False)
    parts = [_title(report), _tasks(report.lines), _origins(report)]
    if report.language:
        parts.append(_language(report.language))
    parts += [_recordings(report), _unseen(report)]
    return "\n\n".join(part for part in parts if part)


def write_json(report: ProbeReport, path: Path) -> None:
    """Write the JSON form.

    Raises:
        ProbeError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(report, as_json=True) + "\n")
    except OSError as error:
        raise ProbeError(f"cannot write {path}: {error.strerror}") from None


def to_dict(report: ProbeReport) -> dict[str, Any]:
    """Everything in the report as plain values; a figure that is undefined is NaN."""
    subject, unseen, language = report.subject, report.unseen, report.language
    training = subject.training
    return {
        "schema": SCHEMA,
        "encoder": {
            "title": subject.title,
            "name": subject.name,
            "options": dict(subject.options),
            "rate": subject.encoder.rate,
            "dim": subject.encoder.dim,
            "recipe": training and training.recipe.name,
            "seed": training and training.seed,
            "holdout": training and training.holdout,
        },
        "probe": report.probe,
        "tasks": [_line(line) for line in report.lines],
        "origins": [asdict(origin) for origin in report.origins],
        "language": language
        and {
            "teacher": language.teacher,
            "labels": language.labels,
            "retrieval": [asdict(recall) for recall in language.recalls],
            "zero_shot": [_task(one.scores.task) | _result(one) for one in language.zero_shot],
            "notes": language.notes,
        },
        "corpora": [
            {
                "name": corpus.name,
                "recordings": len(corpus.listed),
                "missing": corpus.missing,
                "unusable": corpus.unusable,
            }
            for corpus in report.corpora
        ],
        "failures": [{"path": str(path), "reason": why} for path, why in report.failures],
        "leakage": {
            "certificate": unseen.certificate and asdict(unseen.certificate),
            "reproduced": unseen.reproduced,
            "note": unseen.note,
        },
        "notes": report.notes,
        "machine": machine(),
    }


def _line(line: Line) -> dict[str, Any]:
    metadata = line.metadata and asdict(line.metadata.estimate)
    found = _result(line.result) if line.result else {}
    return _task(line.task) | found | {"metadata": metadata, "notes": line.notes}


def _task(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "corpus": task.corpus,
        "metric": task.metric,
        "split": task.split,
        "source": task.source,
        "opera": task.opera,
    }


def _result(result: TaskResult) -> dict[str, Any]:
    return {
        **asdict(result.estimate),
        "seeds": result.seeds,
        "groups": dict(result.groups),
        "recordings": len(result.scores.rows),
        "patients": _patients(result),
    }


def _finite(value: Any) -> Any:
    """Plain values with None for what is no number, which JSON cannot say."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _title(report: ProbeReport) -> str:
    subject = report.subject
    return (
        f"{subject.title}: {subject.name}, {subject.encoder.dim} numbers per recording,"
        f" {subject.encoder.rate} Hz; {report.probe} probe"
    )


def _tasks(lines: Sequence[Line]) -> str:
    return _table(
        HEAD, [[line.task.name, *_cells(line), "; ".join(_notes(line))] for line in lines]
    )


def _cells(line: Line) -> list[str]:
    if line.result is None:
        return ["not scored", "", ""]
    metadata = str(line.metadata.estimate) if line.metadata else ""
    return [str(line.result.estimate), metadata, _tested(line.result)]


def _notes(line: Line) -> Iterator[str]:
    if line.task.metric == "mae":
        yield "mean absolute error, lower is better"
    if line.task.metric == "macro_auroc":
        yield f"macro over {line.task.class_count} classes"
    if line.result and len(line.result.seeds) > 1:
        yield f"sd {line.result.sd:.3f} over {len(line.result.seeds)} seeds"
    yield from line.notes


def _origins(report: ProbeReport) -> str:
    head = ("told apart", "accuracy [95 %]", "always the largest", "AUROC [95 %]", "recordings")
    rows = [
        [
            f"{origin.key} ({len(origin.origins)})",
            str(origin.accuracy),
            f"{origin.chance:.3f}",
            str(origin.macro_auroc),
            str(sum(origin.origins.values())),
        ]
        for origin in report.origins
    ]
    table = "What the embeddings tell of a recording's origin:\n\n" + _table(head, rows)
    return "\n".join([*([table] if rows else []), *report.notes])


def _language(language: Language) -> str:
    ways = f"teacher {language.teacher}, template reports, labels {language.labels}d"
    recalls = [
        [
            one.corpus,
            str(one.top),
            str(one.recall),
            f"{one.chance:.3f}",
            f"{one.constant:.3f}",
            f"{one.recordings} / {one.reports}",
        ]
        for one in language.recalls
    ]
    head = ("corpus", "top", "recall [95 %]", "chance", "most frequent", "recordings / reports")
    shots = [[r.scores.task.name, str(r.estimate), _tested(r)] for r in language.zero_shot]
    parts = [f"Report retrieval ({ways}; a ridge map from sound to text for each corpus):"]
    parts += [_table(head, recalls)] if recalls else []
    if shots:
        parts.append("Classes by prompts nobody trained on, through the same map:")
        parts.append(_table(("task", "AUROC [95 %]", "recordings / patients"), shots))
    return "\n\n".join([*parts, *language.notes])


def _recordings(report: ProbeReport) -> str:
    lines = ["Recordings:"]
    for corpus in report.corpora:
        tasks = f"{len(corpus.rows)} recordings"
        missing = f", {corpus.missing} without their audio file" if corpus.missing else ""
        lines.append(f"- {corpus.name}: {corpus.unusable or tasks + missing}")
    if report.failures:
        few = "; ".join(_why(path, why) for path, why in report.failures[:NAMED])
        more = "; ..." if len(report.failures) > NAMED else ""
        lines.append(f"- {len(report.failures)} could not be embedded: {few}{more}")
    return "\n".join(lines)


def _why(path: Path, why: str) -> str:
    return why if why.startswith(str(path)) else f"{path}: {why}"


def _unseen(report: ProbeReport) -> str:
    unseen = report.unseen
    proof = [unseen.certificate.summary()] if unseen.certificate else []
    if unseen.reproduced:
        proof.append("  the patients trained on are those of the run's own certificate")
    return "\n".join([*proof, *([unseen.note] if unseen.note else [])])


def _tested(result: TaskResult) -> str:
    return f"{len(result.scores.rows)} / {_patients(result) or 'no ids'}"


def _patients(result: TaskResult) -> int | None:
    """Patients tested; None where the corpus has no ids and each recording stands for one."""
    known = CATALOGUE[result.scores.task.corpus].patient_ids
    return len({row.patient for row in result.scores.rows}) if known else None


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )
