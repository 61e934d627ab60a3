"""What the adapters share: published tables, plain metadata values, audio files by name."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from align.corpora.recording import CorpusError

Row = dict[str, str]

UNKNOWN = frozenset(
    {"", "nan", "na", "n/a", "none", "null", "unknown", "pnts", "prefer not to say"}
)
YES_NO = {"true": "yes", "y": "yes", "yes": "yes", "false": "no", "n": "no", "no": "no"}
SEXES = {"m": "male", "male": "male", "f": "female", "female": "female"}
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".webm")


def read_table(path: Path, columns: Iterable[str], delimiter: str = ",") -> list[Row]:
    """Rows of a CSV file with a header that names at least `columns`.

    Raises:
        CorpusError: the file is missing, is not such a table, or has a line of another width.
    """
    return list(_checked_rows(path, columns, _csv_lines(path, delimiter)))


def read_sheet(path: Path, columns: Iterable[str]) -> list[Row]:
    """Rows of `path` (.xlsx, needs openpyxl), or of the .csv of the same name where there is one.

    Raises:
        CorpusError: as `read_table`; or openpyxl is not installed.
    """
    table = path.with_suffix(".csv")
    if table.is_file() or not path.is_file():
        return read_table(table, columns)
    return list(_checked_rows(path, columns, _sheet_lines(path)))


def known(value: str) -> bool:
    """Whether a table's cell says anything."""
    return value.strip().lower() not in UNKNOWN


def describe(row: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Metadata under plain names: `names` maps column -> name; unknown and absent cells drop out.

    Truth values in any spelling become `yes` or `no`, sexes `male` or `female`.
    """
    result = {}
    for column, name in names.items():
        value = row.get(column, "").strip()
        if known(value):
            spellings = SEXES if name == "sex" else YES_NO
            result[name] = spellings.get(value.lower(), value)
    return result


def subfolder(folder: Path, *names: str) -> Path:
    """The first of the published names that exists in `folder`; else `folder` itself."""
    return next((folder / name for name in names if (folder / name).is_dir()), folder)


def find_audio(folder: Path, name: str, suffixes: Sequence[str] = (".wav", ".flac")) -> Path:
    """The audio file called `name`, or the first spelling of its path if there is none."""
    paths = [folder / f"{name}{suffix}" for suffix in suffixes]
    return next((path for path in paths if path.is_file()), paths[0])


def audio_files(folder: Path) -> list[Path]:
    """Audio files of a folder, by name.

    Raises:
        CorpusError: there is no such folder.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder} is missing")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES)


def refuse_strays(files: Iterable[Path], names: Iterable[str], table: Path) -> None:
    """Raise CorpusError if an audio file's name (without suffix) is not among `names`."""
    listed = set(names)
    for path in files:
        if path.stem not in listed:
            raise CorpusError(f"{path} has no row in {table}; remove it or complete the table")


def _csv_lines(path: Path, delimiter: str) -> Iterator[list[str]]:
    if not path.is_file():
        raise CorpusError(f"{path} is missing")
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            yield from csv.reader(handle, delimiter=delimiter)
    except (csv.Error, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} is not a readable table ({error}); fetch it again") from error


def _sheet_lines(path: Path) -> Iterator[list[str]]:
    try:
        openpyxl = importlib.import_module("openpyxl")
    except ImportError:
        message = f"reading {path} needs openpyxl; install it or save the sheet as .csv beside it"
        raise CorpusError(message) from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl passes on whatever zipfile and its XML parser raise
        raise CorpusError(f"{path} is not a readable sheet ({error}); fetch it again") from error
    for cells in book.active.iter_rows(values_only=True):
        yield ["" if cell is None else str(cell) for cell in cells]


def _checked_rows(path: Path, columns: Iterable[str], lines: Iterator[list[str]]) -> Iterator[Row]:
    header = [name.strip() for name in next(lines, [])]
    absent = [column for column in columns if column not in header]
    if absent:
        raise CorpusError(f"{path} has no column {absent[0]!r}")
    for number, cells in enumerate(lines, 2):
        if len(cells) == len(header):
            yield {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
        elif cells:
            message = f"{path}: row {number} has {len(cells)} of {len(header)} cells"
            raise CorpusError(f"{message}; fetch it again")
