"""Text without labels, of which an encoder learns before it learns a task. As it is, it is served for its vectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from models import formats
from models.tokenizer import Tokenizer
from models.training.data.examples import Encoded
from models.training.data.readers import Record
from models.training.data.rows import Sample, TextRow, require
from models.training.data.splits import read_splits
from models.training.evaluation.likelihood import MaskedWords
from models.training.evaluation.scores import Measured, hash_of_texts, masked_word_scores
from models.training.objectives import Pretraining
from models.training.recipe import Recipe
from models.training.sections import Corpus
from models.training.tasks.task import Task

HELD_OUT_WORDS = "held-out words"
_FEW_WORDS = 4  # a text of fewer is not split
# A full stop and its kin, with what closes a quotation, before a space; those of Chinese and Japanese need none.
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?= )|[。！？]+[」』”’）]*")

# Texts or pairs, and the seed that chooses the words to hide.
AnswerMaskedWords = Callable[[Sequence[tuple[str, str | None]], int], MaskedWords]


class Pretrain(Task):
    name = "pretrain"
    noun = "a pre-trained encoder"
    does = "is an encoder that learned from text without labels, to be fine-tuned for a task of its own"
    hub_name = "fill-mask"
    kind = "encoder"
    tokenizer = "wordpiece"

    def samples(self, recipe: Recipe, corpus: Corpus, records: Iterator[Record]) -> Iterator[Sample]:
        require(recipe, corpus, "text")
        if recipe.next_sentence and not corpus.files and corpus.layout == "text":
            return _documents(records)
        return _parts(records, split=recipe.next_sentence)

    def encode(self, recipe: Recipe, tokenizer: Tokenizer, row: TextRow, longest: tuple[int, int]) -> Encoded:
        """At most `longest[0]` ids in both parts together; a long text is split into windows."""
        ids, segments = formats.classification_prompt(tokenizer, row.source, row.target or None)
        if len(ids) <= longest[0]:
            first = segments.count(0)
            return Encoded([(ids[:first], ids[first:])])
        return Encoded(list(_windows(ids, longest[0], in_two=recipe.next_sentence)), "split into windows")

    def objective(self, recipe: Recipe, config: Any, tokenizer: Tokenizer) -> Pretraining:
        return Pretraining(
            config.pad_id,
            tokenizer.id("[SEP]"),
            tokenizer.id("[MASK]"),
            vocab_size=tokenizer.vocab_size,
            longest=config.max_prompt,
            mask_rate=recipe.mask_rate,
            next_sentence=recipe.next_sentence,
        )


def _parts(records: Iterator[Record], *, split: bool) -> Iterator[Sample]:
    for values, line, group, _ in records:
        texts: dict[str, str] = {column: values[column] for column in ("text", "pair") if column in values}
        if "pair" in texts or not split:
            first, second = texts["text"], texts.get("pair", "")
        else:
            first, second = split_in_two(texts["text"])
        yield Sample((TextRow(first, second),), texts, "", line, group)


def _documents(records: Iterator[Record]) -> Iterator[Sample]:
    """Two lines of a document at a time; a last line that is left alone is split."""
    for _, lines in groupby(records, lambda record: record.document):
        while two := list(islice(lines, 2)):
            texts = [record.values["text"] for record in two]
            first, second = texts if len(two) == 2 else split_in_two(*texts)
            yield Sample((TextRow(first, second),), {"text": f"{first} {second}".rstrip()}, "", two[0].line, None)


def split_in_two(text: str) -> tuple[str, str]:
    """At the sentence end nearest the middle, else at the space nearest the middle; a short text has no second part.

    Runs of white space become one space each.
    """
    words = text.split()
    text = " ".join(words)
    ends = [match.end() for match in _SENTENCE_END.finditer(text) if match.end() < len(text)]
    if len(words) < _FEW_WORDS and not any(text[end] != " " for end in ends):
        return text, ""
    if not ends:
        middle = len(text) // 2
        ends = [end for end in (text.rfind(" ", 0, middle), text.find(" ", middle)) if end >= 0]
    cut = min(ends, key=lambda end: abs(2 * end - len(text)))
    return text[:cut], text[cut:].lstrip()


def _windows(ids: list[int], longest: int, *, in_two: bool) -> Iterator[tuple[list[int], list[int]]]:
    """A long text's consecutive windows, each in two parts or in one."""
    begin, separator = ids[0], ids[-1]
    words = [id for id in ids[1:] if id != separator]
    room = longest - (3 if in_two else 2)
    for start in range(0, len(words), room):
        window = words[start : start + room]
        first = (len(window) + 1) // 2 if in_two else len(window)
        second = [*window[first:], separator] if len(window) > first else []
        yield [begin, *window[:first], separator], second


def pretraining_scores(
    recipe: Recipe, data: Path, directory: Path, answer: AnswerMaskedWords, say: Callable[[str], None]
) -> dict[str, Measured]:
    """Of the held-out texts: {"held-out words": {"masked_word_accuracy": ...}}. `directory` as for a generator."""
    rows = read_splits(PRETRAIN, recipe, data, directory, say).validation
    texts = [(row.source, row.target or None) for row in rows]
    found = masked_word_scores(answer(texts, recipe.seed), len(texts))
    return {HELD_OUT_WORDS: found.of_file(hash_of_texts([f"{first}\t{second or ''}" for first, second in texts]))}


PRETRAIN = Pretrain()
