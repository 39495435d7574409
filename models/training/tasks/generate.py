"""A text, and how it goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from models import formats
from models.config import Config
from models.tokenizer import Tokenizer
from models.training.data.examples import Encoded, Examples
from models.training.data.look import Look
from models.training.data.packing import passages
from models.training.data.readers import Record
from models.training.data.rows import Sample, TextRow, read_corpus, require
from models.training.data.splits import read_splits
from models.training.draft import BYTES_OF_A_TOKEN, DraftedTask, Size, commented, length
from models.training.evaluation.likelihood import Likelihood, context_of
from models.training.evaluation.scores import Measured, hash_of_texts, hashes_of, name_of, text_scores
from models.training.evaluation.validation import MOST_SHOWN, Answers, Shown, continuations, mixed
from models.training.objectives import CausalLanguageModel
from models.training.recipe import Recipe
from models.training.sections import Corpus, RecipeError
from models.training.tasks.task import Task

HELD_OUT = "held-out reviews"  # the texts its recipe holds out
_CONTINUATION = 40  # ids that are said of each sample at a validation

AnswerLikelihood = Callable[[Sequence[str]], Likelihood]


class Generate(Task, DraftedTask):
    name = "generate"
    noun = "a generator"
    does = "goes on with a text"
    hub_name = "text-generation"
    kind = "decoder"
    tokenizer = "byte_bpe"
    fields = frozenset({"packing", "steering", "chat_template"})
    reads = ("text",)

    def check(self, recipe: Recipe) -> None:
        super().check(recipe)
        if recipe.packing != "none" and recipe.control:
            raise RecipeError(f"packing is {recipe.packing!r}, of plain text: control tokens speak of one text")

    def samples(self, recipe: Recipe, corpus: Corpus, records: Iterator[Record]) -> Iterator[Sample]:
        prefix = recipe.control
        require(recipe, corpus, "text", *([prefix.column] if prefix else []))
        if recipe.packing == "blocks":
            yield from passages(corpus, records)
            return
        for values, line, group, _ in records:
            control = None if prefix is None else prefix.token.format(values[prefix.column])
            text = values["text"]
            yield Sample((TextRow("", text, control=control),), {"text": text}, control or "", line, group)

    def encode(self, recipe: Recipe, tokenizer: Tokenizer, row: TextRow, longest: tuple[int, int]) -> Encoded:
        """A long text is split into windows, but for one with a control token, which speaks of the whole."""
        source = formats.generation_prompt(tokenizer, row.control or "")
        target = formats.translation_target(tokenizer, row.target)
        if row.passage is not None and not row.passage.last:
            target.pop()  # the document goes on
        if len(source) <= longest[0] and len(target) <= longest[1]:
            return Encoded([(source, target)])
        if row.control is not None:
            return Encoded([], "left out")
        starts = range(0, len(target), longest[1])
        return Encoded([(source, target[start : start + longest[1]]) for start in starts], "split into windows")

    def longest(self, config: Config) -> tuple[int, int]:
        context = context_of(config)
        return context, context - 2  # start and control token

    def objective(self, recipe: Recipe, config: Any, tokenizer: Tokenizer) -> CausalLanguageModel:
        drop = recipe.control.drop if recipe.control else 0.0
        return CausalLanguageModel(config.pad_id, drop, start_id=config.start_id)

    def judge(
        self, recipe: Recipe, config: Any, tokenizer: Tokenizer, rows: Sequence[TextRow], examples: Examples
    ) -> GenerationJudge:
        return GenerationJudge(config, tokenizer, mixed(recipe, rows)[: recipe.training.samples], examples)

    def drafted_model(self, look: Look, size: Size, common: Sequence[str]) -> Iterator[str]:
        context = 256 if self.packs(look) else length(look.texts["text"].most, 64)
        yield from ("  architecture: gpt", *common, f"  layers: {size.layers}", f"  dropout: {size.dropout}")
        yield commented(f"  context: {context}", "tokens that it reads at once; longer texts are read in parts")

    def drafted_corpus(self, look: Look) -> Iterator[str]:
        if look.corpus.layout == "text" and not self.packs(look):
            yield "  # Each line is a text of its own. Where lines belong together, say packing: blocks."

    def packs(self, look: Look) -> bool:
        """Prose, and texts that are longer than a model of this size reads at once."""
        return look.is_prose or look.texts["text"].median > 256 * BYTES_OF_A_TOKEN


class GenerationJudge:
    """Bits per byte of all validation examples, each after its control token; the start of a text is gone on with."""

    measure, higher_is_better = "bits_per_byte", False

    def __init__(self, config: Config, tokenizer: Tokenizer, rows: Sequence[TextRow], examples: Examples) -> None:
        self._tokenizer = tokenizer
        targets = (examples[index].target.tolist() for index in range(len(examples)))
        read = sum(len(tokenizer.decode(target).encode()) for target in targets)
        self._bits_per_nat = int(examples.target_lengths_N.sum()) / math.log(2) / max(read, 1)
        self._prompts: list[tuple[Shown, list[int], int]] = []  # what is to be said, ids to read, and room
        for row in rows:
            text = formats.normalize(row.target)[:MOST_SHOWN]
            middle = text.find(" ", len(text) // 3)
            start, rest = text[:middle], text[middle:]
            given = f"{row.control or ''}{start}"
            ids = formats.generation_prompt(tokenizer, given)
            room = min(_CONTINUATION, context_of(config) - len(ids))
            if middle > 0 and room > 0:
                self._prompts.append((Shown(given, rest, ""), ids, room))

    def __call__(self, model: Any, loss: float, accuracy: float) -> Answers:
        said = continuations(model, [ids for _, ids, _ in self._prompts], [room for _, _, room in self._prompts])
        samples = [
            replace(sample, answer=self._tokenizer.decode(answer))
            for (sample, _, _), answer in zip(self._prompts, said, strict=True)
        ]
        return Answers(loss * self._bits_per_nat, tuple(samples))


def generation_scores(
    recipe: Recipe, data: Path, directory: Path, answer: AnswerLikelihood, say: Callable[[str], None]
) -> dict[str, Measured]:
    """Of held-out texts and of every test, without control tokens: {"held-out reviews": {"bits_per_byte": ...}}.

    `directory` is the run's, or any other to spool the data in.
    """
    chosen = {HELD_OUT: [row.target for row in read_splits(GENERATE, recipe, data, directory, say).validation]}
    for corpus in recipe.tests:
        chosen.setdefault(name_of(corpus), []).extend(row.target for row in read_corpus(GENERATE, recipe, corpus, data))
    hashes = {HELD_OUT: hash_of_texts(chosen[HELD_OUT]), **hashes_of(recipe, data)}
    return {name: text_scores(answer(texts), texts).of_file(hashes[name]) for name, texts in chosen.items()}


GENERATE = Generate()
