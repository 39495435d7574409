from __future__ import annotations

import asyncio

import pytest

from service.errors import InvalidRequest, NotReady, Overloaded
from service.gateway.admission import WINDOW_S, Admission


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def admission_of(model: int, limit: int = 10**6, clock: Clock | None = None) -> Admission:
    """With room for `model` texts of m, as many of n, and `limit` of both."""
    return Admission(limit, {"m": model, "n": model}, clock or Clock())


def test_room_is_given_back_whatever_happens():
    admission = admission_of(2)
    with pytest.raises(RuntimeError, match="a bug"), admission.admit("m", 2):
        raise RuntimeError("a bug")
    with admission.admit("m", 2):
        pass


def test_one_more_than_a_model_takes_is_refused_and_told_the_numbers():
    admission = admission_of(3)
    words = r"model 'm' is answering 2 texts, 2 more would exceed the limit of 3"
    with admission.admit("m", 2), pytest.raises(Overloaded, match=words), admission.admit("m", 2):
        pass


def test_a_full_model_does_not_keep_another_from_answering():
    admission = admission_of(3)
    with admission.admit("m", 3), admission.admit("n", 3):
        pass


def test_all_models_together_have_a_limit_too():
    admission = admission_of(3, limit=4)
    words = r"the gateway is answering 3 texts, 2 more would exceed the limit of 4"
    with admission.admit("m", 3), pytest.raises(Overloaded, match=words), admission.admit("n", 2):
        pass


def test_more_texts_than_there_is_ever_room_for_are_not_invited_again():
    with pytest.raises(InvalidRequest, match=r"4 texts in one request, model 'm' takes at most 3"):
        admission_of(3).check("m", 4)


def test_retry_after_follows_the_measured_rate_of_the_model():
    clock = Clock()
    admission = admission_of(100, clock=clock)
    for _ in range(5):  # 10 texts a second
        with admission.admit("m", 10):
            clock.now += 1
    assert 0.5 <= admission.retry_after_s("m", 10) <= 1
    assert 3 <= admission.retry_after_s("m", 45) <= 5
    assert admission.retry_after_s("n", 10) == WINDOW_S  # has answered none


def test_who_is_refused_or_leaves_does_not_make_the_model_look_fast():
    admission = admission_of(100)
    for _ in range(50):
        with pytest.raises(Overloaded, match="the worker is full"), admission.admit("m", 1):
            raise Overloaded("the worker is full")
    assert admission.retry_after_s("m") == WINDOW_S


def test_a_rate_that_is_too_old_is_forgotten():
    clock = Clock()
    admission = admission_of(1, clock=clock)
    with admission.admit("m", 1):
        pass
    assert admission.retry_after_s("m") == 1
    clock.now += WINDOW_S + 1
    assert admission.retry_after_s("m") == WINDOW_S


def test_one_answer_after_a_minute_of_idleness_promises_no_absurd_wait():
    clock = Clock()
    admission = admission_of(24, clock=clock)
    with admission.admit("m", 1):
        pass
    clock.now += 60
    with admission.admit("m", 1):
        clock.now += 0.1
    with admission.admit("m", 24), pytest.raises(Overloaded) as caught:
        admission.check("m")
    assert caught.value.details["retry_after_s"] <= WINDOW_S


async def test_draining_refuses_newcomers_and_waits_for_those_inside():
    admission = admission_of(4)
    with admission.admit("m", 2):
        draining = asyncio.create_task(admission.drain(timeout_s=5))
        await asyncio.sleep(0)
        with pytest.raises(NotReady, match="stopping"), admission.admit("m", 1):
            pass
        assert not draining.done()
    assert await draining == 0


async def test_draining_gives_up_after_its_time_and_says_what_is_left():
    admission = admission_of(4)
    with admission.admit("m", 3):
        assert await admission.drain(timeout_s=0.01) == 3
