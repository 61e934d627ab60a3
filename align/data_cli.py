"""`acula-edge data`: find, fetch and prepare the public corpora."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acula_edge.errors import AculaError, UsageError
from align.corpora import CorpusError
from align.corpora.catalogue import CATALOGUE, CorpusInfo

if TYPE_CHECKING:
    from rich.table import Table

    from align.corpora.fetch import Fetched

app = typer.Typer(
    help="Find, fetch and prepare the public corpora.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

Names = Annotated[list[str], typer.Argument(help="Corpora, as 'data list' names them.")]
Data = Annotated[Path, typer.Option("--data", help="Folder that holds the corpora.")]


class DataError(AculaError):
    """A corpus cannot be fetched or prepared."""


class ManualStepError(AculaError):
    """A corpus is given only after registration or on request; a person must get it."""

    exit_code = 7


@app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="Everything known, as JSON.")] = False,
) -> None:
    """List the corpora: licence, home, size, access and citation."""
    if as_json:
        facts = [asdict(info) for info in CATALOGUE.values()]
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    from rich.console import Console  # noqa: PLC0415

    Console().print(_table())
    for info in CATALOGUE.values():
        typer.echo(f"\n{info.key}: {info.title}\n  {info.home} (licence: {info.licence})")
        typer.echo(f"  cite {info.citation}")


@app.command("fetch")
def fetch_command(names: Names, data: Data) -> None:
    """Download corpora into DATA, resumed and checked; says how to get those that are not open."""
    from align.corpora.fetch import AccessError, FetchError, fetch  # noqa: PLC0415

    _quiet_pooch()
    by_hand = []
    for name in names:
        try:
            with _bar(f"fetching {name}") as advance:
                fetched = fetch(name, data, advance)
            typer.echo(_outcome(fetched))
        except AccessError as error:
            by_hand.append(str(error))
        except FetchError as error:
            raise DataError(str(error)) from None
    if by_hand:
        raise ManualStepError("\n".join(by_hand))


@app.command("prepare")
def prepare_command(
    names: Names,
    data: Data,
    out: Annotated[Path, typer.Option(help="Manifest to write: .jsonl or .parquet.")],
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if a recording is missing or unreadable.")
    ] = False,
) -> None:
    """Decode and check corpora; write a manifest, and beside it OUT.report.json."""
    from align.corpora.manifest import ManifestError, write_manifest  # noqa: PLC0415
    from align.corpora.validate import prepare  # noqa: PLC0415

    if out.suffix not in (".jsonl", ".parquet"):
        raise UsageError(f"--out {out}: a manifest ends in .jsonl or .parquet")
    report_path = out.with_name(f"{out.name}.report.json")
    try:
        with _bar("decoding") as advance:
            entries, report = prepare(
                names, data, lambda done, total: advance("decoding", done, total)
            )
        write_manifest(entries, out)
        report_path.write_text(report.to_json(), encoding="utf-8")
    except CorpusError as error:
        raise UsageError(str(error)) from None
    except (ManifestError, OSError) as error:
        raise DataError(str(error)) from None
    typer.echo(report.to_markdown())
    typer.echo(f"{len(entries)} recordings: {out}; findings: {report_path}")
    if strict and not report.complete:
        raise DataError("recordings are missing or unreadable; the list above names them")


def _table() -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    table.add_column("corpus", no_wrap=True)
    for column in ("size", "recordings", "patients"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("access", no_wrap=True)
    table.add_column("organ", no_wrap=True)
    for info in CATALOGUE.values():
        counts = (_size(info), _number(info.recordings), _number(info.patients))
        table.add_row(info.key, *counts, info.access, info.organ)
    return table


def _size(info: CorpusInfo) -> str:
    if info.size is None:
        return "?"
    return f"{info.size / 1e9:.1f} GB" if info.size >= 1e9 else f"{info.size / 1e6:.0f} MB"


def _number(count: int | None) -> str:
    return "?" if count is None else str(count)


def _outcome(fetched: Fetched) -> str:
    if fetched.by_hand:
        return f"{fetched.corpus}: left as it is, {fetched.folder} was not filled by fetch"
    lines = [f"{fetched.corpus}: complete in {fetched.folder}, new files: {fetched.new_files}"]
    lines += [
        f"  no checksum is published for {name}; from now on it must be sha256 {value}"
        for name, value in fetched.recorded.items()
    ]
    how = CATALOGUE[fetched.corpus].how
    return "\n".join([*lines, *([f"  {how}"] if how else [])])


def _quiet_pooch() -> None:
    import pooch  # noqa: PLC0415

    pooch.get_logger().setLevel("ERROR")


@contextmanager
def _bar(title: str) -> Iterator[Callable[[str, int, int | None], None]]:
    """A progress bar on stderr, moved by calls of (what, done, total)."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)

        def advance(what: str, done: int, total: int | None) -> None:
            progress.update(task, description=what, completed=done, total=total)

        yield advance
