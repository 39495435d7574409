"""From the rows of a file to what a task trains on. Knows nothing of cleaning or of ids."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

from models.training.data.labels import label_of
from models.training.data.readers import Broken, DataError, Record, read_rows
from models.training.recipe import Recipe
from models.training.sections import Corpus

Complete = Callable[[Corpus, Iterator[Record]], Iterator[Record]]

PASSAGE = 2000  # characters of a packed document that are cleaned and held out as one text
NO_LABEL = ""  # of a classifier's text that has none
FEW_WORDS = 4  # a text of fewer is not split
# A full stop and its kin, with what closes a quotation, before a space; those of Chinese and Japanese need none.
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?= )|[。！？]+[」』”’）]*")


class Passage(NamedTuple):
    """Where a text stands, of a recipe that packs."""

    document: int  # from 0, in the corpus
    number: int  # of the document's passages, from 0
    last: bool


@dataclass(frozen=True, slots=True)
class Row:
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

    rows: tuple[Row, ...]
    texts: dict[str, str]  # by column: all that is trained on
    mark: str  # the label or the control token: samples of equal texts but different marks are different
    line: int
    group: int | None


def read_corpus(recipe: Recipe, corpus: Corpus, data: Path) -> Iterator[Row]:
    """All rows of one corpus, neither cleaned nor repeated. Raises DataError."""
    for sample in read_samples(recipe, corpus, data):
        yield from sample.rows


def read_samples(
    recipe: Recipe,
    corpus: Corpus,
    data: Path,
    broken: Broken | None = None,
    complete: Complete = lambda c, records: records,
) -> Iterator[Sample]:
    """Raises DataError; `broken` counts the rows that cannot be read, `complete` fills the columns no file has."""
    for column in _needed(recipe, corpus):
        if column not in corpus.columns:
            raise DataError(
                f"{corpus.name}: a recipe with task {recipe.task} reads column {column!r}, "
                f"the recipe names the columns {', '.join(corpus.columns)}"
            )
    records = complete(corpus, islice(read_rows(corpus, data, broken), corpus.limit))
    if recipe.task == "translate":
        return _translations(corpus, records)
    if recipe.task == "classify":
        return _labelled(recipe, corpus, records)
    if recipe.task == "generate":
        return passages(corpus, records) if recipe.packing == "blocks" else _texts(recipe, records)
    if recipe.next_sentence and not corpus.files and corpus.layout == "text":
        return _documents(corpus, records)
    return _parts(records, split=recipe.next_sentence)


def _needed(recipe: Recipe, corpus: Corpus) -> tuple[str, ...]:
    if recipe.task == "translate":
        return ()  # the recipe has checked its directions
    if recipe.task == "classify":
        return ("text", corpus.label_column) if corpus.has_labels else ("text",)
    return ("text", recipe.control.column) if recipe.control else ("text",)


def _translations(corpus: Corpus, records: Iterator[Record]) -> Iterator[Sample]:
    pairs = corpus.pairs
    columns = list(dict.fromkeys(column for pair in pairs for column in pair))
    for values, line, group, _ in records:
        rows = tuple([Row(values[a], values[b], language=b, source_language=a) for a, b in pairs])
        yield Sample(rows, {column: values[column] for column in columns}, "", line, group)


def _labelled(recipe: Recipe, corpus: Corpus, records: Iterator[Record]) -> Iterator[Sample]:
    column, known = corpus.label_column, {*recipe.labels} if corpus.has_labels else None
    for values, line, group, _ in records:
        text, pair = values["text"], values.get("pair")
        label = label_of(corpus, values[column]) if corpus.has_labels else NO_LABEL
        rows = (Row(text, label, pair=pair),) if not known or label in known else ()
        yield Sample(rows, {"text": text} if pair is None else {"text": text, "pair": pair}, label, line, group)


def _texts(recipe: Recipe, records: Iterator[Record]) -> Iterator[Sample]:
    steering = recipe.control
    for values, line, group, _ in records:
        control = None if steering is None else steering.token.format(values[steering.column])
        text = values["text"]
        yield Sample((Row("", text, control=control),), {"text": text}, control or "", line, group)


def passages(corpus: Corpus, records: Iterator[Record]) -> Iterator[Sample]:
    """Consecutive lines of a document as one text, cut behind the line with which it has PASSAGE characters.

    Only plain text has documents of many lines; elsewhere each row is one.
    """
    many = not corpus.files and corpus.layout == "text"
    documents = groupby(enumerate(records), lambda each: each[1].document if many else each[0])
    for document, (_, members) in enumerate(documents):
        lines: list[Record] = []
        number = size = 0
        for _, record in members:
            if size >= PASSAGE:
                yield _passage(lines, Passage(document, number, False))
                lines, number, size = [], number + 1, 0
            lines.append(record)
            size += len(record.values["text"])
        yield _passage(lines, Passage(document, number, True))


def _passage(lines: list[Record], passage: Passage) -> Sample:
    text = " ".join(record.values["text"] for record in lines)
    return Sample((Row("", text, passage=passage),), {"text": text}, "", lines[0].line, lines[0].group)


def _parts(records: Iterator[Record], *, split: bool) -> Iterator[Sample]:
    for values, line, group, _ in records:
        if "pair" in values:
            first, second = values["text"], values["pair"]
            texts = {"text": first, "pair": second}
        else:
            first, second = split_in_two(values["text"]) if split else (values["text"], "")
            texts = {"text": values["text"]}
        yield Sample((Row(first, second),), texts, "", line, group)


def _documents(corpus: Corpus, records: Iterator[Record]) -> Iterator[Sample]:
    """Two lines of a document at a time; a last line that is left alone is split."""
    waiting: Record | None = None
    for record in records:
        if waiting is not None and waiting.document == record.document:
            yield _of_document(corpus, waiting, waiting.values["text"], record.values["text"])
            waiting = None
            continue
        if waiting is not None:
            yield _of_document(corpus, waiting, *split_in_two(waiting.values["text"]))
        waiting = record
    if waiting is not None:
        yield _of_document(corpus, waiting, *split_in_two(waiting.values["text"]))


def _of_document(corpus: Corpus, record: Record, first: str, second: str) -> Sample:
    return Sample((Row(first, second),), {"text": f"{first} {second}".rstrip()}, "", record.line, None)


def split_in_two(text: str) -> tuple[str, str]:
    """At the sentence end nearest the middle, else at the space nearest the middle; a short text has no second part.

    Runs of white space become one space each.
    """
    words = text.split()
    text = " ".join(words)
    ends = [match.end() for match in _SENTENCE_END.finditer(text) if match.end() < len(text)]
    if len(words) < FEW_WORDS and not any(text[end] != " " for end in ends):
        return text, ""
    if not ends:
        middle = len(text) // 2
        ends = [end for end in (text.rfind(" ", 0, middle), text.find(" ", middle)) if end >= 0]
    cut = min(ends, key=lambda end: abs(2 * end - len(text)))
    return text[:cut], text[cut:].lstrip()
