from __future__ import annotations

import asyncio
import logging

import pytest

from service.errors import NotReady
from service.gateway import readiness
from service.gateway.readiness import ASK_AFTER, DEAD_AFTER, FRESH_S, USUAL_RECOVERY_S, WATCH_EVERY_S, Readiness


class Model:
    """Answers a question unless it is dead, or hangs."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.dead: Exception | None = None
        self.hanging = False
        self.asked = 0
        self.changes: list[bool] = []
        self.readiness = Readiness("m", self.question, self.changes.append, lambda: self.now)

    async def question(self) -> None:
        self.asked += 1
        if self.hanging:
            await asyncio.Event().wait()
        if self.dead is not None:
            raise self.dead


@pytest.fixture
async def model():
    model = Model()
    yield model
    await model.readiness.close()


async def test_a_sign_of_life_is_believed_for_some_seconds_only(model):
    await model.readiness.check()
    model.now += FRESH_S - 0.1
    await model.readiness.check()
    assert model.asked == 1
    model.now += 0.2
    await model.readiness.check()
    assert model.asked == 2


async def test_a_model_that_is_heard_is_not_asked(model):
    await model.readiness.check()
    for _ in range(10):
        model.now += WATCH_EVERY_S
        model.readiness.watch()
        model.readiness.heard()
        await model.readiness.check()
    assert model.asked == 1


async def test_a_quiet_model_is_asked_before_its_sign_of_life_is_too_old(model):
    await model.readiness.check()
    for _ in range(ASK_AFTER):
        model.now += WATCH_EVERY_S
        model.readiness.watch()
    assert model.readiness.fresh
    await model.readiness.answer()
    assert model.asked == 2


async def test_a_model_that_stays_quiet_is_dead_after_some_watches(model, caplog):
    await model.readiness.check()
    model.hanging = True
    for _ in range(DEAD_AFTER):
        assert model.readiness.refusal() is None
        model.now += WATCH_EVERY_S
        model.readiness.watch()
        await asyncio.sleep(0)
    assert model.readiness.refusal().message == "model 'm' is not ready: no sign of life for 5 s"
    assert [record.getMessage() for record in caplog.records] == ["the model is not ready: no sign of life for 5 s"]


async def test_a_gateway_that_stood_still_itself_takes_nobody_for_dead(model):
    await model.readiness.check()
    model.now += 100
    model.readiness.watch()
    assert model.readiness.refusal() is None
    await model.readiness.check()
    assert model.changes == [True]


async def test_an_answer_that_comes_late_still_counts(model):
    await model.readiness.check()
    answer = asyncio.Event()
    model.question = model.readiness.question = answer.wait
    for _ in range(DEAD_AFTER):
        model.readiness.watch()
    assert model.readiness.refusal() is not None
    answer.set()
    await model.readiness.check()
    assert model.changes == [True, False, True]


async def test_a_model_that_does_not_answer_at_the_start_is_refused_until_it_does(model, monkeypatch):
    monkeypatch.setattr(readiness, "ANSWER_TIMEOUT_S", 0.02)
    monkeypatch.setattr(readiness, "QUESTION_TIMEOUT_S", 0.04)
    model.hanging = True
    await model.readiness.begin()
    assert model.readiness.refusal().message == "model 'm' is not ready: it has not answered yet"
    model.hanging = False
    async with asyncio.timeout(10):  # the question that hangs is given up, and asked anew
        while model.readiness.refusal() is not None:
            model.readiness.watch()
            await model.readiness.answer()


async def test_a_model_that_stops_is_refused_at_once_with_what_is_left_of_its_last_recovery(model):
    await model.readiness.check()
    assert model.readiness.refusal() is None
    model.dead = NotReady("stopped")
    model.readiness.doubt()
    await model.readiness.answer()
    refusal = model.readiness.refusal()
    assert (refusal.message, refusal.details["retry_after_s"]) == (
        "model 'm' is not ready: stopped",
        USUAL_RECOVERY_S,
    )
    model.now += 25
    model.dead = None
    await model.readiness.answer()
    assert model.readiness.refusal() is None
    model.dead = NotReady("stopped")
    model.readiness.doubt()
    await model.readiness.answer()
    assert model.readiness.refusal().details["retry_after_s"] == 25
    model.now += 20
    assert model.readiness.refusal().details["retry_after_s"] == 5
    model.now += 20  # it takes longer than the last time
    assert model.readiness.refusal().details["retry_after_s"] == 25


@pytest.mark.parametrize("loads_s", [0.2, 60.0])
async def test_a_gateway_that_finds_a_model_takes_it_to_need_what_it_took_to_load_and_no_moment(model, loads_s):
    model.dead = NotReady("loading")
    await model.readiness.begin()
    model.now += loads_s
    model.dead = None
    await model.readiness.answer()
    model.dead = NotReady("stopped")
    model.readiness.doubt()
    await model.readiness.answer()
    assert model.readiness.refusal().details["retry_after_s"] == max(loads_s, USUAL_RECOVERY_S)


async def test_a_dead_model_comes_back_by_an_answer_and_not_by_what_it_still_had_to_say(model):
    model.dead = NotReady("stopped")
    await model.readiness.answer()
    model.readiness.heard()
    assert not model.readiness.fresh
    model.dead = None
    model.readiness.watch()
    await model.readiness.answer()
    assert model.readiness.fresh


async def test_each_change_is_told_once_and_that_a_model_has_been_loaded_is_none(model, caplog):
    caplog.set_level(logging.INFO, "triptych")
    for dead in (None, None, NotReady("stopped"), NotReady("stopped"), NotReady("loading"), None, None):
        model.dead = dead
        model.now += FRESH_S
        await model.readiness.answer()
    assert [record.getMessage() for record in caplog.records] == [
        "the model is not ready: stopped",
        "the model is ready after 15.0 s",
    ]
    assert model.changes == [True, False, True]


async def test_however_many_wait_there_is_one_question_and_its_end_is_in_sight(model, monkeypatch):
    monkeypatch.setattr(readiness, "ANSWER_TIMEOUT_S", 0.02)
    model.hanging = True
    asking = [asyncio.create_task(model.readiness.check()) for _ in range(50)]
    for outcome in await asyncio.gather(*asking, return_exceptions=True):
        assert isinstance(outcome, NotReady)
        assert outcome.message == "no sign of life within 0.02 s"
    assert model.asked == 1


async def test_who_stops_waiting_does_not_stop_the_question(model):
    waiting = asyncio.create_task(model.readiness.check())
    await asyncio.sleep(0)
    waiting.cancel()
    await model.readiness.check()
    assert model.asked == 1
