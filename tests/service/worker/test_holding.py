from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from service.errors import InvalidRequest
from service.messages import Event, Failure, GenerateRequest
from service.worker.holding import AT_ONCE, Held, Holding
from tests.waiting import eventually


def ask(number: int, emit: Callable[[Event], None] = print) -> Held:
    return Held(request=GenerateRequest(id=str(number), text="x"), emit=emit)


async def test_requests_go_on_in_the_order_in_which_they_came_also_those_that_come_meanwhile() -> None:
    holding, begun = Holding(room=1000), []

    def begin(held: Held) -> None:
        begun.append(int(held.request.id))
        if len(begun) == 1:
            assert holding.closed
            holding.hold(ask(3 * AT_ONCE))

    holding.close()
    for number in range(3 * AT_ONCE):
        holding.hold(ask(number))
    holding.open(begin)
    assert begun == list(range(AT_ONCE)), "the event loop is not kept for all of them at once"
    await eventually(lambda: not holding.closed)
    assert begun == list(range(3 * AT_ONCE + 1))


async def test_what_cannot_go_on_is_told_so_and_the_others_go_on() -> None:
    holding, begun, told = Holding(room=10), [], []

    def begin(held: Held) -> None:
        if held.request.id == "0":
            raise InvalidRequest("not with this tokenizer")
        if held.request.id == "1":
            raise RuntimeError("a bug")
        begun.append(held.request.id)

    holding.close()
    for number in range(3):
        holding.hold(ask(number, told.append))
    holding.open(begin)
    assert begun == ["2"]
    assert [(event.request_id, event.code) for event in told if isinstance(event, Failure)] == [
        ("0", "invalid_request"),
        ("1", "internal"),
    ]
    assert not holding.closed


async def test_closed_again_it_keeps_those_who_have_not_gone_on() -> None:
    holding, begun = Holding(room=1000), []
    holding.close()
    for number in range(AT_ONCE + 1):
        holding.hold(ask(number))
    holding.open(lambda held: begun.append(held.request.id))
    holding.close()
    await asyncio.sleep(0.01)
    assert len(begun) == AT_ONCE
    assert holding.closed
    holding.open(lambda held: begun.append(held.request.id))
    assert begun[-1] == str(AT_ONCE)


async def test_the_same_id_twice_is_refused() -> None:
    holding = Holding(room=10)
    holding.close()
    events: list[Event] = []
    holding.hold(ask(1, events.append))
    with pytest.raises(ValueError, match="'1' is already waiting"):
        holding.hold(ask(1, events.append))
