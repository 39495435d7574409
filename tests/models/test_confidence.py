from __future__ import annotations

import math

import pytest

from models.confidence import ConfidenceCurve, curves_in


def test_a_curve_is_straight_between_its_points_and_level_beyond_them() -> None:
    curve = ConfidenceCurve(((-2.0, 0.2), (-1.0, 0.4), (-0.5, 0.9)))
    assert [curve.at(x) for x in (-9.0, -2.0, -1.5, -0.75, -0.5, 0.0)] == pytest.approx([0.2, 0.2, 0.3, 0.65, 0.9, 0.9])
    assert curve.at(-math.inf) == 0.2


@pytest.mark.parametrize(
    "points", [(), ((-1.0, 0.5), (-1.0, 0.6)), ((-1.0, 0.5), (-0.5, 0.4)), ((-1.0, math.nan),), ((1,),), None, "ab"]
)
def test_points_that_are_none_or_fall_are_refused_with_what_they_are(points: object) -> None:
    with pytest.raises(ValueError, match="confidence curve"):
        ConfidenceCurve.of(points)


def test_the_first_curve_of_a_direction_counts() -> None:
    scores = {
        "test fr-en": {"bleu": 50, "confidence": {"direction": "fr-en", "points": [[-1, 0.3], [0, 0.9]]}},
        "news fr-en": {"bleu": 20, "confidence": {"direction": "fr-en", "points": [[-1, 0.1], [0, 0.2]]}},
        "test ko-en": {"bleu": 20},
        "old": 3,
    }
    found = curves_in(scores)
    assert found.keys() == {"fr-en"}
    assert found["fr-en"].at(0) == 0.9
