"""The engine's own thread: who is given up costs no further step, what is too much is refused, everyone is told."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from models.checkpoint import Checkpoint
from service.engine.beams import Beams
from service.engine.engine import Output
from service.engine.sequence import Sequence, SequenceSpec
from service.errors import NotReady, Overloaded
from tests.service.worker.engine_thread.conftest import Stand
from tests.waiting import eventually


async def test_who_is_cancelled_while_waiting_never_costs_a_step(stand: Stand) -> None:
    stand.add("running")
    await stand.step()
    waiting = stand.add("waiting")
    await stand.step()
    before = stand.rows
    stand.engine.cancel("waiting")
    await stand.step()
    assert await stand.end_of("waiting") == "cancelled"
    assert stand.rows == before + 1, "the running one alone"
    assert (waiting.started, waiting.output) == (None, [])
    assert stand.given_up() == {"waiting": 1}


async def test_who_is_cancelled_before_the_engine_has_looked_never_costs_a_step(stand: Stand) -> None:
    stand.add("running")
    await stand.step()  # and the thread waits for the next permission
    stand.add("new")
    stand.engine.cancel("new")
    await stand.step(2)
    assert await stand.end_of("new") == "cancelled"
    assert sum(step.prefill_requests for step in stand.steps) == 1
    assert stand.given_up() == {"waiting": 1}


async def test_who_is_cancelled_between_two_steps_costs_no_other(stand: Stand) -> None:
    running = stand.add("running")
    await stand.step(3)
    stand.engine.cancel("running")
    await stand.step()
    assert await stand.end_of("running") == "cancelled"
    assert len(running.output) == 3
    assert stand.rows == 3
    assert stand.given_up() == {"running": 1}


async def test_a_slot_that_is_given_up_is_taken_in_the_same_step(stand: Stand) -> None:
    stand.add("running")
    await stand.step()
    stand.add("next", max_new_tokens=1)
    await stand.step()
    stand.engine.cancel("running")
    await stand.step()
    assert await stand.end_of("next") == "length"
    assert stand.rows == 3


async def test_a_deadline_that_passes_while_waiting_costs_no_step(stand: Stand) -> None:
    stand.add("running")
    await stand.step()
    late = stand.add("late", deadline=time.monotonic() + 0.02)
    await asyncio.sleep(0.03)
    await stand.step(2)
    assert await stand.end_of("late") == "deadline"
    assert (late.started, late.output) == (None, [])
    assert stand.rows == 3
    assert stand.given_up() == {"waiting": 1}


async def test_a_deadline_that_passes_on_the_way_costs_no_other_step(stand: Stand) -> None:
    late = stand.add("late", deadline=time.monotonic() + 0.2)
    await stand.step(2)
    await asyncio.sleep(0.25)
    await stand.step()
    assert await stand.end_of("late") == "deadline"
    assert len(late.output) == 2
    assert stand.rows == 2
    assert stand.given_up() == {"running": 1}


async def test_cancelling_what_has_ended_or_never_was_is_ignored(stand: Stand) -> None:
    stand.add("short", max_new_tokens=1)
    await stand.step()
    assert await stand.end_of("short") == "length"
    stand.engine.cancel("short")
    stand.engine.cancel("nobody")
    stand.add("again", max_new_tokens=1)
    await stand.step()
    assert await stand.end_of("again") == "length"
    assert stand.given_up() == {}


async def test_one_request_more_than_may_wait_is_refused(made: Checkpoint) -> None:
    stand = Stand(made, max_waiting=2)
    for name in range(3):
        stand.add(str(name), max_new_tokens=1)
    with pytest.raises(Overloaded, match="2 requests wait for one of 1 slots, the limit is 2") as refused:
        stand.add("one more")
    assert refused.value.details == {"retry_after_s": 1, "limit": 2}
    await stand.step(3)
    await stand.end_of("2")
    stand.add("now")
    await asyncio.to_thread(stand.close)


async def test_what_a_search_with_several_beams_takes_is_not_counted_as_room(made: Checkpoint) -> None:
    stand = Stand(made, slots=4, max_waiting=2)
    stand.add("searching", beams=4)
    await stand.step()
    stand.add("first")
    stand.add("second", beams=3)
    with pytest.raises(Overloaded, match="2 requests wait for one of 4 slots, the limit is 2"):
        stand.add("third")
    stand.engine.cancel("first")  # who is given up waits no more
    stand.add("in its place")
    await asyncio.to_thread(stand.close)


async def test_who_will_be_in_the_next_step_does_not_wait_for_a_slot(made: Checkpoint) -> None:
    stand = Stand(made, slots=4, max_waiting=1)
    stand.add("search", beams=3)
    stand.add("beside it")
    stand.add("waits")
    with pytest.raises(Overloaded, match="1 requests wait"):
        stand.add("one more")
    await asyncio.to_thread(stand.close)


async def test_who_does_not_fit_keeps_those_behind_it_waiting(made: Checkpoint) -> None:
    stand = Stand(made, slots=4, max_waiting=2)
    stand.add("running")
    await stand.step()
    stand.add("search", beams=4)
    stand.add("behind it")
    with pytest.raises(Overloaded, match="2 requests wait for one of 4 slots"):
        stand.add("one more")
    await asyncio.to_thread(stand.close)


async def test_those_who_are_expected_have_their_place_already(made: Checkpoint) -> None:
    stand = Stand(made, max_waiting=2, expected=["one", "another"])
    stand.engine.check_room()
    stand.add("running")
    with pytest.raises(Overloaded, match="2 requests wait for one of 1 slots, the limit is 2"):
        stand.engine.check_room()
    await asyncio.to_thread(stand.close)


async def test_only_a_step_that_ends_well_is_an_end_of_a_step(stand: Stand) -> None:
    assert not await stand.engine.step_ends(), "nothing to do"
    stand.add("running")
    waiting = asyncio.create_task(stand.engine.step_ends())
    await asyncio.sleep(0.05)
    assert not waiting.done(), "the step hangs"
    await stand.step()
    assert await waiting
    waiting = asyncio.create_task(stand.engine.step_ends())
    await asyncio.sleep(0)
    stand.gated.breaks = RuntimeError("the device is gone")
    stand.gated.permits.release()
    assert not await waiting


async def test_prompts_that_wait_are_bounded_in_tokens_and_running_ones_do_not_count(made: Checkpoint) -> None:
    stand = Stand(made, max_waiting_tokens=50)
    stand.add("running", prompt=30)
    await stand.step()
    stand.add("waiting", prompt=30)
    message = "the waiting requests have prompts of 30 tokens and this one has 21, the limit is 50"
    with pytest.raises(Overloaded, match=message) as refused:
        stand.add("too long", prompt=21)
    assert refused.value.details["retry_after_s"] > 0
    stand.add("short", prompt=20)
    with pytest.raises(Overloaded, match="prompts of 50 tokens and this one has 1"):
        stand.add("anything", prompt=1)
    stand.engine.cancel("waiting")
    await stand.step(2)
    await stand.end_of("waiting")
    stand.add("in its place", prompt=30)
    await asyncio.to_thread(stand.close)


async def test_the_same_id_twice_is_refused(stand: Stand) -> None:
    stand.add("it")
    with pytest.raises(ValueError, match="'it' is already running"):
        stand.add("it")


async def test_more_beams_than_slots_are_refused_before_anybody_waits_for_them(stand: Stand) -> None:
    wide = Sequence(SequenceSpec(id="wide", prompt=[9], max_new_tokens=2, beams=Beams(width=2)))
    with pytest.raises(ValueError, match="2 beams can never run in 1 slots"):
        stand.engine.add([wide], print)


async def test_after_a_failed_step_everyone_is_told_and_the_thread_goes_on(stand: Stand) -> None:
    stand.add("running")
    await stand.step()
    stand.add("waiting")
    await stand.step()
    stand.gated.breaks = RuntimeError("the device is gone")
    stand.gated.permits.release()
    for name in ("running", "waiting"):
        assert await stand.end_of(name) == "error"
        assert stand.ends[name].error == "RuntimeError: the device is gone"
    stand.add("next", max_new_tokens=1)
    await stand.step()
    assert await stand.end_of("next") == "length"
    assert stand.engine.running


async def test_closing_ends_what_does_not_finish_in_time(stand: Stand) -> None:
    stand.add("endless")
    await stand.step()
    closing = asyncio.create_task(asyncio.to_thread(stand.engine.close, 0.05))
    await asyncio.sleep(0.01)
    with pytest.raises(NotReady, match="stopping"):
        stand.add("late")
    await asyncio.sleep(0.1)
    stand.gated.permits.release()
    await closing
    assert await stand.end_of("endless") == "cancelled"
    await eventually(lambda: not stand.engine.running)


async def test_outputs_come_in_the_event_loop_of_who_asked(stand: Stand) -> None:
    heard: dict[str, threading.Thread] = {}

    def ask(name: str) -> None:
        async def run() -> None:
            done = asyncio.Event()

            def hear(output: Output) -> None:
                heard[name] = threading.current_thread()
                done.set()

            stand.engine.add([Sequence(SequenceSpec(id=name, prompt=[9], max_new_tokens=1))], hear)
            await done.wait()

        asyncio.run(run())

    threads = {name: threading.Thread(target=ask, args=(name,)) for name in ("one", "other")}
    for thread in threads.values():
        thread.start()
    stand.gated.permits.release(5)
    for thread in threads.values():
        await asyncio.to_thread(thread.join, 5)
    assert heard == threads
