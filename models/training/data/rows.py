"""From the records of a file to the rows that a task trains on. Knows nothing of cleaning or of ids."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from models.training.data.readers import DataError, Record, read_rows
from models.training.recipe import Recipe
from models.training.sections import Corpus


class Passage(NamedTuple):
    """Where a text stands, of a recipe that packs."""

    document: int  # from 0, in the corpus
    number: int  # of the document's passages, from 0
    last: bool


@dataclass(frozen=True, slots=True)
class TextRow:
    """One example of a task as texts: what is read, what is to be said."""

    source: str  # of pre-training the first part of a text; of a generator ""
    target: str  # a translation, a label, a generator's text, or the second part of a text ("" where it has none)
    pair: str | None = None  # a classifier's second text
    language: str | None = None  # the translation's
    control: str | None = None  # the generator's control token
    source_language: str | None = None  # of what is translated
    passage: Passage | None = None  # of a generator's packed text


class Sample(NamedTuple):
    """The rows that one row of a file (or two lines of a document) gives; none when its label is not asked for."""

    rows: tuple[TextRow, ...]
    texts: dict[str, str]  # by column: all that is trained on
    mark: str  # the label or the control token: samples of equal texts but different marks are different
    line: int
    group: int | None


class ReadingTask(ABC):
    """What reading has to know of a task."""

    texts_stand_alone: bool = False  # each is compared with the held-out ones, not all texts of a sample as one
    targets_are_text: bool = True  # and not labels

    @abstractmethod
    def samples(self, recipe: Recipe, corpus: Corpus, records: Iterator[Record]) -> Iterator[Sample]: ...


def read_corpus(task: ReadingTask, recipe: Recipe, corpus: Corpus, data: Path) -> Iterator[TextRow]:
    """All rows of one corpus, neither cleaned nor repeated. Raises DataError."""
    for sample in task.samples(recipe, corpus, read_rows(corpus, data)):
        yield from sample.rows


def require(recipe: Recipe, corpus: Corpus, *columns: str) -> None:
    """Raises DataError where the corpus lacks a column that the recipe's task reads."""
    for column in columns:
        if column not in corpus.columns:
            raise DataError(
                f"{corpus.name}: a recipe with task {recipe.task} reads column {column!r}, "
                f"the recipe names the columns {', '.join(corpus.columns)}"
            )
