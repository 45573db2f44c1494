"""Tables in files: JSON Lines, JSON, CSV, TSV and Parquet, read into columns, with errors that name the row."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError, did_you_mean
from bench.store.files import regular_file
from bench.store.text import HALF, unwritable

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
LONGEST_CELL = 2**31 - 1  # letters; the csv module stops at 131,072 by itself
SHOWN = 5  # places that an error lists
_SEPARATORS = {",": "commas", ";": "';'", "\t": "tabs"}


@dataclass(frozen=True)
class Table:
    """`columns`: name -> one value per row (text, number or None). `lines`: where each row starts in the file."""

    path: Path
    columns: Mapping[str, Sequence[Any]]
    lines: Sequence[int]
    unit: str = "line"  # of `lines`; Parquet and JSON arrays have rows, counted from 1

    def __len__(self) -> int:
        return len(self.lines)

    def at(self, row: int) -> str:
        """The place of a row, for an error: `reviews.csv, line 12`."""
        return f"{self.path}, {self.unit} {self.lines[row]}"

    def extent(self, rows: Sequence[int]) -> str:
        """How many rows have an error, and where: `3 of 40 rows (lines 3, 8, 9)`."""
        places = ", ".join(str(self.lines[row]) for row in rows[:SHOWN]) + (", ..." if len(rows) > SHOWN else "")
        return f"{len(rows):,} of {len(self):,} rows ({self.unit}{'s' if len(rows) > 1 else ''} {places})"

    def column(self, name: str) -> Sequence[Any]:
        """The values of a column. Raises UserError with the columns that there are."""
        if name not in self.columns:
            hint = did_you_mean(name, self.columns)
            if "did you mean" not in hint:
                hint = f"; it has: {', '.join(map(repr, self.columns))}"
            raise UserError(f"{self.path} has no column '{name}'{hint}")
        return self.columns[name]

    def text(self, name: str) -> list[str]:
        """A column of texts without white space at the ends; an empty one stays empty. UserError for a number."""
        found = []
        for row, value in enumerate(self.column(name)):
            if value is not None and not isinstance(value, str):
                raise UserError(f"{self.at(row)}: column '{name}' holds {value!r}, which is no text")
            if value:
                check_characters(value, f"{self.at(row)}: column '{name}'")
            found.append((value or "").strip())
        return found


def read(path: Path) -> Table:
    """Read a file by its extension. Raises UserError, one line, for a file that is missing or damaged."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path} has the extension '{suffix}'; tables are read from {', '.join(SUFFIXES)}")
    regular_file(path, "table")
    try:
        if suffix == ".parquet":
            table = _parquet(path)
        else:
            _refuse_utf16(path)
            if suffix == ".jsonl":
                table = _json_lines(path)
            elif suffix == ".json":
                table = _json(path)
            else:
                table = _delimited(path, "\t" if suffix == ".tsv" else ",")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({_undecodable(path)}); save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if not table.lines:
        raise UserError(f"{path} holds no rows")
    return table


def _refuse_utf16(path: Path) -> None:
    """UserError for UTF-16, which has a mark in front, or a zero byte beside every Latin letter."""
    with open(path, "rb") as file:
        head = file.read(1024)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head.count(0) > len(head) / 4:
        raise UserError(f"{path} is UTF-16 text, not UTF-8; save it as UTF-8: iconv -f UTF-16 -t UTF-8 OLD > NEW")


def _undecodable(path: Path) -> str:
    """The first line that is not UTF-8, and its first wrong byte."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return f"line {number}, byte 0x{line[error.start]:02x}"
    return "cut off within a character"


def _separated_otherwise(header: Sequence[str], delimiter: str) -> str:
    """A hint when the header holds another separator more often than the one that it was read with."""
    line = delimiter.join(header)
    other = max(_SEPARATORS, key=line.count)
    if other == delimiter or line.count(other) <= line.count(delimiter):
        return ""
    if other == "\t":
        mend = "name it .tsv"
    elif delimiter == "\t":
        mend = "name it .csv" if other == "," else "save it with tabs, or with commas as .csv"
    else:
        mend = "save it with commas, or with tabs as .tsv"
    return f"; the columns seem to be separated by {_SEPARATORS[other]}: {mend}"


@contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _header(path: Path, delimiter: str) -> list[str]:
    """The names in the first line that is not blank, as far as they can be read."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        return next((row for row in csv.reader(file, delimiter=delimiter) if row), [])


def _delimited(path: Path, delimiter: str) -> Table:
    with _long_cells():
        header = [name.strip() for name in _header(path, delimiter)]
        if not header:
            raise UserError(f"{path} is empty")
        hint = _separated_otherwise(header, delimiter)
        if hint and len(header) == 1:
            raise UserError(f"{path} has the one column {header[0]!r}{hint}")
        rows: list[list[str]] = []
        lines: list[int] = []
        line = 1
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            try:
                for row in reader:
                    if row:  # a blank line is no row
                        rows.append(row)
                        lines.append(line)
                    line = reader.line_num + 1
            except csv.Error as error:
                mend = hint or "; is the file cut off or a quote not closed?"
                raise UserError(f"{path}, line {line}: {error}{mend}") from error
    header = [name.strip() for name in rows.pop(0)]
    lines.pop(0)
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise UserError(f"{path} has two columns named '{twice[0]}'")
    for row, at in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise UserError(f"{path}, line {at}: {len(row)} values for {len(header)} columns{hint}")
    columns = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(header, ())
    return Table(path, {name: [value or None for value in values] for name, values in columns.items()}, lines)


def _json_lines(path: Path) -> Table:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{path}, line {number} is not JSON ({error}); is the file cut off?") from error
            if not isinstance(row, dict):
                raise UserError(f"{path}, line {number}: an object with one value per column is needed")
            rows.append(row)
            lines.append(number)
    return Table(path, _columns(rows), lines)


def _json(path: Path) -> Table:
    """An array of objects, or one object a line."""
    text = path.read_text(encoding="utf-8-sig").strip()
    if not text.startswith("["):
        return _json_lines(path)
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({error}); is the file cut off?") from error
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise UserError(f"{path}, row {number}: an object with one value per column is needed")
    return Table(path, _columns(rows), range(1, len(rows) + 1), "row")


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name) for row in rows] for name in names}


def _parquet(path: Path) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        columns = table.to_pydict()
    except (pa.ArrowException, ValueError) as error:
        message = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise UserError(f"{path} is no readable Parquet file ({message})") from error
    return Table(path, columns, range(1, table.num_rows + 1), "row")


def check_characters(value: str, where: str) -> None:
    """UserError for half of a surrogate pair: JSON can write it, no file can keep it."""
    if unwritable(value):
        raise UserError(f"{where} holds {HALF}")


def label_text(value: Any) -> str | None:
    """A label as text, or None when it is missing, NaN or no label at all (a list, a fraction)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if math.isfinite(value) and value.is_integer() else None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        text = value.strip()
        return None if text.casefold() in {"", "nan"} else text
    return None


def label_order(names: Iterable[str]) -> list[str]:
    """Label names sorted, as numbers when all are whole numbers."""
    found = sorted(set(names))
    try:
        return sorted(found, key=int)
    except ValueError:
        return found
