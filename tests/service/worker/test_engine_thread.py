"""The engine's own thread: who is given up costs no further step, what is too much is refused, everyone is told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sized

import pytest
import torch

from models.checkpoint import Checkpoint
from models.interface import StateSize
from service.engine.beams import Beams
from service.engine.engine import Engine, Output
from service.engine.runner import Runner
from service.engine.scheduler import Scheduler
from service.engine.sequence import Sequence, SequenceSpec
from service.engine.stats import RequestStats, StepStats
from service.errors import NotReady, Overloaded
from service.observability.metrics import WorkerMetrics
from service.worker.engine_thread import EngineThread
from tests import checkpoints
from tests.waiting import eventually


class Gated(Engine):
    """A step is made when a test permits it."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.permits = threading.Semaphore(0)
        self.waits = False
        self.breaks: Exception | None = None

    def step(self) -> list[Output]:
        self.waits = True
        self.permits.acquire()
        self.waits = False
        if self.breaks is not None:
            self.breaks, error = None, self.breaks
            raise error
        return super().step()


class Stand:
    """A real tiny generator with an engine thread, and what is heard of it."""

    def __init__(
        self,
        made: Checkpoint,
        slots: int = 1,
        max_waiting: int = 100,
        max_waiting_tokens: int = 1000,
        expected: Sized = (),
    ) -> None:
        state = made.model.new_state(StateSize(slots=slots, length=63))
        runner = Runner(made.model, state, device=torch.device("cpu"))
        self.gated = Gated(runner, Scheduler(slots=slots, prefill_tokens=64), self)
        self.engine = EngineThread(
            self.gated, max_waiting=max_waiting, max_waiting_tokens=max_waiting_tokens, expected=expected
        )
        self.metrics = WorkerMetrics("m")
        self.steps: list[StepStats] = []
        self.ends: dict[str, Output] = {}
        self.twice: list[str] = []  # who was told of their end again

    def observe_step(self, stats: StepStats) -> None:
        self.steps.append(stats)
        self.metrics.observe_step(stats)

    def observe_request(self, stats: RequestStats) -> None:
        self.metrics.observe_request(stats)

    def add(
        self, name: str, prompt: int = 5, max_new_tokens: int = 20, deadline: float | None = None, beams: int = 0
    ) -> Sequence:
        search = Beams(width=beams) if beams else None
        sequence = Sequence(
            SequenceSpec(id=name, prompt=[9] * prompt, max_new_tokens=max_new_tokens, deadline=deadline, beams=search)
        )
        self.engine.add([sequence], self._hear)
        return sequence

    def _hear(self, output: Output) -> None:
        if output.last:
            if output.sequence.spec.id in self.ends:
                self.twice.append(output.sequence.spec.id)
            self.ends[output.sequence.spec.id] = output

    async def step(self, count: int = 1) -> None:
        """Permit so many steps, and wait until the thread would make the next one or has nothing to do.

        What is added then is seen after the next step: it is in the thread's inbox.
        """
        for _ in range(count):
            expected = len(self.steps) + 1
            self.gated.permits.release()
            await eventually(lambda expected=expected: len(self.steps) >= expected)
            await eventually(lambda: self.gated.waits or not self.engine.alive)

    async def end_of(self, name: str) -> str:
        await eventually(lambda: name in self.ends)
        return str(self.ends[name].sequence.outcome)

    def given_up(self) -> dict[str, float]:
        value = self.metrics.registry.get_sample_value
        stages = ("waiting", "running", "finished")
        name = "triptych_requests_cancelled_total"
        return {s: v for s in stages if (v := value(name, {"model": "m", "stage": s}) or 0)}

    @property
    def rows(self) -> int:
        """Computed in all: prompts read and tokens decoded."""
        return sum(step.prefill_requests + step.decode_requests for step in self.steps)

    def close(self) -> None:
        self.gated.permits.release(10_000)
        self.engine.close()
        assert self.twice == []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoints.generator(tmp_path_factory.mktemp("generator"))


@pytest.fixture
async def stand(made: Checkpoint) -> AsyncIterator[Stand]:
    stand = Stand(made)
    yield stand
    await asyncio.to_thread(stand.close)
    assert sum(step.abandoned_tokens for step in stand.steps) == 0


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
