"""How certain a score is, and whether one model's is worse than another's on the same texts.

Knows nothing of what is measured: a measure is a function of statistics that are summed over texts.
Shapes: N texts, S statistics, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar

import numpy as np

Interval = tuple[float, float]
RESAMPLES = 1000  # of an interval
COMPARISONS = 10_000  # resamples of a comparison: the smallest p is 1e-4, which fifty tests of a family still need
SEED = 1
_CHUNK = 100  # resamples that are drawn at once
_NORMAL = NormalDist()
Z95 = _NORMAL.inv_cdf(0.975)


@dataclass(frozen=True, eq=False)
class Sample:
    """A measure, text by text."""

    statistics_NS: np.ndarray
    score: Callable[[Sequence[float]], float]  # of the statistics' sums over texts
    lower_is_better: bool = False

    method: ClassVar[str] = "paired bootstrap"

    @property
    def value(self) -> float:
        return self.score(self.statistics_NS.sum(0).tolist())

    def interval(self, resamples: int = RESAMPLES, seed: int = SEED) -> Interval:
        """In which the measure lies with 95 % certainty, had other texts of the same kind been drawn.

        The bias-corrected percentiles of resamples (Efron 1981, "Nonparametric standard errors and confidence
        intervals"): those of a calibration error are larger than itself, which plain percentiles would pass on.
        """
        value = self.value
        values_R = np.array([self.score(sums.tolist()) for [sums] in _resampled([self.statistics_NS], resamples, seed)])
        below = ((values_R < value).mean() + (values_R <= value).mean()) / 2
        bias = _NORMAL.inv_cdf(float(np.clip(below, 0.5 / resamples, 1 - 0.5 / resamples)))
        low, high = np.quantile(values_R, [_NORMAL.cdf(2 * bias - Z95), _NORMAL.cdf(2 * bias + Z95)])
        return min(float(low), value), max(float(high), value)

    def p_worse_than(self, other: Sample, resamples: int = COMPARISONS, seed: int = SEED) -> float:
        """One-sided p of being worse than `other` on the same texts: how often a resample of the texts denies it.

        Paired bootstrap resampling (Koehn 2004, "Statistical significance tests for machine translation evaluation").
        Raises ValueError where the texts are not as many.
        """
        self._check(other)
        denied = 0
        for mine, others in _resampled([self.statistics_NS, other.statistics_NS], resamples, seed):
            gain = self.score(mine.tolist()) - other.score(others.tolist())
            denied += gain <= 0 if self.lower_is_better else gain >= 0
        return (denied + 1) / (resamples + 1)

    def _check(self, other: Sample) -> None:
        if len(self.statistics_NS) != len(other.statistics_NS):
            raise ValueError(f"{len(self.statistics_NS)} texts cannot be paired with {len(other.statistics_NS)}")


class Share(Sample):
    """A measure that is the share of the texts that came out right, for which nothing needs to be drawn."""

    method = "McNemar"

    def __init__(self, right: Sequence[bool]) -> None:
        super().__init__(np.array([[bool(each), 1] for each in right], dtype=np.int64), lambda sums: sums[0] / sums[1])

    def interval(self, resamples: int = RESAMPLES, seed: int = SEED) -> Interval:
        right, texts = self.statistics_NS.sum(0).tolist()
        return wilson(right, texts)

    def p_worse_than(self, other: Sample, resamples: int = COMPARISONS, seed: int = SEED) -> float:
        """McNemar's test (1947), exact: were both equally good, either would be the one that is right equally often."""
        self._check(other)
        mine_N, others_N = self.statistics_NS[:, 0], other.statistics_NS[:, 0]
        lost, won = int((others_N > mine_N).sum()), int((mine_N > others_N).sum())
        return _at_least_heads(lost, lost + won)


def wilson(right: int, texts: int) -> Interval:
    """In which a share lies with 95 % certainty, from `right` of `texts` (Wilson 1927)."""
    share, squared = right / texts, Z95 * Z95 / texts
    middle = (share + squared / 2) / (1 + squared)
    half = Z95 * math.sqrt(share * (1 - share) / texts + squared / (4 * texts)) / (1 + squared)
    return max(middle - half, 0.0), min(middle + half, 1.0)


@dataclass(frozen=True)
class Proportion:
    """So many of so many."""

    count: int
    of: int

    @classmethod
    def among(cls, each: Iterable[bool]) -> Proportion:
        """Of what holds."""
        held = list(each)
        return cls(sum(held), len(held))

    @property
    def value(self) -> float:
        return self.count / self.of

    @property
    def interval(self) -> Interval:
        """Wilson's, with 95 % certainty; of nothing, anything may be."""
        return wilson(self.count, self.of) if self.of else (0.0, 1.0)


def holm(ps: Sequence[float], level: float) -> list[bool]:
    """Which of several tests are significant; that any of them is so by chance has at most the probability `level`.

    Holm 1979, "A simple sequentially rejective multiple test procedure". However the tests depend on each other.
    """
    significant = [False] * len(ps)
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        if not ps[index] <= level / (len(ps) - rank):
            break
        significant[index] = True
    return significant


def _resampled(samples_NS: Sequence[np.ndarray], resamples: int, seed: int) -> Iterator[list[np.ndarray]]:
    """Sums of each sample's statistics over N texts drawn with replacement, the same texts of each sample: [S] each."""
    random = np.random.default_rng(seed)
    texts = len(samples_NS[0])
    for first in range(0, resamples, _CHUNK):
        drawn_RN = random.integers(texts, size=(min(_CHUNK, resamples - first), texts))
        times_RN = np.stack([np.bincount(row, minlength=texts) for row in drawn_RN]).astype(np.float64)
        yield from map(list, zip(*(times_RN @ statistics_NS for statistics_NS in samples_NS), strict=True))


def _at_least_heads(heads: int, tosses: int) -> float:
    """The probability that so many tosses of a fair coin give at least `heads` heads."""
    if not heads:
        return 1.0
    whole = math.lgamma(tosses + 1) - tosses * math.log(2)
    chances = (math.exp(whole - math.lgamma(k + 1) - math.lgamma(tosses - k + 1)) for k in range(heads, tosses + 1))
    return min(math.fsum(chances), 1.0)
