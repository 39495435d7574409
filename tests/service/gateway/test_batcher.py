from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.errors import NotReady
from service.gateway.batcher import Batcher, Ticket
from service.messages import Completion, Failure, GenerateRequest, Terminal
from tests.service.gateway.fakes import FakeWorker
from tests.waiting import eventually


def request(text: str, id: str | None = None, stream: bool = False) -> GenerateRequest:
    return GenerateRequest(id=id or text, text=text, stream=stream)


async def results(ticket: Ticket) -> dict[str, Completion | Failure]:
    return {event.request_id: event async for events in ticket for event in events if isinstance(event, Terminal)}


async def ask(batcher: Batcher, *texts: str) -> dict[str, Completion | Failure]:
    with batcher.submit([request(text) for text in texts]) as ticket:
        return await results(ticket)


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker("generator")


@asynccontextmanager
async def tidy(worker: FakeWorker, wait_s: float) -> AsyncIterator[Batcher]:
    """No task may leak: not even until somebody closes the batcher."""
    yield Batcher(worker, size=4, wait_s=wait_s)
    await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()})
    assert worker.running == 0


@pytest.fixture
async def batcher(worker):
    async with tidy(worker, 0.03) as batcher:
        yield batcher


@pytest.fixture
async def patient(worker):
    """Waits so long for company that who is answered at all has not waited for it."""
    async with tidy(worker, 3600) as batcher:
        yield batcher


async def test_an_idle_worker_gets_what_arrives_together_at_once(worker, patient):
    async with asyncio.timeout(5):
        await asyncio.gather(ask(patient, "a"), ask(patient, "b"))
    assert [[r.text for r in batch] for batch in worker.batches] == [["a", "b"]]


async def test_a_busy_worker_gets_what_gathers_within_the_wait(worker, batcher):
    worker.holding = {"busy"}
    busy = asyncio.create_task(ask(batcher, "busy"))
    await eventually(lambda: worker.batches)
    first = asyncio.create_task(ask(batcher, "a"))
    await asyncio.sleep(0.005)
    second = asyncio.create_task(ask(batcher, "b"))
    await asyncio.gather(first, second)
    assert [[r.text for r in batch] for batch in worker.batches] == [["busy"], ["a", "b"]]
    worker.release()
    await busy


async def test_a_full_batch_does_not_wait(worker, patient):
    worker.holding = {"busy"}
    busy = asyncio.create_task(ask(patient, "busy"))
    await eventually(lambda: worker.batches)
    async with asyncio.timeout(5):
        await ask(patient, "a", "b", "c", "d", "e")
    assert [len(batch) for batch in worker.batches] == [1, 4, 1]
    worker.release()
    await busy


async def test_each_waiter_gets_its_own_events(batcher):
    one, two = await asyncio.gather(ask(batcher, "a", "b"), ask(batcher, "c"))
    assert {id: result.text for id, result in one.items()} == {"a": "A", "b": "B"}
    assert {id: result.text for id, result in two.items()} == {"c": "C"}


async def test_a_waiter_that_leaves_is_cancelled_alone(worker, batcher):
    worker.holding = {"a", "b"}
    leaving, staying = asyncio.create_task(ask(batcher, "a")), asyncio.create_task(ask(batcher, "b"))
    await eventually(lambda: worker.batches)
    leaving.cancel()
    await eventually(lambda: worker.cancelled == ["a"])
    worker.release()
    assert (await staying)["b"].text == "B"
    assert worker.closed == 0


async def test_the_iterator_is_closed_when_all_waiters_have_left(worker, batcher):
    worker.holding = {"a", "b"}
    asking = [asyncio.create_task(ask(batcher, text)) for text in "ab"]
    await eventually(lambda: worker.batches)
    for task in asking:
        task.cancel()
    await eventually(lambda: worker.running == 0)
    assert worker.closed == 1


async def test_a_waiter_that_leaves_before_the_flush_never_reaches_the_worker(worker, batcher):
    with batcher.submit([request("a")]):
        pass
    await ask(batcher, "b")
    assert [r.text for r in worker.seen] == ["b"]


async def test_an_answered_waiter_cancels_nothing(worker, batcher):
    await ask(batcher, "a")
    await asyncio.sleep(0.01)
    assert (worker.cancelled, worker.closed) == ([], 0)


@pytest.mark.parametrize(
    ("breaks", "code"),
    [(RuntimeError("boom"), "internal"), (NotReady("replica died"), "not_ready"), (None, "internal")],
)
async def test_nobody_hangs_when_the_worker_breaks_off(worker, batcher, breaks, code):
    worker.breaks, worker.mute = breaks, breaks is None
    answers = await asyncio.wait_for(ask(batcher, "a", "b"), 1)
    assert answers.keys() == {"a", "b"}
    for failure in answers.values():
        assert failure.code == code
        assert "boom" not in failure.message


