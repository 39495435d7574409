"""What is measured of a model's answers: pure functions of the answers and what was expected.

Knows nothing of models, files or who answered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

LENGTHS = (5, 10, 20, 40)  # words: upper ends of the bins that translations are told apart by, the last one is open
BINS = 15  # of confidence, as Guo et al. have it


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

    @property
    def scores(self) -> dict[str, Any]:
        """What a manifest keeps."""
        return {
            "bleu": self.bleu,
            "chrf": self.chrf,
            "signature": self.signature,
            "chrf_signature": self.chrf_signature,
            "sentences": self.sentences,
        }


def translation_quality(
    hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a"
) -> TranslationQuality:
    """`tokenize` is sacrebleu's; BLEU of languages without spaces needs another one (zh, char).

    Raises ValueError when the lengths differ or there is nothing to measure.
    """
    from sacrebleu.metrics import BLEU, CHRF  # an extra: serving does not need it

    _check_lengths(hypotheses, references)
    measure, characters = BLEU(tokenize=tokenize), CHRF()
    score = measure.corpus_score(list(hypotheses), [list(references)])
    return TranslationQuality(
        bleu=round(score.score, 2),
        chrf=round(characters.corpus_score(list(hypotheses), [list(references)]).score, 2),
        signature=str(measure.get_signature()),
        chrf_signature=str(characters.get_signature()),
        sentences=len(references),
        brevity_penalty=round(score.bp, 4),
        length_ratio=round(score.sys_len / score.ref_len, 4) if score.ref_len else 0.0,
    )


@dataclass(frozen=True)
class LengthBin:
    """Sentences whose source has `least` to `most` words; None: any number above."""

    least: int
    most: int | None
    quality: TranslationQuality

    @property
    def name(self) -> str:
        return f"{self.least}+" if self.most is None else f"{self.least}-{self.most}"


def quality_by_length(
    sources: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    tokenize: str = "13a",
    lengths: Sequence[int] = LENGTHS,
) -> list[LengthBin]:
    """By the words of the source, split at spaces; bins without sentences are left out."""
    words = [len(source.split()) for source in sources]
    bins = []
    for least, most in zip((1, *(length + 1 for length in lengths)), (*lengths, None), strict=True):
        chosen = [index for index, count in enumerate(words) if least <= count <= (most or count)]
        if chosen:
            found = translation_quality([hypotheses[i] for i in chosen], [references[i] for i in chosen], tokenize)
            bins.append(LengthBin(least, most, found))
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
    from sacrebleu.metrics import CHRF

    measure = CHRF()
    found = [
        Sentence(source, hypothesis, reference, round(measure.sentence_score(hypothesis, [reference]).score, 2))
        for source, hypothesis, reference in zip(sources, hypotheses, references, strict=True)
    ]
    return sorted(found, key=lambda sentence: sentence.chrf)[:count]


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
        place = {label: index for index, label in enumerate(kept)}
        counts = [[0] * len(kept) for _ in kept]
        for answer, right in zip(given, expected, strict=True):
            counts[place[right]][place[answer]] += 1
        return cls(kept, tuple(map(tuple, counts)))

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


@dataclass(frozen=True)
class Calibration:
    bins: tuple[ReliabilityBin, ...]

    @property
    def error(self) -> float:
        """Expected calibration error: the bins' gaps between confidence and accuracy, weighted by their texts."""
        texts = sum(each.texts for each in self.bins)
        return sum(each.texts * abs(each.accuracy - each.confidence) for each in self.bins) / texts


def calibration(confidences: Sequence[float], right: Sequence[bool], bins: int = BINS) -> Calibration:
    """Whether answers of confidence p are right in a share p of the cases, in bins of equal width.

    Guo et al. 2017, "On calibration of modern neural networks". Raises ValueError when the lengths differ or there is
    nothing to measure.
    """
    _check_lengths(confidences, right)
    members: list[list[int]] = [[] for _ in range(bins)]
    for index, confidence in enumerate(confidences):
        members[min(max(math.ceil(confidence * bins) - 1, 0), bins - 1)].append(index)
    found = []
    for number, chosen in enumerate(members):
        texts = len(chosen)
        mean = sum(confidences[i] for i in chosen) / texts if texts else 0.0
        share = sum(right[i] for i in chosen) / texts if texts else 0.0
        found.append(ReliabilityBin(number / bins, (number + 1) / bins, texts, mean, share))
    return Calibration(tuple(found))


def interval(right: int, texts: int) -> tuple[float, float]:
    """In which a share lies with 95 % certainty, from `right` of `texts` (Wilson 1927)."""
    z = 1.959964
    share, squared = right / texts, z * z / texts
    middle = (share + squared / 2) / (1 + squared)
    half = z * math.sqrt(share * (1 - share) / texts + squared / (4 * texts)) / (1 + squared)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def perplexity(nats: float, tokens: int) -> float:
    """Of tokens whose summed negative log-likelihood is `nats`; comparable where the tokenizer is the same."""
    return math.exp(nats / tokens)


def bits_per_byte(nats: float, texts: Sequence[str]) -> float:
    """Of texts whose summed negative log-likelihood is `nats`: comparable across tokenizers.

    The end of a text is among the nats, but no byte of it is counted.
    """
    return nats / math.log(2) / sum(len(text.encode()) for text in texts)


def _check_lengths(answers: Sequence[Any], expected: Sequence[Any]) -> None:
    if len(answers) != len(expected) or not expected:
        raise ValueError(f"{len(answers)} answers for {len(expected)} expected ones")
