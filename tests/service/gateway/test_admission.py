from __future__ import annotations

import asyncio

import pytest

from service.errors import NotReady, Overloaded
from service.gateway.admission import MAX_RETRY_AFTER_S, WINDOW_S, Admission


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_room_is_given_back_whatever_happens():
    admission = Admission(2)
    with pytest.raises(RuntimeError), admission.admit(2):
        raise RuntimeError
    with admission.admit(2):
        pass


def test_one_more_than_the_limit_is_refused_and_told_the_numbers():
    admission = Admission(3)
    with admission.admit(2), pytest.raises(Overloaded, match=r"2 texts .* 2 more .* limit of 3"), admission.admit(2):
        pass


def test_retry_after_follows_the_measured_rate():
    clock = Clock()
    admission = Admission(100, clock)
    for _ in range(5):  # 10 texts a second
        with admission.admit(10):
            clock.now += 1
    assert admission.retry_after_s(10) == 1
    assert 3 <= admission.retry_after_s(45) <= 5
    assert admission.retry_after_s(10**6) == MAX_RETRY_AFTER_S


def test_a_rate_that_is_too_old_is_forgotten():
    clock = Clock()
    admission = Admission(1, clock)
    with admission.admit(1):
        pass
    assert admission.retry_after_s() == 1
    clock.now += WINDOW_S + 1
    assert admission.retry_after_s() == WINDOW_S


async def test_draining_refuses_newcomers_and_waits_for_those_inside():
    admission = Admission(4)
    with admission.admit(2):
        draining = asyncio.create_task(admission.drain(timeout_s=5))
        await asyncio.sleep(0)
        with pytest.raises(NotReady, match="stopping"), admission.admit(1):
            pass
        assert not draining.done()
    assert await draining == 0


async def test_draining_gives_up_after_its_time_and_says_what_is_left():
    admission = Admission(4)
    with admission.admit(3):
        assert await admission.drain(timeout_s=0.01) == 3
