"""Who could not start before its deadline is refused at once, at the rate at which others end."""

from __future__ import annotations

import time

import pytest

from models.checkpoint import Checkpoint
from service.engine.sequence import Sequence, SequenceSpec
from service.errors import Overloaded
from tests.service.worker.engine_thread.conftest import Stand

ENDS_S = 1.0  # how long the stand's sequences take, one after the other


@pytest.fixture
async def busy(stand: Stand) -> Stand:
    """Its one slot is taken, another sequence waits, and ten have ended in ten seconds."""
    stand.add("running")
    await stand.step()
    stand.add("waiting")
    stand.engine._finish_rate.observe(10 * ENDS_S, 10)
    return stand


def add(stand: Stand, name: str, within_s: float, priority: int = 0) -> None:
    spec = SequenceSpec(
        id=name, prompt=[9] * 5, max_new_tokens=5, deadline=time.monotonic() + within_s, priority=priority
    )
    stand.engine.add([Sequence(spec)], stand._hear)


async def test_one_that_cannot_start_in_time_is_told_at_once_and_when_to_come_back(busy: Stand) -> None:
    with pytest.raises(
        Overloaded, match=r"about 2\.\d s until this request starts, and its deadline is in 1\.5 s"
    ) as told:
        add(busy, "late", within_s=1.5 * ENDS_S)
    assert told.value.retry_after_s == 1
    assert busy.engine.alive == 2  # nothing is left of it


async def test_one_that_can_is_taken(busy: Stand) -> None:
    add(busy, "patient", within_s=10 * ENDS_S)
    assert busy.engine.alive == 3


async def test_those_behind_an_urgent_one_do_not_count(busy: Stand) -> None:
    add(busy, "urgent", within_s=1.5 * ENDS_S, priority=-10)
    assert busy.engine.alive == 3


async def test_those_that_have_been_given_up_do_not_count(busy: Stand) -> None:
    busy.engine.cancel("waiting")
    add(busy, "next", within_s=1.5 * ENDS_S)
    assert busy.engine.alive == 3


async def test_while_nothing_is_known_nobody_is_refused(stand: Stand) -> None:
    stand.add("running")
    await stand.step()
    add(stand, "soon", within_s=0.5)
    assert stand.engine.alive == 2


async def test_a_free_slot_is_taken_however_little_time_is_left(made: Checkpoint) -> None:
    stand = Stand(made, slots=2)
    stand.add("running")
    await stand.step()
    stand.engine._finish_rate.observe(100.0, 2)
    add(stand, "short", within_s=1.0)
    assert stand.engine.alive == 2
    stand.close()
