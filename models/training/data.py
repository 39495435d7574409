"""From tab-separated files to examples, and from examples to batches of similar length.

Knows nothing of models or losses. Everything random comes from the seed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models import formats
from models.tokenizer import Tokenizer
from models.training.duplicates import NearDuplicates
from models.training.recipe import Corpus, Filter, Recipe


class DataError(ValueError):
    """A data file that is missing or not as described; the message names file and line."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file, ready for a task: what is read, what is to be said."""

    source: str
    target: str  # a translation, a label, or a generator's text
    pair: str | None = None  # a classifier's second text
    language: str | None = None  # the translation's
    control: str | None = None  # the generator's control token


@dataclass(frozen=True, slots=True)
class Example:
    """A row as ids (int32). `target` is the output's ids, for a classifier one label's index."""

    source: np.ndarray
    target: np.ndarray


def read_tsv(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Rows by column name. Raises DataError with file and line: missing file, not UTF-8, wrong columns, empty field."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; the recipe's files are relative to the data folder")
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                values = line.decode("utf-8").rstrip("\r\n").split("\t")
            except UnicodeDecodeError as error:
                raise DataError(f"{path}:{number}: not UTF-8 at byte {error.start}") from error
            if len(values) != len(columns):
                raise DataError(
                    f"{path}:{number}: {len(values)} columns, expected {len(columns)}: {', '.join(columns)}"
                )
            row = dict(zip(columns, values, strict=True))
            empty = [name for name, value in row.items() if not value.strip()]
            if empty:
                raise DataError(f"{path}:{number}: column {empty[0]} is empty")
            yield row


def read_corpus(recipe: Recipe, corpus: Corpus, data: Path) -> list[Row]:
    """All rows of one file for the recipe's task, filtered, not repeated."""
    rows: list[Row] = []
    for values in read_tsv(data / corpus.file, corpus.columns):
        if recipe.task == "translate":
            rows += [Row(values[source], values[target], language=target) for source, target in corpus.pairs]
        elif recipe.task == "classify":
            label = corpus.labels.get(values[corpus.label_column])
            if label is not None:
                rows.append(Row(values["text"], label, pair=values.get("pair")))
        elif recipe.filter is None or accepted(values["text"], recipe.filter):
            steering = recipe.control
            control = None if steering is None else steering.token.format(values[steering.column])
            rows.append(Row("", values["text"], control=control))
    return rows


def accepted(text: str, rules: Filter) -> bool:
    """Whether a generator may learn from `text`."""
    squeezed = re.sub(r"[\W\d_]+", "", text)  # insults are spelt with dots and digits between the syllables
    return (
        len(text) >= rules.min_characters
        and len(set(text)) >= rules.min_distinct * len(text)
        and not re.search(rf"(.)\1{{{rules.max_repeat}}}", text)
        and not any(word in text or word in squeezed for word in rules.blocked)
    )


@dataclass(frozen=True)
class Splits:
    training: list[Row]
    validation: list[Row]
    near_duplicates: int  # rows of the training files that were left out for their likeness to a held-out text


def read_splits(recipe: Recipe, data: Path) -> Splits:
    """Training and validation rows. No training text is nearly one of the validation or test files, in any column."""
    corpora = [read_corpus(recipe, corpus, data) for corpus in recipe.corpora]
    if recipe.validation:
        validation = [row for corpus in recipe.validation for row in read_corpus(recipe, corpus, data)]
    else:
        chosen = np.random.default_rng(recipe.seed).permutation(len(corpora[0]))[: recipe.hold_out]
        validation = [corpora[0][index] for index in chosen]
        held = set(chosen.tolist())
        corpora[0] = [row for index, row in enumerate(corpora[0]) if index not in held]
    texts = [text for row in validation for text in (row.source, row.target if recipe.task != "classify" else "")]
    for corpus in recipe.tests:
        columns = [c for c in corpus.columns if c not in ("label", "rating")]
        texts += [values[column] for values in read_tsv(data / corpus.file, corpus.columns) for column in columns]
    held_out = NearDuplicates(texts)
    kept = [
        [
            row
            for row in rows
            if row.source not in held_out and (recipe.task == "classify" or row.target not in held_out)
        ]
        for rows in corpora
    ]
    training = [
        row for corpus, rows in zip(recipe.corpora, kept, strict=True) for row in rows for _ in range(corpus.repeat)
    ]
    if not training or not validation:
        raise DataError(f"{len(training)} training and {len(validation)} validation rows, expected at least 1 of each")
    return Splits(training, validation, sum(map(len, corpora)) - sum(map(len, kept)))


def encode(recipe: Recipe, tokenizer: Tokenizer, rows: Sequence[Row], longest: tuple[int, int]) -> list[Example]:
    """Rows as ids. Rows longer than `longest` (source, target) ids are left out; a classifier's are cut."""
    examples = []
    for row in rows:
        if recipe.task == "translate":
            source = formats.translation_source(tokenizer, row.source, row.language or "")
            target = formats.translation_target(tokenizer, row.target)
        elif recipe.task == "classify":
            source = formats.classification_prompt(tokenizer, row.source, row.pair)[0]
            source = [*source[: longest[0] - 1], source[-1]]
            target = [recipe.labels.index(row.target)]
        else:
            source = formats.generation_prompt(tokenizer, row.control or "")
            target = formats.translation_target(tokenizer, row.target)
        if len(source) <= longest[0] and len(target) <= longest[1]:
            examples.append(Example(np.array(source, np.int32), np.array(target, np.int32)))
    return examples


def plan_batches(sizes: np.ndarray, batch_tokens: int, seed: int, epoch: int) -> list[np.ndarray]:
    """One epoch's batches: indices of examples of similar size, at most `batch_tokens` padded tokens each.

    `sizes` [N] float: the padded width of a row, rounded down; its fraction only refines the order. Deterministic in
    (seed, epoch). An example wider than `batch_tokens` gets a batch of its own.
    """
    random = np.random.default_rng((seed, epoch))
    shuffled = random.permutation(len(sizes))
    ordered = shuffled[np.argsort(sizes[shuffled], kind="stable")]
    widths = np.floor(sizes[ordered]).astype(int)  # ascending: the last row of a batch is its widest
    batches, start = [], 0
    for end in range(1, len(ordered) + 1):
        if end == len(ordered) or (end + 1 - start) * widths[end] > batch_tokens:
            batches.append(ordered[start:end])
            start = end
    return [batches[index] for index in random.permutation(len(batches))]


def padded(rows: Sequence[np.ndarray], pad: int) -> np.ndarray:
    """int64 [rows, longest], padded on the right."""
    out = np.full((len(rows), max(len(row) for row in rows)), pad, np.int64)
    for index, row in enumerate(rows):
        out[index, : len(row)] = row
    return out
