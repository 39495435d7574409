"""What is measured of a model's answers: pure functions of the answers and what was expected.

Knows nothing of models, files or who answered.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np

from models.training.evaluation.resampling import Interval, Sample, Share

LENGTHS = (5, 10, 20, 40)  # words: upper ends of the bins that translations are told apart by, the last one is open
BINS = 15  # of confidence, as Guo et al. have it
# How sacrebleu splits what BLEU counts, where it is not by 13a, which splits at spaces. In Korean a word stands between
# them with its particles, and writers set them freely; sacrebleu's own way, ko-mecab, needs a native library.
_TOKENIZERS = {"zh": "zh", **dict.fromkeys(("ja", "ko", "th", "lo", "km", "my"), "char")}


def tokenizer_of(language: str) -> str:
    """sacrebleu's name of what BLEU of translations into a language is computed with."""
    return _TOKENIZERS.get(language.split("_")[0], "13a")


def headline_of(scores: Any) -> str:
    """Which of a translator's measures it is judged by: BLEU of words, and chrF where there are only characters."""
    return "chrf" if "tok:char" in str(scores.get("signature", "")) else "bleu"


@dataclass(frozen=True, kw_only=True)
class TranslationQuality:
    """Corpus BLEU (Papineni et al. 2002) and chrF (Popović 2015) of cased text, with sacrebleu's signatures."""

    bleu: float
    chrf: float
    signature: str  # of BLEU (Post 2018): scores compare where it is the same
    chrf_signature: str
    sentences: int
    brevity_penalty: float  # what BLEU was multiplied with because the translations are too short; 1: they are not
    length_ratio: float  # tokens of the translations / of the references
    samples: dict[str, Sample] = field(repr=False, compare=False)  # bleu, chrf

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Of 95 %, by bootstrap over the sentences: a validation that asks for the score alone does not wait for it."""
        return {name: rounded(sample.interval(), 2) for name, sample in self.samples.items()}

    @property
    def headline(self) -> str:
        return headline_of({"signature": self.signature})

    @property
    def scores(self) -> dict[str, Any]:
        """What a manifest keeps."""
        return {
            "bleu": self.bleu,
            "chrf": self.chrf,
            "intervals": {measure: list(interval) for measure, interval in self.intervals.items()},
            "signature": self.signature,
            "chrf_signature": self.chrf_signature,
            "sentences": self.sentences,
        }


def translation_quality(
    hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a"
) -> TranslationQuality:
    """`tokenize` is sacrebleu's: see `tokenizer_of`.

    Raises ValueError when the lengths differ, there is nothing to measure, or sacrebleu has no such tokenizer.
    """
    from sacrebleu.metrics import BLEU, CHRF  # an extra: serving does not need it

    _check_lengths(hypotheses, references)
    if tokenize not in BLEU.TOKENIZERS:
        raise ValueError(f"BLEU has no tokenizer {tokenize!r}; there are {', '.join(sorted(BLEU.TOKENIZERS))}")
    measure, characters = BLEU(tokenize=tokenize), CHRF()
    samples = {
        name: Sample(
            # What sacrebleu's own bootstrap resamples: n-grams that match, n-grams, lengths.
            np.array(metric._extract_corpus_statistics(list(hypotheses), [list(references)]), dtype=np.float64),
            lambda sums, metric=metric: metric._compute_score_from_stats(sums).score,  # type: ignore[misc]
        )
        for name, metric in (("bleu", measure), ("chrf", characters))
    }
    score = measure._compute_score_from_stats(samples["bleu"].statistics_NS.sum(0).tolist())
    return TranslationQuality(
        bleu=round(score.score, 2),
        chrf=round(samples["chrf"].value, 2),
        signature=str(measure.get_signature()),
        chrf_signature=str(characters.get_signature()),
        sentences=len(references),
        brevity_penalty=round(score.bp, 4),
        length_ratio=round(score.sys_len / score.ref_len, 4) if score.ref_len else 0.0,
        samples=samples,
    )


def quality_by_length(
    sources: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    tokenize: str = "13a",
    lengths: Sequence[int] = LENGTHS,
) -> dict[str, TranslationQuality]:
    """By the words of the source, split at spaces: {"1-5": ..., "41+": ...}; bins without sentences are left out."""
    words = [len(source.split()) for source in sources]
    bins = {}
    for least, most in zip((1, *(length + 1 for length in lengths)), (*lengths, None), strict=True):
        chosen = [index for index, count in enumerate(words) if least <= count <= (most or count)]
        if chosen:
            found = translation_quality([hypotheses[i] for i in chosen], [references[i] for i in chosen], tokenize)
            bins[f"{least}-{most}" if most else f"{least}+"] = found
    return bins


@dataclass(frozen=True)
class Sentence:
    source: str
    hypothesis: str
    reference: str
    chrf: float


def worst_sentences(
    sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str], count: int
) -> list[Sentence]:
    """By their own chrF: it still tells sentences apart that share no four words with the reference, BLEU does not."""
    scores = sentence_chrf(hypotheses, references)
    found = [Sentence(*each) for each in zip(sources, hypotheses, references, scores, strict=True)]
    return sorted(found, key=lambda sentence: sentence.chrf)[:count]


def sentence_chrf(hypotheses: Sequence[str], references: Sequence[str]) -> list[float]:
    """Of each sentence by itself, from 0 to 100."""
    from sacrebleu.metrics import CHRF

    measure = CHRF()
    return [
        round(measure.sentence_score(hypothesis, [reference]).score, 2)
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]


@dataclass(frozen=True)
class LabelQuality:
    label: str
    precision: float  # of the texts that got the label, the share that have it; 0 where none got it
    recall: float  # of the texts that have the label, the share that got it; 0 where none has it
    f1: float
    texts: int  # that have it


@dataclass(frozen=True)
class Confusion:
    """How often a text of one label got which."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]  # a row for each expected label, a column for each given one

    @classmethod
    def of(cls, given: Sequence[str], expected: Sequence[str], labels: Sequence[str]) -> Confusion:
        """Of `labels`, those that occur are kept. Raises ValueError for other labels, or answers that do not fit."""
        _check_lengths(given, expected)
        occurring = {*given, *expected}
        unknown = sorted(occurring - set(labels))
        if unknown:
            raise ValueError(f"labels {unknown} are not among {list(labels)}")
        kept = tuple(label for label in labels if label in occurring)
        counts = Counter(zip(expected, given, strict=True))
        return cls(kept, tuple(tuple(counts[right, answer] for answer in kept) for right in kept))

    @property
    def texts(self) -> int:
        return sum(map(sum, self.counts))

    @property
    def right(self) -> int:
        return sum(row[index] for index, row in enumerate(self.counts))

    @property
    def accuracy(self) -> float:
        return self.right / self.texts

    @property
    def majority(self) -> float:
        """The accuracy of always giving the most frequent label."""
        return max(map(sum, self.counts)) / self.texts

    @cached_property
    def by_label(self) -> tuple[LabelQuality, ...]:
        found = []
        for index, label in enumerate(self.labels):
            right, texts = self.counts[index][index], sum(self.counts[index])
            given = sum(row[index] for row in self.counts)
            f1 = 2 * right / (texts + given) if texts + given else 0.0
            found.append(
                LabelQuality(label, right / given if given else 0.0, right / texts if texts else 0.0, f1, texts)
            )
        return tuple(found)

    @property
    def macro_f1(self) -> float:
        """The mean of the labels' F1, each counting the same however rare it is."""
        return sum(quality.f1 for quality in self.by_label) / len(self.by_label)


