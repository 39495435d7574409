"""How good a translation is to be expected, by how likely the model found it.

A model's mean log-probability says which of its translations are better, but not how good they are. That is measured
on a test file: a curve for each direction, which the scores of the checkpoint hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np

CONFIDENCE = "confidence"  # what a curve is called in the scores of a test


@dataclass(frozen=True)
class ConfidenceCurve:
    """Straight lines from point to point, and level beyond them."""

    points: tuple[tuple[float, float], ...]  # (mean log-probability of a token, expected quality from 0 to 1)

    def __post_init__(self) -> None:
        if not self.points or not all(math.isfinite(number) for point in self.points for number in point):
            raise ValueError(f"a confidence curve has {self.points!r}, expected points of two numbers")
        if any(left[0] >= right[0] or left[1] > right[1] for left, right in pairwise(self.points)):
            raise ValueError(f"the points of a confidence curve are {self.points!r}, expected rising ones")

    @classmethod
    def of(cls, points: Any) -> Self:
        """Raises ValueError."""
        try:
            return cls(tuple((float(logprob), float(quality)) for logprob, quality in points))
        except (TypeError, ValueError) as error:
            raise ValueError(f"a confidence curve has the points {points!r}: {error}") from error

    def at(self, logprob: float) -> float:
        """The expected quality, from 0 to 1."""
        logprobs, qualities = zip(*self.points, strict=True)
        return float(np.interp(logprob, logprobs, qualities))


def curves_in(scores: Mapping[str, Any]) -> dict[str, ConfidenceCurve]:
    """By direction, such as fr-en: the first that the scores of a checkpoint have for it. Raises ValueError."""
    found: dict[str, ConfidenceCurve] = {}
    for score in scores.values():
        measured = score.get(CONFIDENCE) if isinstance(score, Mapping) else None
        if isinstance(measured, Mapping) and measured.get("direction") not in found:
            found[str(measured.get("direction"))] = ConfidenceCurve.of(measured.get("points"))
    return found
