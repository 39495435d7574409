"""Scores on the tests a recipe names, as a manifest keeps them, from answers somebody else computes.

`answer` is any function from inputs to outputs: the serving engine (`service.scoring`), a running service, or another
system that is compared with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models import formats
from models.checkpoint import sha256_of
from models.training.data.readers import path_of
from models.training.data.rows import Row, read_corpus
from models.training.data.splits import read_splits
from models.training.evaluation.likelihood import Likelihood, MaskedWords
from models.training.evaluation.metrics import (
    label_samples,
    masked_word_samples,
    rounded,
    text_samples,
    tokenizer_of,
    translation_quality,
)
from models.training.evaluation.resampling import Sample, wilson
from models.training.evaluation.training_text import FAR, TrainingText
from models.training.recipe import Recipe
from models.training.sections import Corpus

HELD_OUT = "held-out reviews"  # of a generator: the texts its recipe holds out
SURE = 0.8  # a confidence; of a text that no label fits it is to be lower
HELD_OUT_WORDS = "held-out words"  # of an encoder's pre-training


@dataclass(frozen=True)
class Answered:
    """What a classifier says of one text."""

    label: str
    confidence: float  # its probability


@dataclass(frozen=True, eq=False)
class Measured:
    """One test."""

    scores: dict[str, Any]  # as a manifest keeps them
    judged: tuple[str, Sample] | None = None  # the measure by which two versions are compared; None: they are not

    def of_file(self, sha256: str) -> Measured:
        """With the hash of the file it was measured on."""
        return replace(self, scores={**self.scores, "sha256": sha256})


# Texts, source and target language, beam width. None: it does not translate that way.
AnswerTranslations = Callable[[Sequence[str], str, str, int], Sequence[str] | None]
# Texts, and each one's second text where it has one.
AnswerLabels = Callable[[Sequence[str], Sequence[str | None]], Sequence[Answered]]
AnswerLikelihood = Callable[[Sequence[str]], Likelihood]
# Texts or pairs, and the seed that chooses the words to hide.
AnswerMaskedWords = Callable[[Sequence[tuple[str, str | None]], int], MaskedWords]


def translation_scores(
    recipe: Recipe, data: Path, answer: AnswerTranslations, trained_on: TrainingText | None = None
) -> dict[str, Measured]:
    """Of every test, direction and beam width, and of its far sentences where `trained_on` tells which they are.

    {"tatoeba.fr-en.test fr-en": {"bleu": ...}, "... fr-en, beam 4": ..., "... fr-en, beam 4, far": ...}
    """
    chosen: dict[tuple[str, str, str], list[Row]] = {}
    for corpus in recipe.tests:
        rows = list(read_corpus(recipe, corpus, data))
        for source, target in corpus.pairs:
            # Each row is of one direction; which one, its target language says.
            own = [row for row in rows if row.language == target]
            chosen.setdefault((name_of(corpus), source, target), []).extend(own)
    hashes = _hashes(recipe, data)
    scores: dict[str, Measured] = {}
    for (name, source, target), rows in chosen.items():
        sources, references = [row.source for row in rows], [row.target for row in rows]
        far = trained_on.far(source, target, sources, references) if trained_on else []
        kept = [index for index, is_far in enumerate(far) if is_far]
        for beams in recipe.beams:
            hypotheses = answer(sources, source, target, beams)
            if hypotheses is None:
                continue
            key = f"{name} {source}-{target}" + (f", beam {beams}" if beams > 1 else "")
            scores[key] = translated(hypotheses, references, target).of_file(hashes[name])
            if kept:
                part = translated([hypotheses[n] for n in kept], [references[n] for n in kept], target)
                subset = {**part.of_file(hashes[name]).scores, "subset": FAR}
                # Which sentences are far depends on what this version read, so that no other one is judged by them.
                scores[f"{key}, far"] = Measured(subset)
    return scores


def translated(hypotheses: Sequence[str], references: Sequence[str], language: str) -> Measured:
    quality = translation_quality(hypotheses, references, tokenizer_of(language))
    return Measured(quality.scores, (quality.headline, quality.samples[quality.headline]))


def classification_scores(recipe: Recipe, data: Path, answer: AnswerLabels) -> dict[str, Measured]:
    """Of every test: {"nsmc.test": {"accuracy": ..., "macro_f1": ..., "calibration_error": ..., "texts": ...}}.

    Of one without a label column, whose texts no label fits: {"unsure": ..., "confidence_below": ..., "texts": ...}.
    """
    chosen: dict[str, list[Row]] = {}
    for corpus in recipe.tests:
        chosen.setdefault(name_of(corpus), []).extend(read_corpus(recipe, corpus, data))
    hashes = _hashes(recipe, data)
    return {
        name: label_scores(
            answer([row.source for row in rows], [row.pair for row in rows]),
            [row.target for row in rows],
            recipe.labels,
        ).of_file(hashes[name])
        for name, rows in chosen.items()
    }


def label_scores(answers: Sequence[Answered], expected: Sequence[str], labels: Sequence[str]) -> Measured:
    """`labels`: those that may be expected; an answer may be another one, which is wrong. Of texts that no label fits,
    the share that is answered with a confidence below `SURE`.

    Raises ValueError when the lengths differ or there is nothing to measure.
    """
    if not any(expected):
        unsure = sum(answer.confidence < SURE for answer in answers)
        low, high = wilson(unsure, len(answers))
        return Measured(
            {
                "unsure": round(unsure / len(answers), 4),
                "intervals": {"unsure": [round(low, 4), round(high, 4)]},
                "confidence_below": SURE,
                "texts": len(answers),
            }
        )
    given = [answer.label for answer in answers]
    samples = label_samples(
        given, [answer.confidence for answer in answers], expected, sorted({*labels, *given, *expected})
    )
    return Measured({**_figures(samples, 4), "texts": len(expected)}, ("accuracy", samples["accuracy"]))


def generation_scores(
    recipe: Recipe, data: Path, directory: Path, answer: AnswerLikelihood, say: Callable[[str], None]
) -> dict[str, Measured]:
    """Of held-out texts and of every test, without control tokens: {"held-out reviews": {"bits_per_byte": ...}}.

    `directory` is the run's, or any other to spool the data in.
    """
    chosen = {HELD_OUT: [row.target for row in read_splits(recipe, data, directory, say).validation]}
    for corpus in recipe.tests:
        chosen.setdefault(name_of(corpus), []).extend(row.target for row in read_corpus(recipe, corpus, data))
    hashes = {HELD_OUT: _hash_of_texts(chosen[HELD_OUT]), **_hashes(recipe, data)}
    return {name: text_scores(answer(texts), texts).of_file(hashes[name]) for name, texts in chosen.items()}


def pretraining_scores(
    recipe: Recipe, data: Path, directory: Path, answer: AnswerMaskedWords, say: Callable[[str], None]
) -> dict[str, Measured]:
    """Of the held-out texts: {"held-out words": {"masked_word_accuracy": ...}}. `directory` as for a generator."""
    rows = read_splits(recipe, data, directory, say).validation
    texts = [(row.source, row.target or None) for row in rows]
    found = masked_word_scores(answer(texts, recipe.seed), len(texts))
    return {HELD_OUT_WORDS: found.of_file(_hash_of_texts([f"{first}\t{second or ''}" for first, second in texts]))}


def masked_word_scores(found: MaskedWords, texts: int) -> Measured:
    """Raises ValueError where the texts have no word to hide."""
    if not found.words:
        raise ValueError(f"{texts} texts have no word to hide")
    samples = masked_word_samples(found.right_each, found.words_each, found.nats_each)
    accuracy = samples["masked_word_accuracy"]
    figures = _figures(samples, 4, masked_word_perplexity=2)
    return Measured({**figures, "texts": texts}, ("masked_word_accuracy", accuracy))


def text_scores(found: Likelihood, texts: Sequence[str]) -> Measured:
    """Of texts as they are written; what a model reads of them is normalized, and those are the bytes that count."""
    sizes = [len(formats.normalize(text).encode()) for text in texts]
    samples = text_samples(found.nats_each, found.tokens_each, sizes)
    figures = _figures(samples, 4, perplexity=2)
    return Measured({**figures, "texts": len(texts)}, ("bits_per_byte", samples["bits_per_byte"]))


def _figures(samples: Mapping[str, Sample], digits: int, **other_digits: int) -> dict[str, Any]:
    """Each measure's value, and all their intervals."""
    values = {name: round(sample.value, other_digits.get(name, digits)) for name, sample in samples.items()}
    intervals = {
        name: list(rounded(sample.interval(), other_digits.get(name, digits))) for name, sample in samples.items()
    }
    return {**values, "intervals": intervals}


def name_of(corpus: Corpus) -> str:
    """What its scores are kept under: the file's name, of parallel files the first one's, without the last suffix."""
    return Path(corpus.file or next(iter(corpus.files.values()))).stem


def _hashes(recipe: Recipe, data: Path) -> dict[str, str]:
    """SHA-256 of the file behind each test's name; where they are several, of their hashes."""
    files: dict[str, list[Path]] = {}
    for corpus in recipe.tests:
        files.setdefault(name_of(corpus), []).extend(
            path_of(data, file) for file in corpus.files.values() or (corpus.file,)
        )
    found = {}
    for name, paths in files.items():
        hashes = [sha256_of(path) for path in dict.fromkeys(paths)]
        found[name] = hashes[0] if len(hashes) == 1 else _hash_of_texts(hashes)
    return found


def _hash_of_texts(texts: Sequence[str]) -> str:
    return hashlib.sha256("".join(f"{text}\n" for text in texts).encode()).hexdigest()
