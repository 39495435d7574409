"""Any file as what one task is measured on. No recipe is needed: what the file does not say itself is told.

Knows nothing of models or scores.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.training.data.headers import columns_of, find
from models.training.data.readers import Broken, DataError, Record, read_rows
from models.training.evaluation.fewshot import Labelled
from models.training.sections import Corpus, Format

Names = Mapping[str, Sequence[str]]  # column -> what files may call it
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class TestFile:
    """Rows by column, in the file's order."""

    __test__ = False  # pytest takes the name for a test's

    path: Path
    rows: list[dict[str, str]]
    broken: tuple[int, str]  # rows that could not be read, and the first of them
    took: str = ""  # the columns that were found, with the file's names for them

    @classmethod
    def read(
        cls,
        path: Path,
        needed: Sequence[str],
        *,
        columns: Sequence[str] = (),
        format: Format | None = None,
        limit: int | None = None,
        optional: Sequence[str] = (),
        known: Names | None = None,
        documents: bool = False,
    ) -> TestFile:
        """`needed` are the columns a task reads, `optional` those it reads where they are there.

        `columns` says what the file's are: in its order, or by name (`text=review`). Without it they are looked for by
        what people call them, and first by `known`. Only the first `limit` rows are read; `documents` makes one of
        the lines of plain text up to a blank one. Raises DataError and RecipeError, which name the file.
        """
        layout = _format(path, format, columns)
        corpus = _told(path, columns, layout) if columns else _found(path, needed, optional, layout, known)
        missing = [name for name in needed if name not in corpus.columns]
        if missing:
            raise DataError(f"{path}: no column {missing[0]!r} among {', '.join(corpus.columns)}")
        broken = Broken(corpus)
        records = itertools.islice(read_rows(corpus, path.parent, broken), limit)
        if documents and layout == "text":
            rows = _joined(records, corpus.columns[0])
        else:
            rows = [record.values for record in records]
        took = ", ".join(f"{name} ({corpus.called(name)})" for name in corpus.columns) if not columns else ""
        return cls(path, rows, (broken.count, broken.examples), took)

    def translations(self, source: str, target: str) -> tuple[list[str], list[str]]:
        """Sources and references."""
        return [row[source] for row in self.rows], [row[target] for row in self.rows]

    def labelled(self, column: str, mapping: Mapping[str, str], labels: Sequence[str]) -> list[Labelled]:
        """Texts that have one of `labels`. `mapping` says what a value of the column means; others are left out.

        Raises DataError where no row has a label.
        """
        unknown = sorted(set(mapping.values()) - set(labels))
        if unknown:
            raise DataError(f"no label {', '.join(unknown)}: there are {', '.join(labels)}")
        meaning = mapping or {label: label for label in labels}
        found = [
            Labelled(row["text"], meaning[row[column]], row.get("pair")) for row in self.rows if row[column] in meaning
        ]
        if not found:
            values = sorted({row[column] for row in self.rows})
            some = ", ".join(values[:5]) + (", ..." if len(values) > 5 else "")
            example = ",".join(f"{value}={label}" for value, label in zip(values, labels, strict=False))
            raise DataError(
                f"{self.path}: column {column} has {some}, the labels are {', '.join(labels)}: say what each value "
                f'means, such as --labels "{example}"'
            )
        return found

    def prompts(self, template: str) -> list[str]:
        """The template with each row's values in place of its columns' names: `<rating:{rating}>`."""
        return [_PLACE.sub(lambda found, row=row: row[found[1]], template) for row in self.rows]  # type: ignore[misc]


def places(template: str) -> list[str]:
    """The columns a template names."""
    return _PLACE.findall(template)


def known_columns(path: Path, wanted: Sequence[str], format: Format | None = None) -> tuple[str, ...]:
    """Which of `wanted` a file's own names have. Raises DataError and RecipeError, which name the file."""
    return tuple(find(columns_of(path, _format(path, format)), wanted))


def _format(path: Path, format: Format | None, columns: Sequence[str] = ()) -> Format:
    format = format or ("text" if path.suffix == ".txt" and len(columns) < 2 else None)
    return Corpus.read({"file": path.name, "columns": ["text"], "format": format}, str(path)).layout


def _told(path: Path, columns: Sequence[str], format: Format) -> Corpus:
    """In the order of the file, or by the names it has for them."""
    pairs = [column.partition("=")[::2] for column in columns]
    names = {column: name for column, name in pairs if name}
    own = tuple(column for column, _ in pairs)
    header = format != "csv" or bool(names) or bool({*own} & {*columns_of(path, format)})
    fields = {"file": path.name, "columns": own, "format": format, "names": names, "header": header}
    return Corpus.read(fields, str(path))


def _found(path: Path, needed: Sequence[str], optional: Sequence[str], format: Format, known: Names | None) -> Corpus:
    there = columns_of(path, format)
    found = find(there, [*needed, *optional], known)
    missing = [name for name in needed if name not in found]
    if missing and format != "text":
        named = f"; its first row has {', '.join(there)[:200]}" if format in ("csv", "tsv") else ""
        has = f"no column {missing[0]!r} among {', '.join(there)}: " if format in ("jsonl", "parquet") else ""
        raise DataError(
            f"{path}: {has}say what the columns of {format} are, such as --columns {','.join(needed)}{named}"
        )
    names = {column: name for column, name in found.items() if column != name}
    fields = {"file": path.name, "columns": tuple(found) or tuple(needed), "format": format, "names": names}
    return Corpus.read(fields, str(path))


def _joined(records: Iterable[Record], column: str) -> list[dict[str, str]]:
    documents = itertools.groupby(records, lambda record: record.document)
    return [{column: " ".join(record.values[column] for record in lines)} for _, lines in documents]
