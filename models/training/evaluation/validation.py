"""What a model says at a validation: answers to a few held-out examples, to be shown, and a score.

The examples are the same at every validation, so that their answers can be compared, and few: a translator answers
greedily, and no longer than twice its source, so that what knows nothing yet takes no time to say so.
Knows nothing of the loop, of files or of what is done with the answers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Protocol

import numpy as np
import torch

from models import formats
from models.config import BertConfig, Config, GPTConfig, Seq2SeqConfig
from models.tokenizer import Tokenizer
from models.training.data.examples import Examples
from models.training.data.rows import Row
from models.training.evaluation.greedy import continuations
from models.training.evaluation.metrics import translation_quality
from models.training.objectives import Batch, prompts
from models.training.recipe import Recipe
from models.training.sections import RecipeError

_SHOWN = 300  # characters of a text
_CONTINUATION = 40  # ids that a generator says of each sample


@dataclass(frozen=True)
class Sample:
    """As it is shown: in one line each, cut where it is long, without what a terminal would obey."""

    source: str
    expected: str
    answer: str

    def __post_init__(self) -> None:
        for name, text in vars(self).items():
            line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
            object.__setattr__(self, name, line if len(line) <= _SHOWN else line[:_SHOWN] + "…")


@dataclass(frozen=True)
class Answers:
    score: float | None
    samples: tuple[Sample, ...]


class Judge(Protocol):
    measure: str  # of the score, as manifests call it
    higher_is_better: bool

    def __call__(self, model: Any, loss: float, accuracy: float) -> Answers:
        """`model` is in eval mode; loss and accuracy are those of all validation examples."""
        ...


def judge_of(
    recipe: Recipe, config: Config, tokenizer: Tokenizer, rows: Sequence[Row], examples: Examples
) -> Judge | None:
    """`rows` are held out, `examples` what became of them. None where there is nothing to ask for (pre-training).

    Raises RecipeError where `patience` counts by a score that cannot be computed.
    """
    shown = recipe.training.samples
    chosen = _varied(recipe, rows)
    if isinstance(config, Seq2SeqConfig):
        texts = recipe.training.score_texts if _has_sacrebleu() else 0
        if recipe.training.patience_by == "score" and not texts:
            raise RecipeError("patience_by is 'score', and sacrebleu is missing: pip install -e \".[train]\"")
        return TranslationJudge(config, tokenizer, chosen, texts=texts, shown=shown)
    if isinstance(config, GPTConfig):
        return GenerationJudge(config, tokenizer, chosen[:shown], examples)
    if recipe.task == "classify":
        return ClassificationJudge(config, tokenizer, chosen[:shown], recipe.labels)
    return None


class TranslationJudge:
    """BLEU of greedy translations."""

    measure, higher_is_better = "bleu", True

    def __init__(
        self, config: Seq2SeqConfig, tokenizer: Tokenizer, rows: Sequence[Row], *, texts: int, shown: int
    ) -> None:
        self._config, self._tokenizer, self._texts, self._shown = config, tokenizer, texts, shown
        self._rows: list[tuple[Row, list[int]]] = []
        for row in rows:
            ids = formats.translation_source(tokenizer, row.source, row.language or "")
            if len(ids) <= config.max_source and len(self._rows) < max(texts, shown):
                self._rows.append((row, ids))

    def __call__(self, model: Any, loss: float, accuracy: float) -> Answers:
        sources = [ids for _, ids in self._rows]
        limits = [min(self._config.max_output, 2 * len(ids) + 10) for ids in sources]
        said = [self._tokenizer.decode(ids) for ids in continuations(model, sources, limits)]
        rows = [row for row, _ in self._rows]
        score = None
        if expected := [formats.normalize(row.target) for row in rows[: self._texts]]:
            score = translation_quality(said[: self._texts], expected).bleu
        samples = [
            Sample(f"{row.source_language}→{row.language}: {row.source}", row.target, answer)
            for row, answer in zip(rows[: self._shown], said[: self._shown], strict=True)
        ]
        return Answers(score, tuple(samples))


class ClassificationJudge:
    """Accuracy on all validation examples, as measured anyway."""

    measure, higher_is_better = "accuracy", True

    def __init__(self, config: BertConfig, tokenizer: Tokenizer, rows: Sequence[Row], labels: Sequence[str]) -> None:
        self._config, self._separator, self._labels = config, tokenizer.id("[SEP]"), labels
        read = [(row, formats.classification_prompt(tokenizer, row.source, row.pair)[0]) for row in rows]
        self._rows = [(row, ids) for row, ids in read if len(ids) <= config.max_positions]

    @torch.no_grad()
    def __call__(self, model: Any, loss: float, accuracy: float) -> Answers:
        samples = []
        device = next(model.parameters()).device
        for row, ids in self._rows:
            read = Batch(prompts([np.array(ids)], self._config.pad_id, self._separator), (), ()).to(device)
            share, best = model(read.inputs).softmax(dim=1)[0].max(dim=0)
            text = row.source if row.pair is None else f"{row.source} | {row.pair}"
            samples.append(Sample(text, row.target, f"{self._labels[int(best)]} ({float(share):.0%})"))
        return Answers(accuracy, tuple(samples))


class GenerationJudge:
    """Bits per byte of all validation examples, each after its control token; the start of a text is gone on with."""

    measure, higher_is_better = "bits_per_byte", False

    def __init__(self, config: GPTConfig, tokenizer: Tokenizer, rows: Sequence[Row], examples: Examples) -> None:
        self._tokenizer = tokenizer
        scored, read = 0, 0
        for example in (examples[index] for index in range(len(examples))):
            scored += len(example.target)
            read += len(tokenizer.decode(example.target.tolist()).encode())
        self._bits_per_nat = scored / math.log(2) / max(read, 1)
        self._prompts: list[tuple[Sample, list[int], int]] = []  # what is to be said, ids to read, and room
        for row in rows:
            text = formats.normalize(row.target)[:_SHOWN]
            middle = text.find(" ", len(text) // 3)
            start, rest = text[:middle], text[middle:]
            given = f"{row.control or ''}{start}"
            ids = formats.generation_prompt(tokenizer, given)
            room = min(_CONTINUATION, config.context - len(ids))
            if middle > 0 and room > 0:
                self._prompts.append((Sample(given, rest, ""), ids, room))

    def __call__(self, model: Any, loss: float, accuracy: float) -> Answers:
        said = continuations(model, [ids for _, ids, _ in self._prompts], [room for _, _, room in self._prompts])
        samples = [
            replace(sample, answer=self._tokenizer.decode(answer))
            for (sample, _, _), answer in zip(self._prompts, said, strict=True)
        ]
        return Answers(loss * self._bits_per_nat, tuple(samples))


def _varied(recipe: Recipe, rows: Sequence[Row]) -> list[Row]:
    """In an order whose head has something of each language, label or control token, and is drawn by the seed."""
    groups: dict[tuple[str | None, ...], list[Row]] = {}
    for row in random.Random(recipe.seed).sample(rows, len(rows)):
        kind = (row.source_language, row.language, row.control, row.target if recipe.labels else "")
        groups.setdefault(kind, []).append(row)
    return [row for tier in zip_longest(*groups.values()) for row in tier if row is not None]


def _has_sacrebleu() -> bool:
    try:
        import sacrebleu  # noqa: F401
    except ImportError:
        return False
    return True
