"""Scores on the tests a recipe names, as a manifest keeps them, from answers somebody else computes.

`answer` is any function from inputs to outputs: the serving engine (`service.scoring`), a running service, or another
system that is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import formats
from models.training.data.rows import Row, read_corpus
from models.training.data.splits import read_splits
from models.training.evaluation.likelihood import Likelihood, MaskedWords
from models.training.evaluation.metrics import Confusion, bits_per_byte, calibration, perplexity, translation_quality
from models.training.recipe import Corpus, Recipe

HELD_OUT = "held-out reviews"  # of a generator: the texts its recipe holds out
SURE = 0.8  # a confidence; of a text that no label fits it is to be lower
HELD_OUT_WORDS = "held-out words"  # of an encoder's pre-training


@dataclass(frozen=True)
class Answered:
    """What a classifier says of one text."""

    label: str
    confidence: float  # its probability


# Texts, source and target language, beam width.
AnswerTranslations = Callable[[Sequence[str], str, str, int], Sequence[str]]
# Texts, and each one's second text where it has one.
AnswerLabels = Callable[[Sequence[str], Sequence[str | None]], Sequence[Answered]]
AnswerLikelihood = Callable[[Sequence[str]], Likelihood]
# Texts or pairs, and the seed that chooses the words to hide.
AnswerMaskedWords = Callable[[Sequence[tuple[str, str | None]], int], MaskedWords]


def translation_scores(recipe: Recipe, data: Path, answer: AnswerTranslations) -> dict[str, Any]:
    """Of every test, direction and beam width: {"tatoeba.fr-en.test fr-en": {"bleu": ...}, "... fr-en, beam 4": ...}"""
    chosen: dict[tuple[str, str, str], list[Row]] = {}
    for corpus in recipe.tests:
        rows = list(read_corpus(recipe, corpus, data))
        for source, target in corpus.pairs:
            # Each row is of one direction; which one, its target language says.
            own = [row for row in rows if row.language == target]
            chosen.setdefault((name_of(corpus), source, target), []).extend(own)
    scores = {}
    for (name, source, target), rows in chosen.items():
        for beams in recipe.beams:
            hypotheses = answer([row.source for row in rows], source, target, beams)
            key = f"{name} {source}-{target}" + (f", beam {beams}" if beams > 1 else "")
            scores[key] = translation_quality(hypotheses, [row.target for row in rows]).scores
    return scores


def classification_scores(recipe: Recipe, data: Path, answer: AnswerLabels) -> dict[str, Any]:
    """Of every test: {"nsmc.test": {"accuracy": ..., "macro_f1": ..., "calibration_error": ..., "texts": ...}}.

    Of one without a label column, whose texts no label fits: {"unsure": ..., "confidence_below": ..., "texts": ...}.
    """
    chosen: dict[str, list[Row]] = {}
    for corpus in recipe.tests:
        chosen.setdefault(name_of(corpus), []).extend(read_corpus(recipe, corpus, data))
    return {
        name: label_scores(
            answer([row.source for row in rows], [row.pair for row in rows]),
            [row.target for row in rows],
            recipe.labels,
        )
        for name, rows in chosen.items()
    }


def label_scores(answers: Sequence[Answered], expected: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """Of texts that no label fits, the share that is answered with a confidence below `SURE`."""
    if not any(expected):
        unsure = sum(answer.confidence < SURE for answer in answers)
        return {"unsure": round(unsure / len(answers), 4), "confidence_below": SURE, "texts": len(answers)}
    confusion = Confusion.of([answer.label for answer in answers], expected, labels)
    right = [answer.label == label for answer, label in zip(answers, expected, strict=True)]
    return {
        "accuracy": round(confusion.accuracy, 4),
        "macro_f1": round(confusion.macro_f1, 4),
        "calibration_error": round(calibration([answer.confidence for answer in answers], right).error, 4),
        "texts": confusion.texts,
    }


def generation_scores(
    recipe: Recipe, data: Path, directory: Path, answer: AnswerLikelihood, say: Callable[[str], None]
) -> dict[str, Any]:
    """Of held-out texts and of every test, without control tokens: {"held-out reviews": {"bits_per_byte": ...}}.

    `directory` is the run's, or any other to spool the data in.
    """
    chosen = {HELD_OUT: [row.target for row in read_splits(recipe, data, directory, say).validation]}
    for corpus in recipe.tests:
        chosen.setdefault(name_of(corpus), []).extend(row.target for row in read_corpus(recipe, corpus, data))
    return {name: text_scores(answer(texts), texts) for name, texts in chosen.items()}


def pretraining_scores(
    recipe: Recipe, data: Path, directory: Path, answer: AnswerMaskedWords, say: Callable[[str], None]
) -> dict[str, Any]:
    """Of the held-out texts: {"held-out words": {"masked_word_accuracy": ...}}. `directory` as for a generator."""
    rows = read_splits(recipe, data, directory, say).validation
    texts = [(row.source, row.target or None) for row in rows]
    return {HELD_OUT_WORDS: masked_word_scores(answer(texts, recipe.seed), len(texts))}


def masked_word_scores(found: MaskedWords, texts: int) -> dict[str, Any]:
    """Raises ValueError where the texts have no word to hide."""
    if not found.words:
        raise ValueError(f"{texts} texts have no word to hide")
    return {
        "masked_word_accuracy": round(found.right / found.words, 4),
        "masked_word_perplexity": round(perplexity(found.nats, found.words), 2),
        "texts": texts,
    }


def text_scores(found: Likelihood, texts: Sequence[str]) -> dict[str, Any]:
    """Of texts as they are written; what a model reads of them is normalized, and those are the bytes that count."""
    return {
        "bits_per_byte": round(bits_per_byte(found.nats, [formats.normalize(text) for text in texts]), 4),
        "perplexity": round(perplexity(found.nats, found.tokens), 2),
        "texts": len(texts),
    }


def name_of(corpus: Corpus) -> str:
    """What its scores are kept under: the file's name, of parallel files the first one's, without the last suffix."""
    return Path(corpus.file or next(iter(corpus.files.values()))).stem