@dataclass(frozen=True)
class ReliabilityBin:
    """Answers whose confidence is above `low` and not above `high`."""

    low: float
    high: float
    texts: int
    confidence: float  # mean; 0 of an empty bin
    accuracy: float


def reliability(confidences: Sequence[float], right: Sequence[bool], bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """Whether answers of confidence p are right in a share p of the cases, in bins of equal width.

    Guo et al. 2017, "On calibration of modern neural networks". Raises ValueError when the lengths differ or there is
    nothing to measure.
    """
    _check_lengths(confidences, right)
    members: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for answer in zip(confidences, right, strict=True):
        members[_bin_of(answer[0], bins)].append(answer)
    found = []
    for number, answers in enumerate(members):
        confidence, accuracy = map(fmean, zip(*answers, strict=True)) if answers else (0.0, 0.0)
        found.append(ReliabilityBin(number / bins, (number + 1) / bins, len(answers), confidence, accuracy))
    return tuple(found)


def _bin_of(confidence: float, bins: int) -> int:
    return min(max(math.ceil(confidence * bins) - 1, 0), bins - 1)


def label_samples(given: Sequence[str], expected: Sequence[str], labels: Sequence[str]) -> dict[str, Sample]:
    """Of accuracy and macro F1. `labels`: all that occur. Raises ValueError as `reliability`."""
    _check_lengths(given, expected)
    one_hot = dict(zip(labels, np.eye(len(labels)), strict=True))
    given_NL, expected_NL = (np.array([one_hot[label] for label in each]) for each in (given, expected))
    return {
        "accuracy": Share([answer == label for answer, label in zip(given, expected, strict=True)]),
        "macro_f1": Sample(np.hstack([given_NL * expected_NL, given_NL + expected_NL]), _macro_f1),
    }


def calibration_sample(confidences: Sequence[float], right: Sequence[bool]) -> Sample:
    """Of the expected calibration error: the gaps of `reliability`'s bins, weighted by their texts."""
    _check_lengths(confidences, right)
    in_bin_NB = np.eye(BINS)[[_bin_of(confidence, BINS) for confidence in confidences]]
    gaps_N = np.asarray(right) - np.asarray(confidences, dtype=np.float64)
    return Sample(
        np.hstack([in_bin_NB * gaps_N[:, None], np.ones((len(gaps_N), 1))]),
        lambda sums: float(np.abs(sums[:-1]).sum() / sums[-1]),
        lower_is_better=True,
    )


def _macro_f1(sums: Sequence[float]) -> float:
    """From texts that have a label and got it, and from those that have it plus those that got it, label by label."""
    right_L, either_L = np.split(np.asarray(sums), 2)
    occurring_L = either_L > 0
    return float((2 * right_L[occurring_L] / either_L[occurring_L]).mean())


def perplexity(nats: float, tokens: float) -> float:
    """Of tokens whose summed negative log-likelihood is `nats`; comparable where the tokenizer is the same."""
    return math.exp(nats / tokens)


def bits_per_byte(nats: float, texts: Sequence[str]) -> float:
    """Of texts whose summed negative log-likelihood is `nats`: comparable across tokenizers.

    The end of a text is among the nats, but no byte of it is counted.
    """
    return nats / math.log(2) / sum(len(text.encode()) for text in texts)


def text_samples(nats: Sequence[float], tokens: Sequence[int], sizes: Sequence[int]) -> dict[str, Sample]:
    """Of bits per byte and perplexity: of each text its nats, its tokens, and its bytes as the model reads it."""
    return {
        "bits_per_byte": Sample(
            np.array([nats, sizes], dtype=np.float64).T,
            lambda sums: sums[0] / math.log(2) / sums[1],
            lower_is_better=True,
        ),
        "perplexity": _perplexity_sample(nats, tokens),
    }


def masked_word_samples(right: Sequence[int], words: Sequence[int], nats: Sequence[float]) -> dict[str, Sample]:
    """Of each text: how many of its hidden words were guessed, how many were hidden, and what they cost."""
    of_each = np.array([right, words, nats], dtype=np.float64)
    right_N, words_N, nats_N = of_each[:, of_each[1] > 0]  # a text of signs alone has none
    return {
        "masked_word_accuracy": Sample(np.stack([right_N, words_N], axis=1), lambda sums: sums[0] / sums[1]),
        "masked_word_perplexity": _perplexity_sample(nats_N.tolist(), words_N.tolist()),
    }


def _perplexity_sample(nats: Sequence[float], tokens: Sequence[float]) -> Sample:
    return Sample(np.array([nats, tokens], dtype=np.float64).T, lambda sums: perplexity(*sums), lower_is_better=True)


def rounded(interval: Interval, digits: int) -> Interval:
    return round(interval[0], digits), round(interval[1], digits)


def _check_lengths(answers: Sequence[Any], expected: Sequence[Any]) -> None:
    if len(answers) != len(expected) or not expected:
        raise ValueError(f"{len(answers)} answers for {len(expected)} expected ones")
