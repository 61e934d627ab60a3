"""`acula-edge bench render` and `compare`: from records to pages. Nothing is measured here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acula_edge.errors import UsageError
from benchmarks.record import read_record
from benchmarks.report.compare import compare_records, comparison_page, comparison_text
from benchmarks.report.page import headline_svg, render_page
from benchmarks.report.pdf import write_pdf
from benchmarks.report.table_csv import write_csv


def render(
    record: Annotated[Path, typer.Argument(help="Record of a benchmark, JSON.")],
    out: Annotated[Path | None, typer.Option(help="The page. Default: beside the record.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Also every figure, one to a row.")] = None,
    pdf: Annotated[Path | None, typer.Option(help="Also the page printed, by Chromium.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Also the picture for a README.")] = None,
) -> None:
    """Make the page of a record again, and its table, PDF and picture."""
    read = read_record(record)
    page = out or record.with_suffix(".html")
    write_text(page, render_page(read))
    made = [page]
    if csv is not None:
        write_csv(read, csv)
        made.append(csv)
    if svg is not None:
        picture = headline_svg(read)
        if not picture:
            raise UsageError(f"{record} has no model with both accuracy and CPU time to draw")
        write_text(svg, picture)
        made.append(svg)
    if pdf is not None:
        write_pdf(page, pdf)
        made.append(pdf)
    typer.echo("\n".join(str(path) for path in made))


def compare(
    records: Annotated[list[Path], typer.Argument(help="Records of two machines or more.")],
    out: Annotated[
        Path | None, typer.Option(help="A page; without one, text on the terminal.")
    ] = None,
) -> None:
    """Set several machines' records side by side; refuses what did not measure the same thing."""
    result = compare_records([(path.stem, read_record(path)) for path in records])
    if out is None:
        typer.echo(comparison_text(result))
        return
    write_text(out, comparison_page(result))
    typer.echo(str(out))


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
