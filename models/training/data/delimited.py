"""Delimited text with quotes (CSV, RFC 4180): rows of cells with their lines. Knows nothing of what cells mean."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

DELIMITERS = (",", ";", "\t", "|")
_NOT_UTF_8 = re.compile("[\udc80-\udcff]")  # what bytes that are no UTF-8 are read as
_HEAD = 20  # rows that are looked at to tell the delimiter


class DataError(ValueError):
    """A data file that is missing or not as described; the message names file and line."""


def read_cells(path: Path, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """(line, cells) of each row, or (line, what is wrong with it); lines from 1, where the row begins.

    Only a line feed ends a line, with or without a carriage return before it.

    Empty lines are no rows. A cell may hold quotes (doubled), delimiters and line ends where it stands in quotes, and
    up to 131,072 characters, so that a quote that nobody closes does not swallow the file.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        while True:
            line = rows.line_num + 1
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                lines = f" (lines {line:,} to {rows.line_num:,})" if rows.line_num > line else ""
                yield line, f"{_meaning(str(error))}{lines}"
                continue
            if not cells:
                continue
            bad = next((number for number, cell in enumerate(cells, start=1) if _NOT_UTF_8.search(cell)), None)
            yield line, cells if bad is None else f"cell {bad} is not UTF-8"


def _meaning(error: str) -> str:
    if "field larger" in error:
        return "a cell of more than 131,072 characters: perhaps a quote that is not closed"
    if "unexpected end" in error:
        return "a quote that is not closed"
    if "expected after" in error:
        return "text behind a closing quote: a quote within quotes is doubled"
    return "a carriage return in a cell without quotes" if "new-line character" in error else error


def delimiter_of(path: Path, name: str, wanted: Collection[str] = (), *, header: bool = True) -> str:
    """The one with which the first row has most of the names `wanted`; else the one that makes most of the rows alike.

    One that spaces follow is more likely a sign of the text. Without a header `wanted` is the columns that each row
    has. Raises DataError, which calls the file `name`, where it is not UTF-8.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{name}: it is UTF-16: save it as UTF-8")

    def fit(delimiter: str) -> tuple[int, int, int, int]:
        rows = list(islice((cells for _, cells in read_cells(path, delimiter) if isinstance(cells, list)), _HEAD))
        if not rows:
            return 0, 0, 0, 0
        width = len(wanted) if wanted and not header else len(rows[0])
        named = len({*wanted} & {cell.strip() for cell in rows[0]}) if header else 0
        alike = [row for row in rows if len(row) == width > 1]
        tight = sum(not any(cell.startswith(" ") for cell in row[1:]) for row in alike)
        return named, tight, len(alike), width

    return max(DELIMITERS, key=fit)  # the first of equals: a comma
