"""Calls made in a thread: in order, each answered once, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from service.errors import DeadlineExceeded, InputTooLong
from service.messages import Event, Failure, GenerateRequest
from service.worker.holding import Held
from service.worker.preparation import Preparation
from tests.waiting import eventually


class Stand:
    """Texts are made into calls when a test permits it; a call is its request's id here."""

    def __init__(self) -> None:
        self.preparation = Preparation()
        self.permits = threading.Semaphore(0)
        self.made: list[str] = []
        self.begun: list[str] = []
        self.told: list[Event] = []

    def add(self, name: str, deadline: float | None = None, error: Exception | None = None) -> None:
        held = Held(request=GenerateRequest(id=name, text="x", deadline=deadline), emit=self.told.append)

        def make() -> Any:
            self.permits.acquire()
            self.made.append(name)
            if error is not None:
                raise error
            return name

        self.preparation.prepare(held, make, self.begun.append)  # type: ignore[arg-type]

    def codes(self) -> dict[str, str]:
        return {event.request_id: event.code for event in self.told if isinstance(event, Failure)}


async def test_calls_begin_in_the_order_in_which_their_texts_came() -> None:
    stand = Stand()
    for number in range(20):
        stand.add(str(number))
    assert (len(stand.preparation), stand.begun) == (20, [])
    stand.permits.release(20)
    await eventually(lambda: not len(stand.preparation))
    assert stand.begun == list(map(str, range(20)))


async def test_who_is_cancelled_meanwhile_is_told_at_once_and_never_begins() -> None:
    stand = Stand()
    for name in ("being made", "behind it", "goes on"):
        stand.add(name)
    await asyncio.sleep(0.01)
    stand.preparation.cancel("being made")
    stand.preparation.cancel("behind it")
    assert stand.codes() == {"being made": "cancelled", "behind it": "cancelled"}
    assert len(stand.preparation) == 1
    stand.permits.release(3)
    await eventually(lambda: stand.begun == ["goes on"])
    assert stand.made == ["being made", "goes on"], "a text that nobody waits for is not read"
    assert len(stand.told) == 2


async def test_who_is_late_meanwhile_is_told_at_once() -> None:
    stand = Stand()
    stand.add("late", deadline=time.time() + 0.02)
    await eventually(lambda: stand.codes() == {"late": "deadline_exceeded"})
    stand.permits.release()
    stand.add("next")
    stand.permits.release()
    await eventually(lambda: stand.begun == ["next"])
    with pytest.raises(DeadlineExceeded, match=r"passed .* before the request reached the model"):
        stand.add("too late", deadline=1.0)


async def test_an_id_that_comes_again_gets_its_own_text() -> None:
    stand = Stand()
    stand.add("first")
    stand.add("same")
    stand.preparation.cancel("same")
    stand.add("same")
    stand.permits.release(3)
    await eventually(lambda: not len(stand.preparation))
    assert (stand.begun, stand.made) == (["first", "same"], ["first", "same"])


async def test_what_cannot_be_made_into_a_call_is_told_so_and_the_others_go_on() -> None:
    stand = Stand()
    stand.add("too long", error=InputTooLong("too many tokens"))
    stand.add("a bug", error=RuntimeError("ours"))
    stand.add("well")
    stand.permits.release(3)
    await eventually(lambda: stand.begun == ["well"])
    assert stand.codes() == {"too long": "input_too_long", "a bug": "internal"}