async def test_nobody_hangs_when_the_batcher_is_closed(worker):
    batcher = Batcher(worker, size=1, wait_s=0)
    worker.holding = {"a"}
    asking = asyncio.create_task(ask(batcher, "a"))
    await eventually(lambda: worker.batches)
    await batcher.close()
    failure = (await asyncio.wait_for(asking, 1))["a"]
    assert (failure.code, failure.message) == ("not_ready", "the gateway is shutting down")


async def test_a_call_to_the_worker_belongs_to_none_of_the_requests(worker, batcher):
    caller = contextvars.ContextVar("caller", default="nobody")
    seen: list[tuple[str, str]] = []
    submit, cancel = worker.submit, worker.cancel

    async def submit_and_look(requests):
        seen.append(("submit", caller.get()))
        async for events in submit(requests):
            yield events

    async def cancel_and_look(request_ids):
        seen.append(("cancel", caller.get()))
        await cancel(request_ids)

    worker.submit, worker.cancel = submit_and_look, cancel_and_look
    worker.holding = {"leaver", "stayer"}

    async def ask_as(text: str):
        caller.set(text)
        return await ask(batcher, text)

    leaver, stayer = asyncio.create_task(ask_as("leaver")), asyncio.create_task(ask_as("stayer"))
    await eventually(lambda: worker.batches)
    leaver.cancel()
    await eventually(lambda: worker.cancelled)
    worker.release()
    assert (await stayer)["stayer"].text == "STAYER"
    full = [asyncio.create_task(ask_as(text)) for text in "abcd"]  # flushed by the last of them, not by the timer
    await asyncio.gather(*full)
    assert seen == [("submit", "nobody"), ("cancel", "nobody"), ("submit", "nobody")]


async def test_a_call_that_is_cut_off_is_told_as_such_and_not_as_the_end_of_the_gateway(worker):
    failed: list[None] = []
    batcher = Batcher(worker, size=4, wait_s=0, on_failure=lambda: failed.append(None))

    async def submit(requests):
        raise asyncio.CancelledError
        yield

    worker.submit = submit
    failure = (await asyncio.wait_for(ask(batcher, "a"), 1))["a"]
    assert (failure.code, failure.message) == (
        "not_ready",
        "the call to model 'generator' was cut off before its answer",
    )
    assert len(failed) == 1


async def test_a_worker_gives_signs_of_life_but_not_by_failures(worker):
    signs: list[None] = []
    batcher = Batcher(worker, size=4, wait_s=0, on_life=lambda: signs.append(None))
    worker.failing = {"bad": NotReady("half dead")}
    await ask(batcher, "bad")
    assert not signs
    await ask(batcher, "a")
    assert signs


async def test_an_interruption_is_raised_to_the_one_who_waits(worker, batcher):
    worker.holding = {"a"}
    with batcher.submit([request("a")]) as ticket:
        ticket.interrupt(NotReady("enough"))
        with pytest.raises(NotReady, match="enough"):
            await results(ticket)


async def test_what_one_step_brought_stays_together(batcher):
    with batcher.submit([request("a b", stream=True)]) as ticket:
        groups = [[type(event).__name__ for event in events] async for events in ticket]
    assert groups == [["Accepted"], ["Token"], ["Token", "Completion"]]


async def test_a_worker_that_does_not_end_its_iterator_is_dropped(worker, monkeypatch):
    monkeypatch.setattr("service.gateway.batcher.GRACE_S", 0.02)
    ended = asyncio.Event()

    async def submit(requests):
        try:
            yield [worker._result(request, []) for request in requests]
            await asyncio.sleep(60)
        finally:
            ended.set()

    worker.submit = submit
    batcher = Batcher(worker, size=4, wait_s=0)
    assert (await ask(batcher, "a"))["a"].text == "A"
    await asyncio.wait_for(ended.wait(), 1)


async def test_hundreds_of_callers_coming_and_going_leave_nothing_behind(worker, batcher):
    worker.holding = {f"{n}" for n in range(0, 300, 7)}
    asking = [asyncio.create_task(ask(batcher, str(n))) for n in range(300)]
    await eventually(lambda: worker.batches)
    for task in asking[::5]:
        task.cancel()
    worker.release()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    for n, answer in enumerate(answers):
        assert isinstance(answer, asyncio.CancelledError) if n % 5 == 0 else answer[str(n)].text == str(n)
