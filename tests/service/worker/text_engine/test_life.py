"""How requests and engines end, and how a model shows that it lives."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from service.engine.runner import Runner
from service.engine.scheduler import Plan
from service.errors import ServiceError
from service.messages import Completion, Decoding, Failure, GenerateRequest
from service.options import EngineOptions
from service.worker.text_engine import TextEngine
from tests import checkpoints
from tests.service.worker.text_engine.conftest import events_of


async def test_leaving_a_stream_frees_its_slot(tmp_path: Path) -> None:
    engine = TextEngine("generator", checkpoints.generator(tmp_path, context=4096), EngineOptions(slots=1))
    try:
        endless = GenerateRequest(id="endless", text="x", stream=True, decoding=Decoding(max_new_tokens=4000))
        stream = engine.submit([endless])
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        short = GenerateRequest(id="short", text="x", decoding=Decoding(max_new_tokens=2))
        answer = await asyncio.wait_for(engine.answer(short), timeout=5)
        assert isinstance(answer, Completion)
    finally:
        engine.close()


async def test_a_deadline_that_passes_on_the_way_ends_the_request(tmp_path: Path) -> None:
    engine = TextEngine("generator", checkpoints.generator(tmp_path, context=4096), EngineOptions())
    try:
        late = GenerateRequest(id="late", text="x", deadline=time.time() + 0.1, decoding=Decoding(max_new_tokens=4000))
        failure = await asyncio.wait_for(engine.answer(late), timeout=10)
        assert isinstance(failure, Failure)
        assert failure.code == "deadline_exceeded"
    finally:
        engine.close()


async def test_closing_finishes_what_runs_and_refuses_what_comes(tmp_path: Path) -> None:
    engine = TextEngine("generator", checkpoints.generator(tmp_path), EngineOptions())
    running = asyncio.create_task(engine.answer(GenerateRequest(id="running", text="x")))
    await asyncio.sleep(0)
    await asyncio.to_thread(engine.close)
    assert isinstance(await running, Completion)
    assert not engine.running
    refused = await engine.answer(GenerateRequest(id="later", text="x"))
    assert isinstance(refused, Failure)
    assert refused.code == "not_ready"


class Blocking:
    """Stands for a runner whose steps end when a test permits it."""

    def __init__(self, engine: TextEngine) -> None:
        self.runner: Runner = engine._core.engine._engine.runner
        self._run, self.permits, self.prompts = self.runner.run, threading.Semaphore(0), 0
        self.runner.run = self  # type: ignore[method-assign, assignment]

    def __call__(self, plan: Plan) -> object:
        self.permits.acquire()
        self.prompts += sum(map(len, plan.prefill))
        return self._run(plan)


async def test_a_busy_model_shows_its_life_by_a_step_and_an_idle_one_by_an_answer(tmp_path: Path) -> None:
    engine = TextEngine("generator", checkpoints.generator(tmp_path, context=4096), EngineOptions(slots=1))
    runner = Blocking(engine)
    try:
        requests = [GenerateRequest(id=f"{n}", text="x", decoding=Decoding(max_new_tokens=20)) for n in range(50)]
        asking = asyncio.create_task(events_of(engine, *requests))
        await asyncio.sleep(0.01)
        canary = asyncio.create_task(engine.canary("canary"))
        await asyncio.sleep(0.05)
        assert not canary.done(), "no step has ended"
        runner.permits.release(2)
        await asyncio.wait_for(canary, 5)
        assert not asking.done()
        runner.permits.release(10**6)
        await asking
        assert runner.prompts == len(requests), "nothing was added to the work"
        await engine.canary("canary")
        assert runner.prompts == len(requests) + 1
    finally:
        runner.permits.release(10**6)
        engine.close()


@pytest.mark.parametrize("busy", [True, False])
async def test_a_step_that_never_ends_is_no_life(tmp_path: Path, busy: bool) -> None:
    engine = TextEngine("generator", checkpoints.generator(tmp_path), EngineOptions())
    runner = Blocking(engine)
    try:
        asking = asyncio.create_task(engine.answer(GenerateRequest(id="it", text="x"))) if busy else None
        await asyncio.sleep(0.01)
        with pytest.raises(ServiceError, match=r"no sign of life from the model in 0\.05 s"):
            await engine.canary("canary", timeout_s=0.05)
        runner.permits.release(10**6)
        assert asking is None or isinstance(await asking, Completion)
        await engine.canary("canary")
    finally:
        runner.permits.release(10**6)
        engine.close()
