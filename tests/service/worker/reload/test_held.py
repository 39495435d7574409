"""Requests that come during a reload wait for its end, as text."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from pathlib import Path

import pytest
import torch

from models.checkpoint import save
from models.tokenizer import Tokenizer
from service.messages import Accepted, Completion, Event, Failure
from service.worker.text_engine import AT_ONCE, TextEngine
from tests import checkpoints
from tests.service.worker.reload.conftest import Recorder, Running, ask, reading


async def test_held_requests_are_tokenized_by_the_checkpoint_that_answers_them(
    engine: TextEngine, tmp_path: Path
) -> None:
    from models.tokenizer import train_byte_bpe

    made = checkpoints.generator(tmp_path / "other", context=4096)
    letters = train_byte_bpe(["b"], made.config.vocab_size, control_tokens=("<rating:1>", "<rating:9>"))
    manifest = dataclasses.replace(made.manifest, version=2)
    save(tmp_path / "letters", model=made.model, tokenizer=letters, manifest=manifest, dtype=torch.float32)
    before = await engine.answer(ask("before", "배우들의 연기가"))
    async with Running(engine, tmp_path / "letters") as meanwhile:
        held = asyncio.create_task(engine.answer(ask("held", "배우들의 연기가")))
        await asyncio.sleep(0.01)
        await meanwhile.finish()
        after = await held
    assert isinstance(before, Completion)
    assert isinstance(after, Completion)
    assert after.prompt_tokens == 1 + len("배우들의 연기가".encode())
    assert before.prompt_tokens < after.prompt_tokens


async def test_a_text_that_is_being_tokenized_is_answered_by_the_checkpoint_that_does_it(
    engine: TextEngine, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    permits, encode = threading.Semaphore(0), Tokenizer.encode

    def slow(self: Tokenizer, text: str) -> list[int]:
        if len(text) > AT_ONCE:
            permits.acquire()
        return encode(self, text)

    monkeypatch.setattr(Tokenizer, "encode", slow)
    asking = asyncio.create_task(engine.answer(ask("long", "배우" * (AT_ONCE * 3 // 4), stream=True)))
    await asyncio.sleep(0.01)
    reload = asyncio.create_task(engine.reload(reading(second)))
    while not engine._holding.closed:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    assert not reload.done()
    assert engine.info.version == "generator@1"
    permits.release()
    answer = await asking
    assert isinstance(answer, Completion), answer
    assert answer.model_version == "generator@1"
    assert (await reload).version == "generator@2"


async def test_a_held_stream_is_accepted_at_once_and_only_once(engine: TextEngine, second: Path) -> None:
    events: list[Event] = []

    async def listen() -> None:
        async for batch in engine.submit([ask("held", stream=True), ask("unstreamed")]):
            events.extend(batch)

    async with Running(engine, second) as meanwhile:
        held = asyncio.create_task(listen())
        await asyncio.sleep(0.01)
        assert events == [Accepted(request_id="held")]
        await meanwhile.finish()
        await held
    assert [event for event in events if isinstance(event, Accepted)] == [Accepted(request_id="held")]
    assert sum(isinstance(event, Completion) for event in events) == 2


async def test_a_held_request_ends_at_its_deadline(engine: TextEngine, second: Path, recorder: Recorder) -> None:
    async with Running(engine, second) as meanwhile:
        late = await asyncio.wait_for(engine.answer(ask("late", deadline=time.time() + 0.05)), 2)
        assert not meanwhile.reload.done()
    assert isinstance(late, Failure)
    assert late.code == "deadline_exceeded"
    assert ("deadline", "waiting") in {(r.outcome, r.stage) for r in recorder.requests}


async def test_a_held_request_can_be_cancelled_by_id_or_by_leaving(
    engine: TextEngine, second: Path, recorder: Recorder
) -> None:
    async with Running(engine, second):
        by_id = asyncio.create_task(engine.answer(ask("by-id")))
        leaving = asyncio.create_task(engine.answer(ask("leaving")))
        await asyncio.sleep(0.01)
        engine.cancel(["by-id"])
        leaving.cancel()
        cancelled = await asyncio.wait_for(by_id, 1)
        await asyncio.gather(leaving, return_exceptions=True)
    assert isinstance(cancelled, Failure)
    assert cancelled.code == "cancelled"
    assert [r.stage for r in recorder.requests if r.outcome == "cancelled"].count("waiting") == 2


async def test_no_more_requests_are_held_than_may_wait(engine: TextEngine, second: Path) -> None:
    async with Running(engine, second) as meanwhile:
        held = [asyncio.create_task(engine.answer(ask(f"held-{number}"))) for number in range(6)]
        await asyncio.sleep(0.01)
        refused = await engine.answer(ask("one-more"))
        assert isinstance(refused, Failure)
        assert (refused.code, refused.details["retry_after_s"]) == ("overloaded", 1)
        assert "6 requests wait for the model to be replaced, the limit is 6" in refused.message
        await meanwhile.finish()
        assert all(isinstance(answer, Completion) for answer in await asyncio.gather(*held))


async def test_closing_during_a_reload_answers_those_who_are_held(engine: TextEngine, second: Path) -> None:
    async with Running(engine, second) as meanwhile:
        held = asyncio.create_task(engine.answer(ask("held")))
        await asyncio.sleep(0.01)
        closing = asyncio.create_task(asyncio.to_thread(engine.close))
        await asyncio.sleep(0.01)
        await meanwhile.finish()
        answer = await asyncio.wait_for(held, 5)
        await closing
    assert isinstance(answer, Failure)
    assert answer.code == "not_ready"
    assert not engine.running
