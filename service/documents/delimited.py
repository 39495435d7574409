"""Tables, CSV and TSV: the columns that are named. Header, other columns, delimiter, quotes and line ends stay.

The standard library's reader does not say where in the file a field stands and whether it was quoted, so that
fields are found here, by its rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.documents.document import DocumentError, Piece, Problem, Rendered, Text


@dataclass(frozen=True, slots=True)
class _Field:
    """As it stands in the file."""

    start: int
    end: int
    raw: str

    @property
    def is_quoted(self) -> bool:
        return len(self.raw) > 1 and self.raw[0] == self.raw[-1] == '"'

    @property
    def value(self) -> str:
        return self.raw[1:-1].replace('""', '"') if self.is_quoted else self.raw


@dataclass(frozen=True, slots=True)
class _Cell:
    """A field that is to be translated."""

    start: int
    end: int
    text: Text
    is_quoted: bool
    delimiter: str

    def written(self, translation: str, rendered: Rendered) -> str:
        must_be = translation.startswith('"') or any(mark in translation for mark in (self.delimiter, "\n", "\r"))
        if self.is_quoted or must_be:
            return '"' + translation.replace('"', '""') + '"'
        return translation


def pieces(source: str, columns: Sequence[str], delimiter: str | None = None) -> tuple[list[Piece], list[Problem]]:
    """A column is named by the first row, or counted from 1 in a file whose first row is one like the others."""
    delimiter = delimiter or _delimiter(source)
    rows = [row for row in _rows(source, delimiter) if any(field.raw for field in row)]
    if not rows:
        return [], []
    header = [field.value.strip() for field in rows[0]]
    indices = _indices(header, columns)
    is_headed = any(column in header for column in columns)
    found: list[Piece] = []
    problems: list[Problem] = []
    for number, row in enumerate(rows[is_headed:], start=1 + is_headed):
        for column, index in zip(columns, indices, strict=True):
            place = f"row {number}, column {column}"
            if index >= len(row):
                problems.append(Problem(place, f"the row has {len(row)} columns"))
                continue
            field = row[index]
            text = Text(field.value, "text", place)
            found.append(_Cell(field.start, field.end, text, field.is_quoted, delimiter))
    return found, problems


def _indices(header: Sequence[str], columns: Sequence[str]) -> list[int]:
    if not columns:
        raise DocumentError(
            f"--column says which are to be translated: {', '.join(header)}; or a number, 1 is the first"
        )
    indices = []
    for column in columns:
        if column in header:
            indices.append(header.index(column))
        elif column.isdecimal() and 1 <= int(column) <= len(header) and not any(other in header for other in columns):
            indices.append(int(column) - 1)
        else:
            raise DocumentError(f"there is no column {column!r}; there are {', '.join(header)}")
    return indices


def _delimiter(source: str) -> str:
    """What stands in the first line outside of quotation marks: a comma, semicolon, tab or bar, the most frequent."""
    first = re.sub(r'"(?:[^"]|"")*"', "", source[:65536]).lstrip("\r\n").partition("\n")[0]
    return max(",;\t|", key=first.count)


def _rows(source: str, delimiter: str) -> Iterator[list[_Field]]:
    mark = re.escape(delimiter)
    pattern = re.compile(rf'("(?:[^"]|"")*"(?=\r|\n|{mark}|\Z)|[^\r\n{mark}]*)({mark}|\r\n|\r|\n|\Z)')
    row: list[_Field] = []
    at = 0
    while True:
        match = pattern.match(source, at)
        assert match is not None, "it matches nothing, too"
        row.append(_Field(match.start(1), match.end(1), match[1]))
        at = match.end()
        if match[2] != delimiter:
            yield row
            row = []
            if not match[2] or at == len(source):
                return
