"""`acula-edge align reports`: a thin shell over the public functions of `align.reports`."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from align.corpora import Recording, read_corpus
from align.errors import one_sentence
from align.reports import Labels, Report, ReportError, texts_for
from align.reports.audit import AuditTable, audit, audit_circor_csv
from align.reports.controls import read_reports
from align.reports.facts import facts_of
from align.reports.verify import verify

app = typer.Typer(
    help="Write, verify and audit clinical reports.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

Corpora = Annotated[list[str], typer.Argument(help="Corpora, such as circor sprsound.")]
Data = Annotated[Path, typer.Option(help="Folder that holds the corpora.")]
LabelMode = Annotated[Labels, typer.Option(help="Whether labels may stand in the text.")]
ReportFile = Annotated[Path, typer.Argument(help="Reports that `write` made (JSONL).")]


@app.command("write")
def write_command(
    corpora: Corpora,
    data: Data,
    out: Annotated[Path, typer.Option(help="The JSONL file to write.")],
    source: Annotated[Literal["template", "llm"], typer.Option(help="Who writes.")] = "template",
    labels: LabelMode = "include",
    model: Annotated[
        str, typer.Option(help="Model of the LLM: hub id, folder, or served name.")
    ] = "",
    revision: Annotated[str, typer.Option(help="Revision of the model.")] = "",
    base_url: Annotated[
        str, typer.Option(help="OpenAI-compatible endpoint; the key is in OPENAI_API_KEY.")
    ] = "",
    cache: Annotated[
        Path, typer.Option(help="Raw answers; a stopped run goes on from there.")
    ] = Path("runs/reports/answers.jsonl"),
    seed: int = 0,
    attempts: Annotated[int, typer.Option(min=1, help="Seeds tried before the template.")] = 3,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = 32,
    batch: Annotated[int, typer.Option(min=1, help="Prompts at a time, without an endpoint.")] = 8,
) -> None:
    """Write one report per recording of CORPORA."""
    with one_sentence():
        rows = [row for corpus in corpora for row in read_corpus(corpus, data)]
        if source == "template":
            reports = [report for report in texts_for(rows, "template", labels) if report]
        else:
            if not model:
                raise ReportError("--source llm needs --model (and --base-url for an endpoint)")
            local = None if base_url else batch
            reports = _write_llm(
                rows, labels, model, revision, base_url, cache, seed, attempts, concurrency, local
            )
        with _writing():
            _save(out, rows, reports, labels)
        typer.echo(f"{len(reports)} reports: {out}")


@app.command("verify")
def verify_command(
    file: ReportFile,
    data: Data,
    as_json: Annotated[bool, typer.Option("--json", help="One verdict per line.")] = False,
) -> None:
    """Verify every report of FILE against its recording; exit 1 if any fails."""
    with one_sentence():
        rows, reports, labels = _joined(file, data)
        failed = 0
        for row, report in zip(rows, reports, strict=True):
            verdict = verify(report.text, facts_of(row, labels))
            passed = verdict.passed(report.omitted)
            failed += not passed
            if as_json:
                line = {"corpus": row.corpus, "name": row.name, "passed": passed}
                typer.echo(json.dumps(line | {"verdict": verdict.as_mapping()}))
            elif not passed:
                faults = {k: v for k, v in verdict.as_mapping().items() if v != "stated"}
                typer.echo(f"{row.corpus}/{row.name}: {faults}")
        typer.echo(f"{failed} of {len(rows)} reports fail", err=as_json)
    if failed:
        raise typer.Exit(1)


@app.command("audit")
def audit_command(
    file: Annotated[Path, typer.Argument(help="Reports: JSONL of `write`, or the CirCor CSV.")],
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Folder for the table as .md and .json.")] = None,
    name: Annotated[str, typer.Option(help="Name of the files in --out.")] = "reports-audit",
) -> None:
    """Print the omission, contradiction and hallucination rates of FILE, by field."""
    with one_sentence():
        table = _audit(file, data)
        typer.echo(table.to_markdown(), nl=False)
        if out is not None:
            with _writing():
                out.mkdir(parents=True, exist_ok=True)
                title = f"# Audit of {file.name}\n\n"
                (out / f"{name}.md").write_text(title + table.to_markdown())
                (out / f"{name}.json").write_text(table.to_json())


def _audit(file: Path, data: Path) -> AuditTable:
    if file.suffix == ".csv":
        return audit_circor_csv(file, read_corpus("circor", data))
    rows, reports, labels = _joined(file, data)
    return audit(rows, reports, labels)


def _write_llm(
    rows: Sequence[Recording],
    labels: Labels,
    model: str,
    revision: str,
    base_url: str,
    cache_path: Path,
    seed: int,
    attempts: int,
    concurrency: int,
    batch: int | None,
) -> list[Report]:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    from align.reports.answer_cache import AnswerCache  # noqa: PLC0415
    from align.reports.backends import EndpointBackend, LocalBackend  # noqa: PLC0415
    from align.reports.llm import write_all  # noqa: PLC0415

    key = os.environ.get("OPENAI_API_KEY", "none")
    backend: EndpointBackend | LocalBackend = (
        EndpointBackend(model, base_url, api_key=key, revision=revision, concurrency=concurrency)
        if batch is None
        else LocalBackend(model, revision=revision, batch=batch)
    )
    with (
        AnswerCache(cache_path) as cache,
        Progress(console=Console(stderr=True)) as bar,
        closing(backend),
    ):
        task = bar.add_task("reports", total=None)
        reports, counts = write_all(
            rows,
            backend,
            cache,
            labels=labels,
            seed=seed,
            attempts=attempts,
            on_progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    typer.echo(json.dumps(dataclasses.asdict(counts)), err=True)
    return reports


def _save(path: Path, rows: Sequence[Recording], reports: Sequence[Report], labels: Labels) -> None:
    """Write beside the target and move: a killed run leaves no half file under its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    with partial.open("w", encoding="utf-8") as handle:
        for row, report in zip(rows, reports, strict=True):
            where = {"corpus": row.corpus, "name": row.name, "labels": labels}
            handle.write(json.dumps(where | dataclasses.asdict(report), ensure_ascii=False) + "\n")
    partial.replace(path)


def _joined(file: Path, data: Path) -> tuple[list[Recording], list[Report], Labels]:
    """The recordings and reports of a JSONL file, in its order, and its label mode."""
    written = list(read_reports(file, "include"))
    if not written:
        raise ReportError(f"{file} holds no report")
    corpora = dict.fromkeys(corpus for (corpus, _), _ in written)
    rows = {(c, row.name): row for c in corpora for row in read_corpus(c, data)}
    for key, _ in written:
        if key not in rows:
            raise ReportError(f"{file} has a report of {'/'.join(key)}, which is not in {data}")
    with file.open(encoding="utf-8") as handle:
        labels: Labels = json.loads(handle.readline())["labels"]
    return [rows[key] for key, _ in written], [report for _, report in written], labels


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReportError(f"cannot write: {error}") from None
