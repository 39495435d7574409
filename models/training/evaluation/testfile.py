"""Any file as what one task is measured on. No recipe is needed: what the file does not say itself is told.

Knows nothing of models or scores.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.training.data.readers import Broken, DataError, read_rows
from models.training.evaluation.fewshot import Labelled
from models.training.recipe import Corpus, Format

_OWN_COLUMNS: dict[Format, tuple[str, ...]] = {"text": ("text",), "nsmc": ("text", "label")}
_NAMED: tuple[Format, ...] = ("jsonl", "parquet")  # files that say themselves what their columns are called
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class TestFile:
    """Rows by column, in the file's order."""

    __test__ = False  # pytest takes the name for a test's

    path: Path
    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    broken: tuple[int, str]  # rows that could not be read, and the first of them

    @classmethod
    def read(
        cls,
        path: Path,
        needed: Sequence[str],
        *,
        columns: Sequence[str] = (),
        format: Format | None = None,
        limit: int | None = None,
    ) -> TestFile:
        """`needed` are the columns a task reads, `columns` those of a file that does not name them.

        Only the first `limit` rows are read. Raises DataError and ConfigError, which name the file.
        """
        format = format or ("text" if path.suffix == ".txt" and len(columns) < 2 else None)
        corpus = Corpus(file=path.name, columns=tuple(columns) or tuple(needed), format=format)
        if not columns and corpus.layout in _OWN_COLUMNS:
            corpus = Corpus(file=path.name, columns=_OWN_COLUMNS[corpus.layout], format=format)
        elif not columns and corpus.layout not in _NAMED:
            example = ",".join(needed)
            raise DataError(f"{path}: say what the columns of {corpus.layout} are, such as --columns {example}")
        missing = [name for name in needed if name not in corpus.columns]
        if missing:
            raise DataError(f"{path}: no column {missing[0]!r} among {', '.join(corpus.columns)}")
        broken = Broken(corpus)
        rows = [record.values for record in itertools.islice(read_rows(corpus, path.parent, broken), limit)]
        return cls(path, corpus.columns, rows, (broken.count, broken.examples))

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
