from __future__ import annotations

import numpy as np
import pytest

from models.confidence import ConfidenceCurve
from models.training.evaluation.confidence import FEWEST, confidence_scores


def sentences(count: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    logprobs = -random.exponential(0.4, count)
    return logprobs, np.clip(0.9 * np.exp(logprobs) + random.normal(0, noise, count), 0, 1)


def test_a_curve_follows_what_was_measured() -> None:
    logprobs, qualities = sentences(4000, noise=0.1)
    found = confidence_scores("fr-en", logprobs.tolist(), qualities.tolist())
    assert found is not None
    curve = ConfidenceCurve.of(found["points"])
    for logprob in (-1.0, -0.5, -0.2, -0.1):
        assert curve.at(logprob) == pytest.approx(0.9 * np.exp(logprob), abs=0.05)
    assert found["error"] < 0.02
    assert found["correlation"] > 0.8
    assert (found["direction"], found["sentences"]) == ("fr-en", 4000)


def test_where_log_probabilities_say_nothing_everything_is_expected_to_be_as_good_as_the_mean() -> None:
    random = np.random.default_rng(1)
    qualities = random.uniform(0, 1, 2000)
    found = confidence_scores("fr-en", (-random.exponential(1, 2000)).tolist(), qualities.tolist())
    assert found is not None
    assert all(quality == pytest.approx(qualities.mean(), abs=0.06) for _, quality in found["points"])
    assert abs(found["correlation"]) < 0.1


def test_where_likelier_translations_are_worse_the_curve_is_level_and_does_not_fall() -> None:
    logprobs = np.linspace(-2, 0, 1000)
    found = confidence_scores("fr-en", logprobs.tolist(), (-logprobs / 2).tolist())
    assert found is not None
    assert [quality for _, quality in found["points"]] == [pytest.approx(0.5)]


def test_equal_log_probabilities_are_one_point() -> None:
    found = confidence_scores("fr-en", [-0.5] * 400, [0.0, 1.0] * 200)
    assert found is not None
    assert found["points"] == [[-0.5, pytest.approx(0.5)]]


def test_too_few_sentences_are_no_measure() -> None:
    logprobs, qualities = sentences(FEWEST, noise=0.1)
    assert confidence_scores("fr-en", logprobs.tolist(), qualities.tolist()) is not None
    assert confidence_scores("fr-en", logprobs[1:].tolist(), qualities[1:].tolist()) is None
    assert confidence_scores("fr-en", [-float("inf"), *logprobs[1:].tolist()], qualities.tolist()) is None
