from __future__ import annotations

import math

import numpy as np
import pytest

from models.training.evaluation.resampling import Sample, Share, holm, wilson


def mean_of(values: np.ndarray, **fields: bool) -> Sample:
    return Sample(np.stack([values, np.ones_like(values)], axis=1), lambda sums: sums[0] / sums[1], **fields)


def test_the_interval_of_a_mean_is_that_of_the_central_limit() -> None:
    values = np.random.default_rng(1).normal(10, 2, 400)
    low, high = mean_of(values).interval()
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert mean_of(values).interval() == (low, high)  # the same in every process


def test_nineteen_of_twenty_intervals_hold_what_was_measured() -> None:
    random = np.random.default_rng(2)
    intervals = [mean_of(random.exponential(1, 80)).interval(400) for _ in range(200)]
    assert 0.9 < np.mean([low <= 1 <= high for low, high in intervals]) < 0.985


def test_an_interval_is_around_its_score_also_where_resamples_are_biased() -> None:
    """The distance of a mean from zero, which is about zero: resamples are farther away."""
    values = np.random.default_rng(3).normal(0, 1, 50)
    values -= values.mean() - 0.001
    distance = Sample(values[:, None], lambda sums: abs(sums[0]))
    low, high = distance.interval()
    assert low <= distance.value <= high


def test_the_interval_of_a_share_is_wilsons() -> None:
    # (0.8 + 0.19207 ± 1.96 * sqrt(0.016 + 0.0096036)) / 1.38415, written out.
    low, high = wilson(8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-12)
    assert wilson(10, 10)[1] == pytest.approx(1)
    assert Share([True] * 8 + [False] * 2).interval() == (low, high)


def test_mcnemars_test_counts_the_texts_that_only_one_gets_right() -> None:
    # 8 lost, 2 won: of 10 tosses at least 8 heads, (45 + 10 + 1) / 1024. The 90 that both get right say nothing.
    old = Share([True] * 8 + [False] * 2 + [True] * 90)
    new = Share([False] * 8 + [True] * 2 + [True] * 90)
    assert new.p_worse_than(old) == pytest.approx(56 / 1024)
    assert old.p_worse_than(new) == pytest.approx(1 - 11 / 1024)
    assert old.p_worse_than(old) == 1
    many = Share([True] * 20_000 + [False] * 20_000).p_worse_than(Share([False] * 20_000 + [True] * 20_000))
    assert many == pytest.approx(0.5, abs=0.01)


def test_worse_on_every_text_is_as_sure_as_the_resamples_can_tell_and_equal_is_no_worse() -> None:
    values = np.random.default_rng(4).normal(5, 1, 100)
    assert mean_of(values - 0.1).p_worse_than(mean_of(values), 999) == pytest.approx(1e-3)
    assert mean_of(values).p_worse_than(mean_of(values - 0.1), 999) == 1
    assert mean_of(values).p_worse_than(mean_of(values), 999) == 1
    assert mean_of(values + 0.1, lower_is_better=True).p_worse_than(mean_of(values), 999) == pytest.approx(1e-3)


def test_what_is_paired_has_the_same_texts() -> None:
    for kind in (lambda n: Share([True] * n), lambda n: mean_of(np.ones(n))):
        with pytest.raises(ValueError, match="3 texts cannot be paired with 4"):
            kind(3).p_worse_than(kind(4))


def test_of_two_equally_good_ones_few_come_out_worse() -> None:
    random = np.random.default_rng(5)
    ps = []
    for _ in range(300):
        hard = random.normal(0, 3, 120)  # what makes a text hard is the same for both
        old, new = (mean_of(hard + random.normal(0, 1, 120)) for _ in range(2))
        ps.append(new.p_worse_than(old, 300))
    assert 0.02 < np.mean(np.array(ps) < 0.05) < 0.08


def test_holms_rule_asks_more_of_the_first_and_less_of_the_next() -> None:
    assert holm([0.01, 0.04, 0.03], 0.05) == [True, False, False]  # 0.05 / 3, then 0.05 / 2 fails
    assert holm([0.01, 0.04, 0.02], 0.05) == [True, True, True]
    assert holm([0.02, 0.02, 0.02], 0.05) == [False, False, False]
    assert holm([0.04], 0.05) == [True]
    assert holm([], 0.05) == []
    assert holm([math.nan], 0.05) == [False]
