"""A text, or two, and the label that fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import formats
from models.config import Config
from models.tokenizer import Tokenizer
from models.training.data.examples import Encoded, Examples
from models.training.data.labels import LEAST_EXAMPLES, MOST_LABELS, label_of
from models.training.data.look import Look
from models.training.data.readers import DataError, Record
from models.training.data.rows import Sample, TextRow, read_corpus, require
from models.training.draft import DraftedTask, Size, commented, flow, length
from models.training.evaluation.scores import Answered, Measured, hashes_of, label_scores, name_of
from models.training.evaluation.validation import Answers, Shown, mixed
from models.training.objectives import Batch, Classification, prompts
from models.training.recipe import Recipe
from models.training.sections import Corpus, RecipeError
from models.training.soft_labels import DistilledClassification
from models.training.tasks.task import Task

ENOUGH = 5  # examples of a label; one with fewer is left out of a draft
_LISTED = 50  # labels that a draft lists
_NO_LABEL = ""  # of a text that has none

# Texts, and each one's second text where it has one.
AnswerLabels = Callable[[Sequence[str], Sequence[str | None]], Sequence[Answered]]


class Classify(Task, DraftedTask):
    name = "classify"
    noun = "a classifier"
    does = "tells which label a text has"
    hub_name = "text-classification"
    kind = "encoder"
    tokenizer = "wordpiece"
    fields = frozenset({"frozen_encoder", "word_dropout", "calibrate"})
    targets_are_text = False
    teachers_write = False
    learning_rate, matrix_learning_rate = "1.0e-3", "0.01"
    reads = ("text", "pair", "label")

    def check(self, recipe: Recipe) -> None:
        super().check(recipe)
        if recipe.frozen_encoder and not recipe.start:
            raise RecipeError("frozen_encoder is for a classifier that starts from a pre-trained encoder (start)")
        for corpus in (*recipe.corpora, *recipe.validation):
            taught = recipe.distillation and corpus not in recipe.validation and corpus != recipe.corpora[0]
            if not corpus.has_labels and not taught:
                raise RecipeError(
                    f"{corpus.name}: none of the columns {', '.join(corpus.columns)} is the label_column "
                    f"{corpus.label_column!r}: texts without labels are for teachers (distillation), beside a first "
                    "corpus that has them"
                )

    def samples(self, recipe: Recipe, corpus: Corpus, records: Iterator[Record]) -> Iterator[Sample]:
        require(recipe, corpus, "text")
        column, known = corpus.label_column, {*recipe.labels} if corpus.has_labels else None
        for values, line, group, _ in records:
            text, pair = values["text"], values.get("pair")
            label = label_of(corpus, values[column]) if corpus.has_labels else _NO_LABEL
            rows = (TextRow(text, label, pair=pair),) if not known or label in known else ()
            yield Sample(rows, {"text": text} if pair is None else {"text": text, "pair": pair}, label, line, group)

    def encode(self, recipe: Recipe, tokenizer: Tokenizer, row: TextRow, longest: tuple[int, int]) -> Encoded:
        """Of two texts that are too long together the longer is cut first; each keeps its separator."""
        ids, segments = formats.classification_prompt(tokenizer, row.source, row.pair)
        label = [recipe.labels.index(row.target)] if row.target else []
        if len(ids) <= longest[0]:
            return Encoded([(ids, label)])
        split = segments.count(0)
        first, second = ids[:split], ids[split:]
        for_second = min(len(second), max(longest[0] // 2, longest[0] - len(first)))
        return Encoded([([*_cut(first, longest[0] - for_second), *_cut(second, for_second)], label)], "cut")

    def config_fields(self, recipe: Recipe) -> dict[str, Any]:
        return {"labels": max(len(recipe.labels), 1)}

    def objective(self, recipe: Recipe, config: Any, tokenizer: Tokenizer) -> Classification:
        specials = config.pad_id, tokenizer.id("[SEP]"), tokenizer.id("[MASK]")
        if recipe.distillation:
            return DistilledClassification(*specials, recipe.distillation, word_dropout=recipe.word_dropout)
        return Classification(*specials, word_dropout=recipe.word_dropout)

    def judge(
        self, recipe: Recipe, config: Any, tokenizer: Tokenizer, rows: Sequence[TextRow], examples: Examples
    ) -> ClassificationJudge:
        return ClassificationJudge(config, tokenizer, mixed(recipe, rows)[: recipe.training.samples], recipe.labels)

    def head(self, model: Any) -> Sequence[str]:
        return model.HEAD

    def takes_pairs(self, recipe: Recipe) -> bool:
        return any("pair" in corpus.columns for corpus in recipe.corpora)

    def drafted_model(self, look: Look, size: Size, common: Sequence[str]) -> Iterator[str]:
        yield from ("  architecture: bert", *common, f"  layers: {size.layers}", f"  dropout: {size.dropout}")
        yield "  norm: pre"
        longest = length(sum(lengths.most for lengths in look.texts.values()), 64)
        yield commented(f"  max_positions: {longest}", "tokens; longer texts are cut")

    def drafted_fields(self, look: Look) -> dict[str, Any]:
        return {"other_labels": "leave_out"} if left_out(look) else {}

    def drafted_labels(self, look: Look) -> Iterator[str]:
        called = look.corpus.called("label")
        if len(look.labels) > MOST_LABELS:
            some = ", ".join(repr(label[:40]) for label in list(look.labels)[:3])
            raise DataError(
                f"{look.path}: column {called!r} has more than {MOST_LABELS:,} values, such as "
                f"{some}: these are texts. Say which column has the labels with --label"
            )
        rare = left_out(look)
        kept = sorted(label for label in look.labels if label not in rare)
        if len(kept) < 2:
            has = ", ".join(f"{label[:40]!r} ({rows:,})" for label, rows in list(look.labels.items())[:5])
            raise DataError(
                f"{look.path}: two labels with at least {ENOUGH} rows each are needed, column {called!r} has {has}"
            )
        if len(kept) <= _LISTED or rare:
            yield f"labels: {flow(kept)}"
            if rare:
                some = " ".join(", ".join(rare[:5]).split()) + (", ..." if len(rare) > 5 else "")
                yield f"# Left out, with fewer than {ENOUGH} rows each: {some}."
                yield "# To rename one that is misspelt, give the corpus `labels: {misspelt: right}`."
        else:
            least = LEAST_EXAMPLES
            yield f"# Labels: those of the data, {len(kept)}. Each needs at least {least} examples to train on."
        yield ""


def left_out(look: Look) -> list[str]:
    """Labels that are too rare to learn."""
    return [label for label, rows in look.labels.items() if rows < ENOUGH]


def _cut(ids: list[int], longest: int) -> list[int]:
    return ids if len(ids) <= longest else [*ids[: longest - 1], ids[-1]]


class ClassificationJudge:
    """Accuracy on all validation examples, as measured anyway."""

    measure, higher_is_better = "accuracy", True

    def __init__(self, config: Config, tokenizer: Tokenizer, rows: Sequence[TextRow], labels: Sequence[str]) -> None:
        self._pad, self._separator, self._labels = config.pad_id, tokenizer.id("[SEP]"), labels
        read = [(row, formats.classification_prompt(tokenizer, row.source, row.pair)[0]) for row in rows]
        self._rows = [(row, ids) for row, ids in read if len(ids) <= config.max_prompt]

    @torch.no_grad()
    def __call__(self, model: Any, loss: float, accuracy: float) -> Answers:
        samples = []
        device = next(model.parameters()).device
        for row, ids in self._rows:
            read = Batch(prompts([np.array(ids)], self._pad, self._separator), (), ()).to(device)
            share, best = model(read.inputs).softmax(dim=1)[0].max(dim=0)
            text = row.source if row.pair is None else f"{row.source} | {row.pair}"
            samples.append(Shown(text, row.target, f"{self._labels[int(best)]} ({float(share):.0%})"))
        return Answers(accuracy, tuple(samples))


def classification_scores(recipe: Recipe, data: Path, answer: AnswerLabels) -> dict[str, Measured]:
    """Of every test: {"nsmc.test": {"accuracy": ..., "macro_f1": ..., "calibration_error": ..., "texts": ...}}.

    Of one without a label column, whose texts no label fits: {"unsure": ..., "confidence_below": ..., "texts": ...}.
    """
    chosen: dict[str, list[TextRow]] = {}
    for corpus in recipe.tests:
        chosen.setdefault(name_of(corpus), []).extend(read_corpus(CLASSIFY, recipe, corpus, data))
    hashes = hashes_of(recipe, data)
    return {
        name: label_scores(
            answer([row.source for row in rows], [row.pair for row in rows]),
            [row.target for row in rows],
            recipe.labels,
        ).of_file(hashes[name])
        for name, rows in chosen.items()
    }


CLASSIFY = Classify()
