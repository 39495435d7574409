"""Requests of many sequences: they leave room for others, and all of theirs are told of their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from models.checkpoint import Checkpoint
from service.engine.sequence import Sequence, SequenceSpec
from service.errors import Overloaded
from tests.service.worker.engine_thread.conftest import Stand
from tests.waiting import eventually


def add_all(stand: Stand, *names: str, **fields: int) -> list[Sequence]:
    """As one request."""
    made = [Sequence(SequenceSpec(id=name, prompt=[9] * 5, **{"max_new_tokens": 2, **fields})) for name in names]
    stand.engine.add(made, stand._hear)
    return made


@pytest.fixture
async def wide(made: Checkpoint) -> AsyncIterator[Stand]:
    stand = Stand(made, slots=4, max_waiting=3)
    yield stand
    await asyncio.to_thread(stand.close)


async def test_a_request_of_many_sequences_leaves_half_of_the_slots_to_others(wide: Stand) -> None:
    many = add_all(wide, *(f"{n}" for n in range(20)))
    await wide.step()
    other = add_all(wide, "other")
    await wide.step(3)
    assert await wide.end_of("other") == "length"
    assert sum(each.outcome == "length" for each in many) == 4
    assert max(step.prefill_requests + step.decode_requests for step in wide.steps) == 3
    wide.gated.permits.release(100)
    await eventually(lambda: len(wide.ends) == 21)
    assert {each.outcome for each in [*many, *other]} == {"length"}


async def test_two_long_requests_together_let_a_short_one_in_as_soon_as_one_of_their_sequences_has_ended(
    wide: Stand,
) -> None:
    first, second = (add_all(wide, *(f"{name}{n}" for n in range(20))) for name in "ab")
    await wide.step()
    add_all(wide, "other")
    await wide.step(4)
    assert await wide.end_of("other") == "length"
    assert sum(each.outcome == "length" for each in [*first, *second]) <= 8
    wide.gated.permits.release(100)
    await eventually(lambda: len(wide.ends) == 41)
    assert {each.outcome for each in [*first, *second]} == {"length"}


async def test_who_waits_for_others_of_its_request_takes_no_room_of_those_who_wait_for_slots(wide: Stand) -> None:
    add_all(wide, *(f"{n}" for n in range(20)))
    for name in ("a", "b", "c", "d", "e"):  # two run, three wait
        wide.add(name)
    with pytest.raises(Overloaded, match="3 requests wait for one of 4 slots, the limit is 3"):
        wide.add("f")


async def test_a_request_that_is_given_up_ends_for_those_too_who_wait_for_others_of_it(wide: Stand) -> None:
    many = add_all(wide, *(f"{n}" for n in range(20)))
    await wide.step()
    for each in many:
        wide.engine.cancel(each.spec.id)
    await wide.step(2)
    assert {each.outcome for each in many} == {"cancelled"}
    assert wide.rows == 2


async def test_an_engine_that_closes_finishes_requests_to_their_last_sequence(made: Checkpoint) -> None:
    stand = Stand(made, slots=2)
    many = add_all(stand, *(f"{n}" for n in range(5)), max_new_tokens=1)
    stand.gated.permits.release(10_000)
    await asyncio.to_thread(stand.engine.close)
    assert [each.outcome for each in many] == ["length"] * 5
    await eventually(lambda: len(stand.ends) == 5)


async def test_after_a_failed_step_those_are_told_too_who_wait_for_others_of_their_request(wide: Stand) -> None:
    many = add_all(wide, *(f"{n}" for n in range(4)))
    wide.gated.breaks = RuntimeError("the device is gone")
    wide.gated.permits.release()
    assert await wide.end_of("0") == "error"
    for each in many:  # as a request does when one of its sequences fails
        wide.engine.cancel(each.spec.id)
    await wide.step()
    assert [each.outcome for each in many] == ["error", "error", "cancelled", "cancelled"]


async def test_prompts_that_wait_for_others_of_their_request_are_not_counted_against_the_limit(
    made: Checkpoint,
) -> None:
    stand = Stand(made, slots=8, max_waiting_tokens=12)
    add_all(stand, *(f"{n}" for n in range(20)))  # two of them with 5 tokens each
    with pytest.raises(Overloaded, match="prompts of 10 tokens and this one has 5, the limit is 12"):
        stand.add("other")
    await stand.step()
    stand.gated.permits.release(10_000)
    await eventually(lambda: len(stand.ends) == 20)
    await asyncio.to_thread(stand.close)
