from __future__ import annotations

import pytest

from service.worker.rate import WINDOW_S, FinishRate


def worked(*steps: tuple[float, int]) -> FinishRate:
    rate = FinishRate()
    for seconds, ended in steps:
        rate.observe(seconds, ended)
    return rate


def test_nothing_known_invites_at_once() -> None:
    assert FinishRate().seconds_for(24) == 0


def test_so_many_take_the_time_that_as_many_took() -> None:
    assert worked(*[(0.5, 2)] * 10).seconds_for(40) == 10
    assert worked(*[(0.5, 0), (0.5, 4)] * 5).seconds_for(40) == 10
    assert worked((1.0, 3)).seconds_for(4) == pytest.approx(4 / 3)


def test_idleness_is_no_slowness() -> None:
    """Steps alone are told: how long nobody asked for anything does not come here."""
    rate = worked(*[(0.01, 1)] * 100)
    assert rate.seconds_for(24) == pytest.approx(0.24)


def test_what_was_long_ago_does_not_count() -> None:
    rate = worked((30.0, 1), *[(0.1, 1)] * 200)
    assert rate.seconds_for(100) == pytest.approx(10)
    assert len(rate._ends) <= WINDOW_S / 0.1 + 1


def test_a_model_that_ends_nothing_looks_slower_with_every_step() -> None:
    rate = worked(*[(0.1, 1)] * 10)
    assert rate.seconds_for(10) == pytest.approx(1)
    rate.observe(9.0, 0)
    assert rate.seconds_for(10) == pytest.approx(10)
