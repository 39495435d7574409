"""From what a translator said of test sentences to the curve of `models.confidence`, and how far that can be trusted.

The curve never falls (isotonic regression; Zadrozny and Elkan 2002, "Transforming classifier scores into accurate
multiclass probability estimates"), and its points are means over many sentences, so that none follows a single one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.confidence import ConfidenceCurve

BINS = 10  # of equally many sentences, along the curve and for its error
FOLDS = 5
FEWEST = 200  # sentences, below which a curve says more of them than of the model


def confidence_scores(direction: str, logprobs: Sequence[float], qualities: Sequence[float]) -> dict[str, Any] | None:
    """The curve through sentences with these mean log-probabilities and qualities (0 to 1), as scores keep it.

    `error`: mean distance of expected and measured quality over groups of sentences that are expected to be alike, each
    expected by a curve that was fitted without them. `correlation`: Pearson's, of the same. None for too few sentences.
    """
    x_N, y_N = np.array(logprobs, dtype=np.float64), np.array(qualities, dtype=np.float64)
    x_N, y_N = x_N[finite := np.isfinite(x_N)], y_N[finite]
    if len(x_N) < FEWEST:
        return None
    expected_N = np.empty_like(y_N)
    folds_N = np.random.default_rng(0).permutation(len(x_N)) % FOLDS
    for fold in range(FOLDS):
        curve = _fitted(x_N[folds_N != fold], y_N[folds_N != fold])
        expected_N[folds_N == fold] = [curve.at(x) for x in x_N[folds_N == fold]]
    groups = np.array_split(np.argsort(expected_N, kind="stable"), BINS)
    error = np.mean([abs(expected_N[group].mean() - y_N[group].mean()) for group in groups])
    varied = expected_N.std() > 0 and y_N.std() > 0
    return {
        "direction": direction,
        "quality": "chrf",
        "sentences": len(x_N),
        "error": round(float(error), 4),
        "correlation": round(float(np.corrcoef(expected_N, y_N)[0, 1]), 4) if varied else 0.0,
        "points": [[round(x, 4), round(y, 4)] for x, y in _fitted(x_N, y_N).points],
    }


def _fitted(x_N: np.ndarray, y_N: np.ndarray) -> ConfidenceCurve:
    """Neighbours that would fall are one point, until none falls (pool adjacent violators)."""
    order = np.argsort(x_N, kind="stable")
    pools: list[tuple[float, float, int]] = []  # means of both, sentences
    for group in np.array_split(order, BINS):
        pools.append((float(x_N[group].mean()), float(y_N[group].mean()), len(group)))
        while len(pools) > 1 and (pools[-2][1] > pools[-1][1] or pools[-2][0] >= pools[-1][0]):
            (x, y, n), (u, v, m) = pools[-2:]
            pools[-2:] = [((x * n + u * m) / (n + m), (y * n + v * m) / (n + m), n + m)]
    return ConfidenceCurve(tuple((x, y) for x, y, _ in pools))
